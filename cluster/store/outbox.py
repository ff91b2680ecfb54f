"""The stream's side of the journal: the relay's place moves only once its events are published.

Must not know: where they go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.bus.journal import STREAM
from cluster.bus.outbox import WaitingEvent
from cluster.store.journal import entries, move, news, number, place


class PostgresOutbox:
    """Outbox of cluster/bus/outbox.py; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def batch(self, limit: int) -> AsyncIterator[Sequence[WaitingEvent]]:
        """Lend the oldest events and move on when the block ends well; none while another relay is at work."""
        if not await news(self._engine, STREAM):
            yield []
            return
        await number(self._engine)
        async with place(self._engine, STREAM) as held:
            found = [] if held is None else await entries(*held, limit)
            yield [entry.event for entry in found]
            if held is not None and found:
                await move(held[0], STREAM, found[-1].position)
