"""The vault's data keys in the database: wrapped, so that who has the database alone has nothing.

Must not know: how a key is wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import Conflict
from cluster.store.engine import reachable
from cluster.store.tables.records import data_keys
from cluster.vault.ports import DataKey, Wrapped


class PostgresDataKeys:
    """DataKeys of cluster/vault/ports.py; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def _begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._engine.begin()

    async def all(self) -> list[DataKey]:
        """Return every data key, by id."""
        async with reachable(), self._begin() as connection:
            rows = (await connection.execute(select(data_keys).order_by(data_keys.c.key_id))).all()
        return [
            DataKey(
                row.key_id,
                row.purpose,
                Wrapped(row.wrapped_by, row.wrapped),
                row.created_at,
                row.active_at,
                row.retired_at,
            )
            for row in rows
        ]

    async def add(self, key: DataKey) -> None:
        """Keep a new one. Raises Conflict when its id is taken."""
        row = insert(data_keys).values(
            key_id=key.key_id,
            purpose=key.purpose,
            wrapped_by=key.wrapped.by,
            wrapped=key.wrapped.data,
            created_at=key.created_at,
            active_at=key.active_at,
            retired_at=key.retired_at,
        )
        async with reachable(), self._begin() as connection:
            added = await connection.execute(row.on_conflict_do_nothing().returning(data_keys.c.key_id))
            if added.first() is None:
                raise Conflict(f"there is a data key {key.key_id} already; another rotation has just begun")

    async def rewrap(self, key_id: int, wrapped: Wrapped) -> None:
        """Replace how one is wrapped."""
        values = {"wrapped_by": wrapped.by, "wrapped": wrapped.data}
        async with reachable(), self._begin() as connection:
            await connection.execute(update(data_keys).where(data_keys.c.key_id == key_id).values(values))

    async def retire(self, key_ids: Sequence[int], at: datetime) -> None:
        """Note that nothing is sealed with these any more."""
        still = data_keys.c.key_id.in_(key_ids) & data_keys.c.retired_at.is_(None)
        async with reachable(), self._begin() as connection:
            await connection.execute(update(data_keys).where(still).values(retired_at=at))
