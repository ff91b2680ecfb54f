"""The log of OCPP frames: COPY into partitions that are not in the write-ahead log, dropped whole when they are old.

A crash of the database empties it, a busy one thins it out; charging never notices. Must not know: OCPP.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from actors.ports import Exchange
from cluster.drain import Drain
from cluster.store.engine import blames_content, driver_connection, reachable
from cluster.store.exchanges import sealed_exchange
from cluster.store.tables.chargers import ocpp_frames
from cluster.vault.vault import Vault

SPAN: Final = timedelta(hours=6)
"""What one partition holds: few enough partitions to plan a query over all, old frames stay this much too long."""

MAX_BATCH: Final = 5_000
GATHER_S: Final = 0.2
LOCK_TIMEOUT: Final = "2s"
_LOCK: Final = 0x6672616D6573  # "frames": one process at a time makes and drops partitions
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_COLUMNS: Final = list(ocpp_frames.columns.keys())
_NAME: Final = f"{ocpp_frames.name}_%Y%m%d_%H"
_PARTITIONS: Final = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass"


class PostgresFrameLog:
    """FrameLog that writes in the background between `start` and `close`."""

    def __init__(
        self,
        engine: AsyncEngine,
        vault: Vault,
        retention: timedelta,
        max_queued: int,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._retention = retention
        self._now = now
        self._numbers = itertools.count()
        self._ready_until = _FIRST
        self._drain = Drain("frame log", self._store, max_queued, MAX_BATCH, GATHER_S)

    @property
    def dropped(self) -> int:
        """Count the frames that were not stored."""
        return self._drain.dropped

    def write(self, exchanges: Sequence[Exchange]) -> None:
        """Queue frames; drops and counts them when the queue is full."""
        self._drain.put(exchanges)

    def start(self) -> None:
        """Begin to store, in the running event loop."""
        self._drain.start()

    async def close(self) -> None:
        """Store what is queued, within seconds, and end."""
        await self._drain.close()

    async def _store(self, exchanges: list[Exchange]) -> None:
        numbered = zip(exchanges, self._numbers, strict=False)
        records = [(one.station_id, one.at, seq, *sealed_exchange(self._vault, one, seq)) for one, seq in numbered]
        try:
            async with reachable(), driver_connection(self._engine) as connection:
                if self._now() >= self._ready_until:
                    await self._turn_over(connection)
                await connection.copy_records_to_table(ocpp_frames.name, records=records, columns=_COLUMNS)
        except Exception as error:
            if blames_content(error):
                raise Unavailable("the database refuses these frames") from error
            raise

    async def _turn_over(self, connection: asyncpg.Connection) -> None:
        """Make the partitions of this span and the next, and drop those whose frames are all too old."""
        now = self._now()
        this = _FIRST + (now - _FIRST) // SPAN * SPAN
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            for start in (this, this + SPAN):
                await connection.execute(
                    f"CREATE UNLOGGED TABLE IF NOT EXISTS {start:{_NAME}} PARTITION OF {ocpp_frames.name} "
                    f"FOR VALUES FROM ('{start.isoformat()}') TO ('{(start + SPAN).isoformat()}')"
                )
            for (name,) in await connection.fetch(_PARTITIONS, ocpp_frames.name):
                if datetime.strptime(name, _NAME).replace(tzinfo=UTC) + SPAN <= now - self._retention:
                    await connection.execute(f"DROP TABLE {name}")
        self._ready_until = this + SPAN
