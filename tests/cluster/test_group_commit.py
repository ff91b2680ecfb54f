"""Group commit: what fails, fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.domain.station import Station
from actors.errors import Unavailable
from actors.ports import Unit
from cluster.group_commit import GroupCommit
from tests.twins.store import MemoryDatabase, MemoryStore


def unit(station_id: str) -> Unit:
    return Unit(station_id, [Station(station_id)])


class FaultyOnce(MemoryStore):
    """Fails its first commit with something that nobody foresaw."""

    failed = False

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError
        return await super().commit(units)


async def test_an_unforeseen_fault_fails_its_own_batch_and_the_next_is_stored() -> None:
    database = MemoryDatabase()
    commits = GroupCommit(FaultyOnce(database), max_units=1)
    first, second = asyncio.gather(commits.commit([unit("CP-1")])), asyncio.gather(commits.commit([unit("CP-2")]))
    with pytest.raises(Unavailable):
        await asyncio.wait_for(first, 5)
    (refused,) = await asyncio.wait_for(second, 5)
    assert refused == frozenset()
    assert list(database.stations) == ["CP-2"]


async def test_each_caller_learns_of_its_own_refused_units() -> None:
    database = MemoryDatabase()
    database.refuses = lambda one: one.station_id in ("CP-1", "CP-4")
    commits = GroupCommit(MemoryStore(database), max_units=100)
    first, second = await asyncio.gather(
        commits.commit([unit("CP-1"), unit("CP-2")]), commits.commit([unit("CP-3"), unit("CP-4")])
    )
    assert (first, second) == (frozenset({0}), frozenset({1}))
    assert database.commits == 1


async def test_a_transaction_holds_no_more_units_than_allowed() -> None:
    database = MemoryDatabase()
    commits = GroupCommit(MemoryStore(database), max_units=2)
    await asyncio.gather(*(commits.commit([unit(f"CP-{number}")]) for number in range(5)))
    assert database.commits == 3
    assert len(database.stations) == 5
