"""API keys of machines.

Must not know: what a key looks like, what a scope allows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import NotFound
from cluster.identity.machine_keys import MachineKey
from cluster.store.engine import reachable
from cluster.store.paging import Order
from cluster.store.reader import Reader
from cluster.store.tables.people import machine_keys
from cluster.store.views import Page

_ORDER: Final = Order([machine_keys.c.created_at, machine_keys.c.id], (datetime, str), descending=True)


class PostgresMachineKeys:
    """MachineKeyStore on PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def add(self, key: MachineKey) -> None:
        """Keep a new key."""
        values = msgspec.structs.asdict(key) | {"roles": sorted(key.roles), "scopes": sorted(key.scopes)}
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(insert(machine_keys).values(values))

    async def find(self, key_id: str) -> MachineKey | None:
        """Return a key, revoked or not."""
        row = await self._reader.one(select(machine_keys).where(machine_keys.c.id == key_id))
        return None if row is None else _key(row)

    async def revoke(self, key_id: str, at: datetime) -> None:
        """End a key; one that has ended stays as it is. Raises NotFound."""
        alive = (machine_keys.c.id == key_id) & machine_keys.c.revoked_at.is_(None)
        async with reachable(), self._engine.begin() as connection:
            changed = (await connection.execute(update(machine_keys).where(alive).values(revoked_at=at))).rowcount
        if not changed and await self.find(key_id) is None:
            raise NotFound("there is no such key")

    async def used(self, key_id: str, at: datetime) -> None:
        """Note that a key is in use."""
        statement = update(machine_keys).where(machine_keys.c.id == key_id).values(last_used_at=at)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(statement)

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[MachineKey]:
        """List keys, the newest first. Raises BadRequest."""
        return await self._reader.page(select(machine_keys), _ORDER, cursor, limit, _key)


def _key(row: Row[Any]) -> MachineKey:
    values = {name: row._mapping[name] for name in MachineKey.__struct_fields__}
    return MachineKey(**values | {"roles": frozenset(values["roles"]), "scopes": frozenset(values["scopes"])})
