"""People and their passwords' hashes. Login names, names and e-mail addresses are sealed; logins are found by a hash.

Must not know: who asks, how passwords are hashed or checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import Changed, Conflict, NotFound
from cluster.identity.people import EVERYBODY, LOCAL_ISSUER, Credential, User, UserChange, UserFilter
from cluster.store.engine import reachable
from cluster.store.paging import Order
from cluster.store.reader import Reader, is_uuid
from cluster.store.sessions import end_sessions
from cluster.store.tables.people import grants, sessions, users
from cluster.store.views import Page
from cluster.vault.vault import Vault, place

_LOGIN: Final = "users.login_key"
_SEALED: Final = ("login", "email", "name")
_ORDER: Final = Order([users.c.created_at, users.c.id], (datetime, str))
_ADMINS_LOCK: Final = 0x636261646D696E
"""Two admins who take each other's role away at the same time must not both succeed."""

_SOME_ADMINS: Final = 2
"""Enough to tell whether there is another one."""

_USER: Final[list[Any]] = [users.c[name] for name in User.__struct_fields__]
_CREDENTIAL: Final[list[Any]] = [
    users.c[name] for name in ("id", "password_hash", "must_change_password", "password_expires_at", "status")
]


class PostgresUsers:
    """UserStore on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._vault = vault

    async def add(self, user: User, credential: Credential) -> None:
        """Add a person who logs in here. Raises Conflict when the login name is taken."""
        values = self._values(user) | _credential_values(credential)
        row = insert(users).values(values).on_conflict_do_nothing().returning(users.c.id)
        async with reachable(), self._engine.begin() as connection:
            if await connection.scalar(row) is None:
                raise Conflict(f"the login name {user.login} is taken")

    async def find(self, user_id: str) -> User:
        """Return a person. Raises NotFound."""
        row = await self._reader.one(select(*_USER).where(users.c.id == user_id)) if is_uuid(user_id) else None
        if row is None:
            raise NotFound("there is no such person")
        return self._user(row)

    async def change(self, user_id: str, change: UserChange, now: datetime, version: int | None = None) -> User:
        """Change a person, and end their sessions if what they may do changes, in one transaction."""
        async with reachable(), self._engine.begin() as connection:
            if change.ends_sessions:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADMINS_LOCK})
            before = await self._locked(connection, user_id)
            if before.status == "erased":
                raise Conflict("this person is erased")
            if version is not None and version != before.version:
                raise Changed("the person was changed by somebody else meanwhile")
            values = self._changes(user_id, change) | {"version": before.version + 1}
            statement = update(users).where(users.c.id == user_id).values(values).returning(*_USER)
            after = self._user((await connection.execute(statement)).one())
            if _may_administer(before) and not _may_administer(after) and not await _any_admin(connection):
                raise Conflict("this is the last admin; make another one first")
            if change.ends_sessions:
                await end_sessions(connection, user_id, now)
            return after

    async def page(self, cursor: str | None = None, limit: int = 100, wanted: UserFilter = EVERYBODY) -> Page[User]:
        """List people, the first known first. Raises BadRequest."""
        query = select(*_USER)
        if wanted.login is not None:
            query = query.where(users.c.login_key == self._vault.lookup(wanted.login, _LOGIN))
        if wanted.role is not None:
            query = query.where(users.c.roles.contains([wanted.role]))
        if wanted.status is not None:
            query = query.where(users.c.status == wanted.status)
        return await self._reader.page(query, _ORDER, cursor, limit, self._user)

    async def seen(self, newcomer: User) -> User:
        """Return who has this issuer and subject, brought up to date; else add the newcomer."""
        same = (users.c.issuer == newcomer.issuer) & (users.c.subject == newcomer.subject)
        row = await self._reader.one(select(*_USER).where(same)) or await self._erased(newcomer)
        if row is None:
            made = insert(users).values(self._values(newcomer) | {"must_change_password": False})
            async with reachable(), self._engine.begin() as connection:
                await connection.execute(made.on_conflict_do_nothing())
            row = await self._reader.one(select(*_USER).where(same))
        if row is None:
            raise NotFound("the person was removed meanwhile")
        known = self._user(row)
        if known.status != "active" or (known.name, known.email) == (newcomer.name, newcomer.email):
            return known
        values = self._changes(known.id, UserChange(email=newcomer.email, name=newcomer.name))
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(users).where(users.c.id == known.id).values(values))
        return msgspec.structs.replace(known, name=newcomer.name, email=newcomer.email)

    async def _erased(self, newcomer: User) -> Row[Any] | None:
        """Return the trace of who was erased lately: tokens of theirs from before do not open an account anew."""
        former = _former(self._vault, newcomer.issuer, newcomer.subject)
        same = (users.c.issuer == newcomer.issuer) & (users.c.subject == former)
        return await self._reader.one(select(*_USER).where(same))

    async def _locked(self, connection: AsyncConnection, user_id: str) -> User:
        query = select(*_USER).where(users.c.id == user_id).with_for_update()
        row = (await connection.execute(query)).first() if is_uuid(user_id) else None
        if row is None:
            raise NotFound("there is no such person")
        return self._user(row)

    def _user(self, row: Row[Any]) -> User:
        values = {name: row._mapping[name] for name in User.__struct_fields__}
        for column in _SEALED:
            if values[column] is not None:
                values[column] = self._vault.open(values[column], place(f"users.{column}", row.id)).decode()
        return User(**values | {"roles": frozenset(values["roles"])})

    def _values(self, user: User) -> dict[str, object]:
        values = msgspec.structs.asdict(user) | self._sealed(user.id, msgspec.structs.asdict(user))
        login_key = None if user.login is None else self._vault.lookup(user.login, _LOGIN)
        return values | {"roles": sorted(user.roles), "login_key": login_key}

    def _changes(self, user_id: str, change: UserChange) -> dict[str, object]:
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
        if "roles" in given:
            given["roles"] = sorted(given["roles"])
        return given | self._sealed(user_id, given)

    def _sealed(self, user_id: str, values: Mapping[str, object]) -> dict[str, object]:
        texts = {column: values[column] for column in _SEALED if values.get(column) is not None}
        return {
            column: self._vault.seal(str(text).encode(), place(f"users.{column}", user_id))
            for column, text in texts.items()
        }


class PostgresCredentials:
    """CredentialStore on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._vault = vault

    async def of_login(self, login: str) -> Credential | None:
        """Return the credential behind a login name."""
        key = self._vault.lookup(login, _LOGIN)
        return await self._one(select(*_CREDENTIAL).where(users.c.login_key == key))

    async def of_user(self, user_id: str) -> Credential | None:
        """Return a person's credential."""
        here = (users.c.id == user_id) & (users.c.issuer == LOCAL_ISSUER)
        return await self._one(select(*_CREDENTIAL).where(here))

    async def put(self, credential: Credential, now: datetime, replaces: str | None, keep_session: str | None) -> bool:
        """Set a password in the place of another, and end the person's sessions but one, in one transaction."""
        same = users.c.id == credential.user_id
        if replaces is not None:
            same &= users.c.password_hash == replaces
        values = _credential_values(credential)
        async with reachable(), self._engine.begin() as connection:
            if (await connection.execute(update(users).where(same).values(values))).rowcount == 0:
                return False
            await end_sessions(connection, credential.user_id, now, but=keep_session)
            return True

    async def rehash(self, user_id: str, old: str, new: str) -> None:
        """Replace a hash by another one of the same password."""
        same = (users.c.id == user_id) & (users.c.password_hash == old)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(users).where(same).values(password_hash=new))

    async def logged_in(self, user_id: str, at: datetime) -> None:
        """Note a login."""
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(users).where(users.c.id == user_id).values(last_login_at=at))

    async def _one(self, query: Select[Any]) -> Credential | None:
        row = await self._reader.one(query)
        return None if row is None else Credential(*tuple(row))


