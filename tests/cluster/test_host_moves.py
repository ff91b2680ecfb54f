"""What a host gives up, and what it does with what is no more its own."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import Moved
from cluster.batch import (
    Connect,
    NotOwner,
)
from cluster.partitions import PartitionMap
from tests.cluster.one_host import Fixture, answered, command


async def test_a_fenced_host_writes_nothing_and_says_it_is_not_the_owner() -> None:
    it = Fixture()
    await it.connect("CP-1")
    it.database.join("host-0")
    assert await it.ingest(it.event("CP-1", 0)) == [NotOwner()]
    assert it.database.events == {}
    with pytest.raises(Moved):
        await it.host.submit(command("CP-1"))


async def test_a_station_of_another_host_is_sent_on() -> None:
    owned = [p for p in range(16) if p != PartitionMap(16).of("CP-1")]
    it = Fixture(owned=owned)
    assert await it.ingest(Connect("CP-1", "g-1", "ocpp2.0.1", None, "")) == [NotOwner()]


async def test_a_partition_is_given_up_only_when_its_turns_are_committed() -> None:
    it = Fixture()
    await it.connect("CP-1")
    turn = await it.begin(it.event("CP-1", 0))
    giving = asyncio.create_task(it.host.give_up(range(16)))
    await asyncio.sleep(0)
    assert (await it.ingest(it.event("CP-1", 1))) == [NotOwner()]
    assert not giving.done()
    it.store.may_commit.set()
    assert answered((await turn)[0]) == [[3, "m0", {}]]
    await asyncio.wait_for(giving, 5)
    assert it.host.stats()["chargers"] == 0


async def test_a_station_that_gets_a_partition_of_its_own_goes_with_that_one() -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    it.host.hold(range(17), {"CP-1": 16})
    assert answered((await it.ingest(it.event("CP-1", 0)))[0]) == [[3, "m0", {}]]
    await it.host.give_up([16])
    assert await it.ingest(it.event("CP-1", 1)) == [NotOwner()]
    assert answered((await it.ingest(it.event("CP-2", 0)))[0]) == [[3, "m0", {}]]
    assert it.host.stats()["chargers"] == 1


async def test_a_turn_whose_caller_is_cancelled_is_committed_before_the_charger_moves() -> None:
    """A commit in flight after the hand-off would be a second writer."""
    it = Fixture()
    await it.connect("CP-1")
    turn = await it.begin(it.event("CP-1", 0))
    turn.cancel()
    giving = asyncio.create_task(it.host.give_up(range(16)))
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert not giving.done()
    it.store.may_commit.set()
    await asyncio.wait_for(giving, 5)
    assert [event.event_key for event in it.database.events.values()] == ["0"]


async def test_a_turn_that_waits_in_line_while_its_charger_moves_is_not_taken() -> None:
    """Who checks before waiting must check again after it: two hosts would write otherwise."""
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    first = await it.begin(it.event("CP-1", 0))
    both = asyncio.create_task(it.ingest(it.event("CP-1", 1), it.event("CP-2", 0)))  # waits for CP-1
    await asyncio.sleep(0)
    giving = asyncio.create_task(it.host.give_up([PartitionMap(16).of("CP-2")]))
    await asyncio.wait_for(giving, 5)
    it.store.may_commit.set()
    await first
    results = await both
    assert answered(results[0]) == [[3, "m1", {}]]
    assert results[1] == NotOwner()
    assert [event.station_id for event in it.database.events.values()] == ["CP-1", "CP-1"]


async def test_who_waits_for_a_command_of_a_charger_that_moves_is_told_to_ask_again() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    waiting = asyncio.create_task(it.host.submit(command("CP-1"), wait_s=30))
    await asyncio.wait_for(it.link.has_sent.wait(), 5)
    await it.host.give_up(range(16))
    with pytest.raises(Moved):
        await waiting
