"""Business events as a test makes them up, put where hosts put theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.bus.outbox import WaitingEvent
from cluster.store.tables.ways_out import outbox

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def fact(kind: str = "TransactionStarted", station_id: str = "CP-1", number: int = 0) -> WaitingEvent:
    """Return an event; another kind, station or number is another event, each number a second later."""
    event_id = f"{kind}-{station_id}-{number}"
    return WaitingEvent(event_id, kind, station_id, NOON + timedelta(seconds=number), f'{{"number":{number}}}')


async def tell(engine: AsyncEngine, events: Sequence[WaitingEvent]) -> None:
    """Commit events to the outbox, in one transaction."""
    rows = [{**msgspec.structs.asdict(event), "data": msgspec.json.decode(event.data)} for event in events]
    async with engine.begin() as connection:
        for row in rows:
            await connection.execute(insert(outbox).values(row).on_conflict_do_nothing())
