"""The JSON of accounts and sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from cluster.identity.caller import Role
from cluster.identity.passwords import MAX_CHARS
from serve.hal import Resource
from serve.wire import Asked

Password = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_CHARS), Field(json_schema_extra={"format": "password"})
]


class AccountOut(Resource):
    """Who the caller is here."""

    subject: str = Field(description="The caller's id on this platform; `key:` and `client:` begin those of machines.")
    issuer: str = Field(description="Who says so; `local` is this platform itself.")
    login: str | None = Field(examples=["ann"])
    name: str | None = Field(examples=["Ann Example"])
    email: str | None = Field(examples=["ann@example.org"])
    roles: list[Role]
    scopes: list[str] | None = Field(description="What a machine is limited to; null for a person.")
    logged_in_at: datetime | None = Field(description="When the person last proved who they are.")
    session_id: str | None


class PasswordChange(Asked):
    """A new password in the place of the present one."""

    present: Password
    new: Password


class SessionOut(Resource):
    """A browser in which somebody has logged in."""

    id: str
    began_at: datetime
    authenticated_at: datetime = Field(description="When its person last proved who they are.")
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    address: str | None = Field(examples=["192.0.2.7"])
    user_agent: str | None = Field(examples=["Mozilla/5.0"])
    current: bool = Field(description="Whether this request comes out of it.")
