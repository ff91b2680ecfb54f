"""People the platform knows: those with a password here, and those of outside issuers who have been seen.

Rules: a login name belongs to one person; there is always an admin who can log in here, and nobody takes that from
themselves; a change of what somebody may do ends their sessions, so that it holds at once.
Must not know: HTTP, SQL, how passwords are hashed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from actors.errors import BadRequest, CloudBayError, Conflict
from cluster.identity.caller import ROLES, Caller, Role
from cluster.identity.passwords import Passwords, make_one_time_password
from cluster.store.views import Page

LOCAL_ISSUER: Final = "local"
"""The issuer of people who log in here, whatever URL the embedded issuer has at the time."""

FIRST_ADMIN: Final = "admin"

UserStatus = Literal["active", "disabled", "erased"]

_LOGIN: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,254}")
_MAX_KNOWN_S: Final = 30
_MAX_KNOWN: Final = 10_000


class User(msgspec.Struct, frozen=True):
    """A person. Roles are kept for those who log in here; those of outside issuers come with each token."""

    id: str
    issuer: str
    subject: str
    login: str | None
    email: str | None
    name: str | None
    roles: frozenset[Role]
    status: UserStatus
    created_at: datetime
    last_login_at: datetime | None = None
    version: int = 1
    """Raised by every change."""


class UserFilter(msgspec.Struct, frozen=True):
    """Which people to list: all that are given must match. A login name is looked for as a whole: it is sealed."""

    login: str | None = None
    role: Role | None = None
    status: UserStatus | None = None


EVERYBODY: Final = UserFilter()


class UserChange(msgspec.Struct, frozen=True):
    """What an admin changes of a person; what is unset stays."""

    email: str | msgspec.UnsetType | None = msgspec.UNSET
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    roles: frozenset[Role] | msgspec.UnsetType = msgspec.UNSET
    status: Literal["active", "disabled"] | msgspec.UnsetType = msgspec.UNSET

    @property
    def ends_sessions(self) -> bool:
        """Tell whether it changes what the person may do."""
        return self.roles is not msgspec.UNSET or self.status is not msgspec.UNSET


class Credential(msgspec.Struct, frozen=True):
    """What a person proves who they are with."""

    user_id: str
    password_hash: str | None
    must_change: bool
    expires_at: datetime | None
    """When a one-time password that was not used stops to work."""
    status: UserStatus = "active"


class UserStore(Protocol):
    """The people. Raises Unavailable."""

    async def add(self, user: User, credential: Credential) -> None:
        """Add a person who logs in here. Raises Conflict when the login name is taken."""

    async def find(self, user_id: str) -> User:
        """Return a person. Raises NotFound."""

    async def change(self, user_id: str, change: UserChange, now: datetime, version: int | None = None) -> User:
        """Change a person, and end their sessions if it `ends_sessions`, at once.

        Raises NotFound, Changed for another version than `version`, and Conflict for the last admin who logs in here.
        """

    async def page(self, cursor: str | None = None, limit: int = 100, wanted: UserFilter = EVERYBODY) -> Page[User]:
        """List people, the first known first. Raises BadRequest."""

    async def seen(self, newcomer: User) -> User:
        """Return who has this issuer and subject, with name and e-mail brought up to date; else add the newcomer."""


class CredentialStore(Protocol):
    """The passwords' hashes. Raises Unavailable."""

    async def of_login(self, login: str) -> Credential | None:
        """Return the credential behind a login name; takes as long for a name that nobody has."""

    async def of_user(self, user_id: str) -> Credential | None:
        """Return a person's credential, None for people of outside issuers."""

    async def put(self, credential: Credential, now: datetime, replaces: str | None, keep_session: str | None) -> bool:
        """Set a password in the place of the hash `replaces`, and end the person's sessions but one.

        False, and nothing done, when another hash is there by now. None as `replaces` takes whatever is there.
        """

    async def rehash(self, user_id: str, old: str, new: str) -> None:
        """Replace a hash by another one of the same password; does nothing when it has changed meanwhile."""

    async def logged_in(self, user_id: str, at: datetime) -> None:
        """Note a login."""


class NewLogin(NamedTuple):
    """A person and a password that is shown once, works until `expires_at`, and must be changed at first login."""

    user: User
    one_time_password: str
    expires_at: datetime


class AccountClosed(CloudBayError):
    """The person is known, and may not use the platform any more."""

    http_status = 403
    title = "Account closed"


