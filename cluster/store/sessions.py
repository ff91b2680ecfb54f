"""Sessions of people, what was ended lately, and what may be forgotten. Addresses and browsers' names are sealed.

Must not know: cookies, who asks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, or_, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cluster.identity.sessions import Session
from cluster.store.engine import reachable
from cluster.store.paging import Order
from cluster.store.reader import Reader, is_uuid
from cluster.store.tables.people import attempts, grant_secrets, grants, sessions, users
from cluster.store.views import Page
from cluster.vault.vault import Vault, place

_SEALED: Final = ("address", "user_agent")
_ORDER: Final = Order([sessions.c.began_at, sessions.c.id], (datetime, str), descending=True)
_SESSION: Final[list[Any]] = [sessions.c[name] for name in Session.__struct_fields__]


class PostgresSessions:
    """SessionStore and EndedQuery on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._vault = vault

    async def begin(self, session: Session, secret: bytes) -> None:
        """Keep a new session."""
        values = msgspec.structs.asdict(session)
        for column in _SEALED:
            if values[column] is not None:
                context = place(f"sessions.{column}", session.id)
                values[column] = self._vault.seal(values[column].encode(), context)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(insert(sessions).values(secret=secret, **values))

    async def find(self, secret: bytes) -> Session | None:
        """Return the session of a secret's digest."""
        row = await self._reader.one(select(*_SESSION).where(sessions.c.secret == secret))
        return None if row is None else self._session(row)

    async def renew(self, session_id: str, at: datetime, secret: bytes | None = None) -> None:
        """Note that a session is in use; with a new secret: that its person has logged in again."""
        values: dict[str, object] = {"seen_at": at}
        if secret is not None:
            values |= {"authenticated_at": at, "secret": secret}
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(sessions).where(sessions.c.id == session_id).values(values))

    async def end(self, user_id: str, session_id: str | None, at: datetime) -> int:
        """End one session of a person, or all."""
        if not all(map(is_uuid, [user_id, session_id or user_id])):
            return 0
        async with reachable(), self._engine.begin() as connection:
            return await end_sessions(connection, user_id, at, only=session_id)

    async def page(self, user_id: str, cursor: str | None = None, limit: int = 100) -> Page[Session]:
        """List a person's sessions, the newest first. Raises BadRequest."""
        if not is_uuid(user_id):
            return Page([], None, None)
        query = select(*_SESSION).where(sessions.c.user_id == user_id)
        return await self._reader.page(query, _ORDER, cursor, limit, self._session)

    async def ended_since(self, at: datetime) -> frozenset[str]:
        """Return the ids of the sessions and grants that were ended since, and of the people who were erased."""
        ended = select(sessions.c.id).where(sessions.c.ended_at >= at)
        revoked = select(grants.c.id).where(grants.c.revoked_at >= at)
        erased = select(users.c.id).where(users.c.erased_at >= at)
        async with reachable(), self._engine.connect() as connection:
            return frozenset((await connection.execute(union(ended, revoked, erased))).scalars())

    def _session(self, row: Row[Any]) -> Session:
        values = {name: row._mapping[name] for name in Session.__struct_fields__}
        for column in _SEALED:
            if values[column] is not None:
                values[column] = self._vault.open(values[column], place(f"sessions.{column}", row.id)).decode()
        return Session(**values)


async def end_sessions(
    connection: AsyncConnection, user_id: str, at: datetime, only: str | None = None, but: str | None = None
) -> int:
    """End sessions of a person inside somebody's transaction; return how many have ended now."""
    which = (sessions.c.user_id == user_id) & sessions.c.ended_at.is_(None)
    if only is not None:
        which &= sessions.c.id == only
    if but is not None:
        which &= sessions.c.id != but
    return (await connection.execute(update(sessions).where(which).values(ended_at=at))).rowcount


class PostgresRetention:
    """Forgets what can serve nobody any more."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def forget(self, before: datetime) -> int:
        """Delete traces of who was erased, sessions over, secrets expired, attempts counted; return how many rows."""
        over = or_(sessions.c.expires_at < before, sessions.c.ended_at < before)
        deletions = (
            delete(users).where(users.c.erased_at < before),
            delete(sessions).where(over),
            delete(grant_secrets).where(grant_secrets.c.expires_at < before),
            delete(attempts).where(attempts.c.at < before),
        )
        count = 0
        for deletion in deletions:
            async with reachable(), self._engine.begin() as connection:
                count += (await connection.execute(deletion)).rowcount
        return count
