"""Stations that report as fast as they are told and remember what was acknowledged; the database must agree.

The platform owes them: every acknowledged event is stored once, with its own number; nothing else is stored but what
still waits for its answer; a transaction has counted exactly what is stored; it is open as long as nobody ended it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import asyncpg

from benchmarks.processes import Platform
from simulator.lean import LeanSettings, Load

_STORED = """
SELECT station_id, transaction_id, array_agg(seq_no ORDER BY seq_no), count(DISTINCT seq_no)
FROM transaction_events GROUP BY station_id, transaction_id"""
_TRANSACTIONS = """
SELECT station_id, transaction_id, ended_at IS NULL, energy_wh, state -> 'seen', state -> 'conflicts'
FROM transactions"""
_OWNERS = "SELECT count(*), count(DISTINCT partition), count(owner) FROM partitions"
_WH_PER_EVENT = 3
"""How much a lean station's register grows between two events."""


class Witnesses:
    """A fleet of lean stations in this process, each with one transaction that never ends."""

    def __init__(self, platform: Platform, stations: int, sample_s: float, name: str) -> None:
        self._database_dir = platform.data_dir / "postgres"
        self._load = Load(
            LeanSettings(to=platform.stations, stations=stations, sample_s=sample_s, id_pattern=f"{name}-%05d")
        )

    @property
    def disconnects(self) -> int:
        """How many sockets were closed on them."""
        return self._load.plan.disconnects

    @property
    def refusals(self) -> int:
        """How many CALLERRORs they got."""
        return self._load.plan.errors

    def acknowledged(self) -> dict[str, int]:
        """Return the highest acknowledged sequence number of each station."""
        return {station.identity: station.acknowledged for station in self._load.stations}

    async def begin(self) -> None:
        """Connect all of them and wait until each charges."""
        await self._load.connect()
        await self.all_go_on(within_s=30)

    async def all_go_on(self, within_s: float) -> None:
        """Wait until every station has an answer to something it said after this call."""
        before = self.acknowledged()
        async with asyncio.timeout(within_s):
            while any(number <= before[identity] + 1 for identity, number in self.acknowledged().items()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def drop_all(self) -> None:
        """Cut all connections at once."""
        for station in self._load.stations:
            station.drop()

    async def end(self) -> None:
        """Disconnect all of them and compare what they know with what is stored."""
        await self._load.stop()
        await asyncio.sleep(1.0)  # what is on its way is answered to nobody, and may be stored
        promised = {(station.identity, station.transaction_id): station.acknowledged for station in self._load.stations}
        connection = await asyncpg.connect(host=str(self._database_dir), user="cloudbay", database="cloudbay")
        try:
            _every_event_once(promised, await connection.fetch(_STORED))
            _every_transaction_as_stored(promised, await connection.fetch(_TRANSACTIONS))
            ((rows, partitions, owned),) = await connection.fetch(_OWNERS)
            assert rows == partitions == owned, f"{owned} of {partitions} partitions have an owner"
        finally:
            await connection.close()


def _every_event_once(promised: Mapping[tuple[str, str], int], stored: list[asyncpg.Record]) -> None:
    found = {(row[0], row[1]): (row[2], row[3]) for row in stored}
    for key, acknowledged in promised.items():
        numbers, different = found.get(key, ([], 0))
        assert len(numbers) == different, f"{key}: an event is stored twice"
        lost = set(range(acknowledged + 1)) - set(numbers)
        assert not lost, f"{key}: acknowledged and lost: {sorted(lost)}"
        # One more may be stored: its answer was on the way.
        assert set(numbers) <= set(range(acknowledged + 2)), f"{key}: events that nobody sent: {numbers[-3:]}"


def _every_transaction_as_stored(promised: Mapping[tuple[str, str], int], transactions: list[asyncpg.Record]) -> None:
    found = {(row[0], row[1]): row for row in transactions}
    for key, acknowledged in promised.items():
        _, _, is_open, energy_wh, seen, conflicts = found[key]
        assert is_open, f"{key}: ended by nobody"
        assert conflicts in (None, "0"), f"{key}: a repeat was taken for another event"
        assert seen in (f"[0,{acknowledged}]", f"[0,{acknowledged + 1}]"), f"{key}: {seen}, acknowledged {acknowledged}"
        last = int(seen.strip("[]").split(",")[1])
        assert energy_wh == max(0, last - 1) * _WH_PER_EVENT, f"{key}: {energy_wh} Wh after {last} events"