class People:
    """What admins do with people, and what is noted of people of outside issuers."""

    def __init__(
        self,
        users: UserStore,
        credentials: CredentialStore,
        passwords: Passwords,
        one_time_life_s: float,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._users = users
        self._credentials = credentials
        self._passwords = passwords
        self._one_time_life = timedelta(seconds=one_time_life_s)
        self._clock = clock
        self._new_id = new_id
        self._known: dict[tuple[str, str, str | None, str | None], tuple[str, datetime]] = {}

    async def create(
        self, login: str, roles: frozenset[Role] = frozenset(), name: str | None = None, email: str | None = None
    ) -> NewLogin:
        """Add a person with a one-time password. Raises BadRequest, Conflict."""
        if roles - ROLES:
            raise BadRequest(f"there are no roles {', '.join(sorted(roles - ROLES))}")
        user_id, spelled = self._new_id(), normal_login(login)
        user = User(user_id, LOCAL_ISSUER, user_id, spelled, email, name, roles, "active", self._clock())
        made, credential = await self._one_time_password(user)
        await self._users.add(user, credential)
        return made

    async def find(self, user_id: str) -> User:
        """Return a person. Raises NotFound."""
        return await self._users.find(user_id)

    async def page(self, cursor: str | None = None, limit: int = 100, wanted: UserFilter = EVERYBODY) -> Page[User]:
        """List people, the first known first; a login name may be spelled as in a login. Raises BadRequest."""
        if wanted.login is not None:
            wanted = msgspec.structs.replace(wanted, login=normal_login(wanted.login))
        return await self._users.page(cursor, limit, wanted)

    async def change(self, caller: Caller, user_id: str, change: UserChange, version: int | None = None) -> User:
        """Change name, e-mail, roles or status. Raises BadRequest, NotFound, Changed, Conflict."""
        user = await self._users.find(user_id)
        if change.roles is not msgspec.UNSET and change.roles - ROLES:
            raise BadRequest(f"there are no roles {', '.join(sorted(change.roles - ROLES))}")
        if (hindrance := hindrance_to_change(caller, user, change)) is not None:
            raise Conflict(hindrance)
        return await self._users.change(user_id, change, self._clock(), version)

    async def reset_password(self, caller: Caller, user_id: str) -> NewLogin:
        """Give a person a new one-time password and end their sessions. Raises NotFound, Conflict."""
        user = await self._users.find(user_id)
        if (hindrance := hindrance_to_reset(caller, user)) is not None:
            raise Conflict(hindrance)
        made, credential = await self._one_time_password(user)
        await self._credentials.put(credential, self._clock(), None, None)
        return made

    async def seen(self, issuer: str, subject: str, name: str | None = None, email: str | None = None) -> str:
        """Return the platform's id of a person of an outside issuer; known from the first sight on.

        A known one costs a look at the database every 30 seconds. Raises AccountClosed.
        """
        now, key = self._clock(), (issuer, subject, name, email)
        user_id, until = self._known.get(key, ("", now))
        if now < until:
            return user_id
        user = await self._users.seen(
            User(self._new_id(), issuer, subject, None, email, name, frozenset(), "active", now)
        )
        if user.status == "erased":
            raise AccountClosed("this account was erased; a new one can be opened some days later")
        if user.status != "active":
            raise AccountClosed("this account is closed; an admin can open it again")
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = (user.id, now + timedelta(seconds=_MAX_KNOWN_S))
        return user.id

    async def first_admin(self) -> NewLogin | None:
        """Make the first admin when nobody is there; None when somebody is."""
        if (await self._users.page(limit=1)).items:
            return None
        try:
            return await self.create(FIRST_ADMIN, frozenset({"admin"}), "First admin")
        except Conflict:  # another process was faster
            return None

    async def _one_time_password(self, user: User) -> tuple[NewLogin, Credential]:
        password, expires_at = make_one_time_password(), self._clock() + self._one_time_life
        kept = Credential(user.id, await self._passwords.hashed(password), True, expires_at)
        return NewLogin(user, password, expires_at), kept


def hindrance_to_change(caller: Caller, user: User, change: UserChange) -> str | None:
    """Tell why a caller may not change a person so, None if they may; the last admin is the store's to hold."""
    if user.status == "erased":
        return "this person is erased"
    if change.roles is not msgspec.UNSET and user.issuer != LOCAL_ISSUER:
        return f"the roles of this person are decided by {user.issuer}"
    if caller.subject != user.id:
        return None
    if change.roles is not msgspec.UNSET and "admin" in user.roles - change.roles:
        return "nobody takes the role admin from themselves; another admin can"
    return "nobody locks themselves out; another admin can" if change.status == "disabled" else None


def hindrance_to_reset(caller: Caller, user: User) -> str | None:
    """Tell why a caller may not give a person a one-time password, None if they may."""
    if user.issuer != LOCAL_ISSUER or user.status == "erased":
        return "this person has no password here"
    # Whoever finds a browser open could otherwise keep the account without knowing its password.
    return "nobody resets their own password; change it" if caller.subject == user.id else None


def normal_login(login: str) -> str:
    """Return the one spelling of a login name. Raises BadRequest."""
    spelled = unicodedata.normalize("NFKC", login.strip()).casefold()
    if not _LOGIN.fullmatch(spelled):
        raise BadRequest("a login name has 1 to 254 characters and no blanks")
    return spelled
