"""Clients of the embedded issuer, the grants people gave them, and the one-use secrets of those.

Must not know: what secrets look like, tokens.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Conflict, NotFound
from cluster.identity.clients import Client
from cluster.identity.grants import Grant, Held, Link
from cluster.store.engine import reachable
from cluster.store.paging import Order
from cluster.store.reader import Reader
from cluster.store.tables.people import clients, grant_secrets, grants, sessions
from cluster.store.views import Page

_BY_ID: Final = Order([clients.c.id], (str,))
_SETS: Final = ("redirect_uris", "logout_uris", "scopes", "grant_types", "roles")
_SECRET: Final[list[Any]] = [grant_secrets.c.kind, grant_secrets.c.used_at, grant_secrets.c.expires_at]
_GRANT: Final[list[Any]] = [column for column in grants.columns if column is not grants.c.revoked_at]


class PostgresClients:
    """ClientStore on PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def add(self, client: Client) -> None:
        """Add a client. Raises Conflict when there is one with its id."""
        row = insert(clients).values(_client_values(client)).on_conflict_do_nothing().returning(clients.c.id)
        async with reachable(), self._engine.begin() as connection:
            if await connection.scalar(row) is None:
                raise Conflict(f"there is a client {client.id} already")

    async def replace(self, client: Client) -> None:
        """Replace the client with its id. Raises NotFound."""
        statement = update(clients).where(clients.c.id == client.id).values(_client_values(client))
        async with reachable(), self._engine.begin() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound("there is no such client")

    async def find(self, client_id: str) -> Client | None:
        """Return a client."""
        row = await self._reader.one(select(clients).where(clients.c.id == client_id))
        return None if row is None else _client(row)

    async def remove(self, client_id: str) -> None:
        """Forget a client and all it was granted. Raises NotFound."""
        async with reachable(), self._engine.begin() as connection:
            if (await connection.execute(delete(clients).where(clients.c.id == client_id))).rowcount == 0:
                raise NotFound("there is no such client")

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[Client]:
        """List clients by id. Raises BadRequest."""
        return await self._reader.page(select(clients), _BY_ID, cursor, limit, _client)


class PostgresGrants:
    """GrantStore on PostgreSQL; a secret is used up in one conditional update."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def begin(self, grant: Grant, first: Link) -> None:
        """Keep a grant and its first secret."""
        values = msgspec.structs.asdict(grant) | {"scopes": list(grant.scopes), "audiences": list(grant.audiences)}
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(insert(grants).values(values))
            await connection.execute(insert(grant_secrets).values(grant_id=grant.id, **first._asdict()))

    async def find(self, secret: bytes) -> Held | None:
        """Return what is known of a secret's digest."""
        over = or_(
            grants.c.revoked_at.is_not(None),
            sessions.c.ended_at.is_not(None),
        ).label("over")
        query = select(*_GRANT, *_SECRET, over)
        query = query.join_from(grant_secrets, grants).join(sessions, sessions.c.id == grants.c.session_id)
        row = await self._reader.one(query.where(grant_secrets.c.secret == secret))
        if row is None:
            return None
        values = {column.name: getattr(row, column.name) for column in _GRANT}
        grant = Grant(**values | {"scopes": tuple(row.scopes), "audiences": tuple(row.audiences)})
        return Held(grant, Link(secret, row.kind, row.expires_at), row.used_at, row.over)

    async def exchange(self, secret: bytes, following: Link | None, at: datetime) -> bool:
        """Use a secret up and keep the one that follows it, in one transaction."""
        unused = (grant_secrets.c.secret == secret) & grant_secrets.c.used_at.is_(None)
        used = update(grant_secrets).where(unused).values(used_at=at).returning(grant_secrets.c.grant_id)
        async with reachable(), self._engine.begin() as connection:
            grant_id = await connection.scalar(used)
            if grant_id is None:
                return False
            if following is not None:
                await connection.execute(insert(grant_secrets).values(grant_id=grant_id, **following._asdict()))
            return True

    async def revoke(self, grant_id: str, at: datetime) -> None:
        """End a grant."""
        alive = (grants.c.id == grant_id) & grants.c.revoked_at.is_(None)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(grants).where(alive).values(revoked_at=at))


def _client_values(client: Client) -> dict[str, object]:
    sets = {name: sorted(getattr(client, name)) for name in _SETS}
    return msgspec.structs.asdict(client) | sets | {"audiences": list(client.audiences)}


def _client(row: Row[Any]) -> Client:
    values = {name: row._mapping[name] for name in Client.__struct_fields__}
    sets = {name: frozenset(values[name]) for name in _SETS}
    return Client(**values | sets | {"audiences": tuple(values["audiences"])})
