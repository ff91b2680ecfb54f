"""Attempts counted in PostgreSQL, while Valkey is away.

Must not know: what is attempted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cluster.identity.brakes import Brake, Counter
from cluster.store.engine import reachable
from cluster.store.tables.people import attempts


class PostgresAttempts:
    """Attempts on PostgreSQL; counters are locked in the order of their keys."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def take(self, brakes: Sequence[Brake], now: datetime) -> float:
        """Count an attempt on all brakes and return 0; if one is closed, count nothing and return the wait."""
        async with reachable(), self._engine.begin() as connection:
            keys = sorted(brake.key for brake in brakes)
            fresh = [{"key": key, "level": 0.0, "at": now, "closed_until": now} for key in keys]
            await connection.execute(insert(attempts).values(fresh).on_conflict_do_nothing())
            counters = await _read(connection, keys)
            wait_s = max((counters[brake.key].closed_until - now).total_seconds() for brake in brakes)
            if wait_s > 0:
                return wait_s
            await _keep(connection, {brake.key: counters[brake.key].struck(brake, now) for brake in brakes})
            return 0.0

    async def give_back(self, forget: Sequence[Brake], lower: Sequence[Brake]) -> None:
        """Forget some counters, lower others by one and open them."""
        forgotten = delete(attempts).where(attempts.c.key.in_([brake.key for brake in forget]))
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(forgotten)
            counters = await _read(connection, [brake.key for brake in lower])
            await _keep(connection, {key: counter.given_back() for key, counter in counters.items()})


async def _read(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, Counter]:
    query = select(attempts).where(attempts.c.key.in_(keys)).order_by(attempts.c.key).with_for_update()
    return {row.key: Counter(row.level, row.at, row.closed_until) for row in await connection.execute(query)}


async def _keep(connection: AsyncConnection, counters: dict[str, Counter]) -> None:
    if not counters:
        return
    row = insert(attempts)
    values = {name: row.excluded[name] for name in Counter._fields}
    rows = [{"key": key, **counter._asdict()} for key, counter in counters.items()]
    await connection.execute(row.values(rows).on_conflict_do_update(index_elements=[attempts.c.key], set_=values))
