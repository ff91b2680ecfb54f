"""The outbox's side of the relay: business events leave the table only once they are published.

Must not know: where they go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import Text, delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.bus.outbox import WaitingEvent
from cluster.store.engine import reachable
from cluster.store.tables import outbox

_LOCK: Final = 0x6F7574626F78  # "outbox": one relay at a time, so that events leave in order


class PostgresOutbox:
    """Outbox of cluster/bus/outbox.py; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def batch(self, limit: int) -> AsyncIterator[Sequence[WaitingEvent]]:
        """Lend the oldest events and delete them when the block ends well; none while another relay is at work."""
        columns = (outbox.c.event_id, outbox.c.kind, outbox.c.station_id, outbox.c.at, outbox.c.data.cast(Text))
        query = select(outbox.c.id, *columns).order_by(outbox.c.id).limit(limit)
        async with reachable(), self._engine.begin() as connection:
            leading = (await connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK)))).scalar_one()
            rows = (await connection.execute(query)).all() if leading else []
            yield [WaitingEvent(*row[1:]) for row in rows]
            if rows:
                await connection.execute(delete(outbox).where(outbox.c.id.in_([row[0] for row in rows])))
