"""Stations that report as fast as they are told and remember what was acknowledged; the database must agree.

The platform owes them: every acknowledged event is stored once, with its own number; nothing else is stored but what
still waits for its answer; a transaction has counted exactly what is stored; it is open as long as nobody ended it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import asyncpg

from benchmarks.processes import Platform
from simulator.lean import LeanSettings, Load

_STORED = """
SELECT station_id, transaction_id, array_agg(seq_no ORDER BY seq_no)
FROM transaction_events GROUP BY station_id, transaction_id"""
_TRANSACTIONS = """
SELECT station_id, transaction_id, ended_at IS NULL, energy_wh, state -> 'seen', state -> 'conflicts'
FROM transactions"""
_FREE = "SELECT count(*) FROM partitions WHERE owner IS NULL"
_WH_PER_EVENT = 3
"""How much a lean station's register grows between two events."""


class Witnesses:
    """A fleet of lean stations in this process, each with one transaction that never ends."""

    def __init__(
        self,
        platform: Platform,
        stations: int,
        sample_s: float,
        name: str,
        reconnect_s: tuple[float, float] = (1.0, 3.0),
    ) -> None:
        self._database_dir = platform.data_dir / "postgres"
        self.load = Load(
            LeanSettings(
                to=platform.stations,
                stations=stations,
                sample_s=sample_s,
                id_pattern=f"{name}-%05d",
                reconnect_s=reconnect_s,
            )
        )

    @property
    def disconnects(self) -> int:
        """How many sockets were closed on them."""
        return self.load.plan.disconnects

    @property
    def refusals(self) -> int:
        """How many CALLERRORs they got."""
        return self.load.plan.errors

    def acknowledged(self) -> dict[str, int]:
        """Return the highest acknowledged sequence number of each station."""
        return {station.identity: station.acknowledged for station in self.load.stations}

    async def begin(self) -> None:
        """Connect all of them and wait until each charges."""
        await self.load.connect()
        await self.all_go_on(within_s=30)

    async def all_go_on(self, within_s: float) -> None:
        """Wait until every station has an answer to something it said after this call. Raises TimeoutError."""
        before = self.acknowledged()

        def waiting() -> list[str]:
            return [identity for identity, number in self.acknowledged().items() if number <= before[identity] + 1]

        try:
            async with asyncio.timeout(within_s):
                while waiting():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            silent = waiting()
            problem = self.load.plan.last_problem
            raise TimeoutError(f"{len(silent)} stations got no answer: {silent[:3]}, {problem}") from None

    async def all_connected(self, within_s: float) -> None:
        """Wait until every station has a socket that the platform has admitted."""
        async with asyncio.timeout(within_s):
            while not all(station.admitted for station in self.load.stations):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def drop_all(self) -> None:
        """Cut all connections at once."""
        for station in self.load.stations:
            station.drop()

    async def end(self) -> Audit:
        """Disconnect all of them and compare what they know with what is stored."""
        await self.load.stop()
        await asyncio.sleep(1.0)  # what is on its way is answered to nobody, and may be stored
        promised = {(s.identity, s.transaction_id): s.acknowledged for s in self.load.stations}
        connection = await asyncpg.connect(host=str(self._database_dir), user="cloudbay", database="cloudbay")
        try:
            stored = {(row[0], row[1]): list(row[2]) for row in await connection.fetch(_STORED)}
            transactions = {(row[0], row[1]): row for row in await connection.fetch(_TRANSACTIONS)}
            ((owned,),) = await connection.fetch(_FREE)
        finally:
            await connection.close()
        audit = Audit(acknowledged=sum(number + 1 for number in promised.values()), free_partitions=owned)
        for key, acknowledged in promised.items():
            _compare(audit, key, acknowledged, stored.get(key, []), transactions.get(key))
        return audit


@dataclass
class Audit:
    """What the database holds against what was promised; `wrong` says in words what is not as it must be."""

    acknowledged: int
    free_partitions: int
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether all is as it must be."""
        return not (self.lost or self.doubled or self.wrong or self.free_partitions)


def _compare(
    audit: Audit, key: tuple[str, str], acknowledged: int, numbers: list[int], transaction: asyncpg.Record | None
) -> None:
    lost = set(range(acknowledged + 1)) - set(numbers)
    doubled = len(numbers) - len(set(numbers))
    audit.lost += len(lost)
    audit.doubled += doubled
    if lost or doubled:
        audit.wrong.append(f"{key}: lost {sorted(lost)}, stored twice {doubled}")
    if not set(numbers) <= set(range(acknowledged + 2)):  # of one more the answer may be on its way
        audit.wrong.append(f"{key}: events that nobody sent: {numbers[-3:]}")
    if transaction is None:
        audit.wrong.append(f"{key}: no transaction")
        return
    _, _, is_open, energy_wh, seen, conflicts = transaction
    if not is_open:
        audit.wrong.append(f"{key}: ended by nobody")
    if conflicts not in (None, "0"):
        audit.wrong.append(f"{key}: a repeat was taken for another event")
    last = max(numbers, default=0)
    if seen != f"[0,{last}]" or energy_wh != max(0, last - 1) * _WH_PER_EVENT:
        audit.wrong.append(f"{key}: {energy_wh} Wh and {seen} after event {last}")