def _credential_values(credential: Credential) -> dict[str, object]:
    return {
        "password_hash": credential.password_hash,
        "must_change_password": credential.must_change,
        "password_expires_at": credential.expires_at,
    }


def _may_administer(user: User) -> bool:
    return user.issuer == LOCAL_ISSUER and user.status == "active" and "admin" in user.roles


async def _any_admin(connection: AsyncConnection) -> bool:
    admins = (
        select(func.count())
        .select_from(users)
        .where(users.c.issuer == LOCAL_ISSUER, users.c.status == "active", users.c.roles.contains(["admin"]))
    )
    return bool(await connection.scalar(admins))


async def is_last_admin(connection: AsyncConnection, user_id: str) -> bool:
    """Tell whether nobody else is an admin who logs in here; it stays so until the end of this transaction."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADMINS_LOCK})
    query = select(users.c.id).where(
        users.c.issuer == LOCAL_ISSUER, users.c.status == "active", users.c.roles.contains(["admin"])
    )
    return set(await connection.scalars(query.limit(_SOME_ADMINS))) == {user_id}


async def close_account(connection: AsyncConnection, vault: Vault, user_id: str, now: datetime) -> None:
    """Leave an id of a person that nobody can use any more, inside somebody's transaction.

    It stays, with sessions that have ended and a hash of the name that an outside issuer gives the person, until no
    token from before can be good any longer (`PostgresRetention`).
    """
    known = select(users.c.issuer, users.c.subject).where(users.c.id == user_id, users.c.status != "erased")
    row = (await connection.execute(known.with_for_update())).first()
    if row is None:
        return
    emptied = dict.fromkeys(
        ("login_key", "login", "email", "name", "last_login_at", "password_hash", "password_expires_at")
    )
    named = row.subject if row.issuer == LOCAL_ISSUER else _former(vault, row.issuer, row.subject)
    left: dict[str, Any] = {"subject": named, "roles": [], "status": "erased", "erased_at": now}
    left |= {"must_change_password": False, "version": users.c.version + 1}
    closed = update(users).where(users.c.id == user_id).values(**emptied, **left)
    await connection.execute(closed)
    await end_sessions(connection, user_id, now)
    traces = update(sessions).where(sessions.c.user_id == user_id)
    await connection.execute(traces.values(address=None, user_agent=None))
    await connection.execute(delete(grants).where(grants.c.user_id == user_id))


def _former(vault: Vault, issuer: str, subject: str) -> str:
    return vault.lookup(f"{issuer} {subject}", "users.subject").hex()
