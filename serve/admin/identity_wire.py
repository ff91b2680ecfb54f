"""The JSON of people, keys of machines and clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from cluster.identity.caller import Role
from cluster.identity.clients import GrantType
from cluster.identity.machine_keys import MAX_LIFE, KeyState
from cluster.identity.people import UserStatus
from serve.access import SCOPES
from serve.hal import Item, Resource
from serve.wire import Asked

LoginName = Annotated[str, StringConstraints(min_length=1, max_length=254, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Email = Annotated[str, StringConstraints(max_length=320, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[!-~]+$")]
Scope = Annotated[str, Field(json_schema_extra={"enum": sorted(SCOPES)})]
Roles = Annotated[list[Role], Field(max_length=6)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=100)]
Uris = Annotated[list[Uri], Field(max_length=20)]


class UserItemOut(Item):
    """A person in a list."""

    subject: str = Field(description="The person's id on this platform.")
    issuer: str = Field(description="Who says who they are; `local` is this platform itself.")
    login: str | None = Field(description="What they log in with here.", examples=["ann"])
    name: str | None = Field(examples=["Ann Example"])
    email: str | None = Field(examples=["ann@example.org"])
    roles: list[Role] = Field(description="Of who logs in here; those of outside issuers come with each token.")
    status: UserStatus
    created_at: datetime
    last_login_at: datetime | None = Field(description="With a password, here.")


class UserOut(UserItemOut, Resource):
    """A person the platform knows."""


class NewLoginOut(UserOut):
    """A person with a password that is shown this once and must be changed when it is first used."""

    one_time_password: str = Field(examples=["k7mwq-3xh9c-rt4vz-e2jpu"])
    expires_at: datetime = Field(description="When that password stops to work.")


class UserAsked(Asked):
    """Somebody who is to log in here."""

    login: LoginName = Field(examples=["ann"])
    name: Name | None = Field(default=None)
    email: Email | None = Field(default=None, examples=["ann@example.org"])
    roles: Roles = Field(default=[], description="None for an app user.")


class UserChangeAsked(Asked):
    """What an admin changes of a person; fields left out stay."""

    name: Name | None = Field(default=None, description="null forgets it.")
    email: Email | None = Field(default=None, description="null forgets it.", examples=["ann@example.org"])
    roles: Roles | None = Field(default=None, description="All of them; null leaves them. Ends the person's sessions.")
    status: Literal["active", "disabled"] | None = Field(
        default=None, description="`disabled` locks the account; null leaves it. Ends the person's sessions."
    )


class MachineKeyItemOut(Item):
    """A key of a machine in a list."""

    id: str = Field(examples=["0123456789abcdef"])
    name: str = Field(examples=["Production line 2"])
    state: KeyState
    roles: list[Role]
    scopes: list[str] = Field(examples=[["stations:read"]])
    created_by: str = Field(
        description="The subject of who made it.", examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"]
    )
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class MachineKeyOut(MachineKeyItemOut, Resource):
    """A key of a machine, without its secret."""


class NewMachineKeyOut(MachineKeyOut):
    """A new key, shown this once."""

    key: str = Field(examples=["cb_0123456789abcdef_9Xn0b7sVd2Wq4TgYh6Jk8Lz1Pc3Rf5Ue7Ma0Io2Ns4B"])


class MachineKeyAsked(Asked):
    """A key for a machine."""

    name: Name = Field(examples=["Production line 2"])
    roles: Roles = Field(default=[], description="What it may do is what one of these may and the scopes name.")
    scopes: Scopes
    days: int = Field(ge=1, le=MAX_LIFE.days, description="Days until it ends by itself.")


class ClientItemOut(Item):
    """A client in a list."""

    id: str = Field(examples=["reports"])
    name: str = Field(examples=["Reports"])
    public: bool = Field(description="Whether it has no secret.")
    grant_types: list[GrantType]
    redirect_uris: list[str]
    logout_uris: list[str]
    scopes: list[str]
    audiences: list[str]
    roles: list[Role]
    created_at: datetime


class ClientOut(ClientItemOut, Resource):
    """An application that people log in with, or a machine that logs in itself."""


class NewClientOut(ClientOut):
    """A client with its secret, shown this once; null for a public client."""

    secret: str | None = Field(examples=["9Xn0b7sVd2Wq4TgYh6Jk8Lz1Pc3Rf5Ue7Ma0Io2Ns4B"])


class ApplicationAsked(Asked):
    """An application that people log in with: a page in a browser, an app. It has no secret, but PKCE."""

    kind: Literal["application"]
    id: ClientId = Field(examples=["reports"])
    name: Name = Field(examples=["Reports"])
    redirect_uris: Annotated[Uris, Field(min_length=1, examples=[["https://reports.example.org/login"]])]
    logout_uris: Uris = Field(default=[])


class MachineAsked(Asked):
    """A machine that logs in itself with a secret (client credentials)."""

    kind: Literal["machine"]
    id: ClientId = Field(examples=["reports"])
    name: Name = Field(examples=["Reports"])
    roles: Roles = Field(default=[])
    scopes: Scopes
