"""Several hosts on one database: everything has one owner, whoever comes, goes, dies or sleeps."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.errors import Fenced
from actors.ports import Unit
from cluster.membership import Membership
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.placements import PostgresPlacements
from tests.twins.vault import fixed_vault

COUNT = 12


class Chargers:
    """What a host holds; `busy` keeps it from giving anything up."""

    def __init__(self) -> None:
        self.owned: frozenset[int] = frozenset()
        self.idle = asyncio.Event()
        self.idle.set()
        self.asked = asyncio.Event()

    def hold(self, partitions: Collection[int], own: Mapping[str, int]) -> None:
        self.owned, self.own = frozenset(partitions), own

    async def give_up(self, partitions: Collection[int]) -> None:
        self.owned -= frozenset(partitions)
        self.asked.set()
        await self.idle.wait()


class World:
    """Hosts that beat when the test says so."""

    def __init__(self, store: PostgresFleet) -> None:
        self.store = store
        self.hosts: dict[str, Membership] = {}
        self.chargers: dict[str, Chargers] = {}
        self.processes: set[str] = set()

    async def dead(self, host_id: str) -> bool:
        return host_id not in self.processes

    async def wake(self, host_ids: Sequence[str]) -> None:
        pass

    async def join(self, *host_ids: str, lease_s: float = 60.0, own_partition: int | None = None) -> None:
        for host_id in host_ids:
            epoch = await self.store.join(host_id, lease_s, own_partition)
            self.processes.add(host_id)
            held = self.chargers[host_id] = Chargers()
            self.hosts[host_id] = Membership(host_id, epoch, self.store, self, held, lease_s)

    async def beats(self, *host_ids: str, times: int = 3) -> None:
        for _ in range(times):
            for host_id in host_ids or list(self.hosts):
                await self.hosts[host_id].beat()

    def kill(self, host_id: str) -> None:
        self.processes.discard(host_id)
        del self.hosts[host_id]

    async def owners(self) -> Mapping[int, str]:
        return (await self.store.partition_map()).owners

    async def held(self) -> dict[str, int]:
        """Return how much each host holds; memory and database must agree."""
        owners = await self.owners()
        for host_id in self.hosts:
            assert self.chargers[host_id].owned == {p for p, owner in owners.items() if owner == host_id}
        return {host_id: len(self.chargers[host_id].owned) for host_id in self.hosts}


@pytest.fixture
async def world(engine: AsyncEngine) -> World:
    store = PostgresFleet(engine)
    await store.prepare(COUNT)
    return World(store)


async def test_hosts_that_start_together_share_from_the_first_beat(world: World) -> None:
    await world.join("a", "b", "c")
    await world.beats(times=1)
    assert await world.held() == {"a": 4, "b": 4, "c": 4}


async def test_a_host_that_comes_later_gets_its_share(world: World) -> None:
    await world.join("a")
    await world.beats()
    assert await world.held() == {"a": 12}
    await world.join("b")
    await world.beats()
    assert await world.held() == {"a": 6, "b": 6}


async def test_what_a_dead_host_held_is_taken_in_the_next_beat(world: World) -> None:
    await world.join("a", "b", "c")
    await world.beats()
    world.kill("b")
    await world.beats("a", "c", times=2)
    assert await world.held() == {"a": 6, "c": 6}


async def test_a_dead_host_is_found_at_once_by_whoever_is_told_of_it(world: World) -> None:
    await world.join("a", "b", "c")
    await world.beats()
    world.kill("c")
    await world.hosts["b"].beat(suspects=["c"])
    assert "c" not in (await world.owners()).values()


async def test_a_host_that_slept_beyond_its_lease_is_replaced_and_learns_it(world: World) -> None:
    await world.join("a", lease_s=0.2)
    await world.join("sleeper", lease_s=0.2)
    await world.beats(times=1)
    sleeper = world.hosts.pop("sleeper")
    async with asyncio.timeout(10):
        while (await world.held())["a"] < COUNT:
            await world.beats("a", times=1)
            await asyncio.sleep(0.02)
    with pytest.raises(Fenced):
        await asyncio.wait_for(sleeper.run(), 5)


async def test_after_an_outage_of_the_database_nobody_is_buried_who_comes_back(world: World) -> None:
    await world.join("a", "b")
    await world.beats()
    before = await world.owners()
    for host_id in ("a", "b"):  # all leases have run out meanwhile
        host = world.hosts[host_id]
        await world.store.renew(host_id, host.epoch, -1.0)
    await world.beats()
    assert await world.owners() == before


async def test_a_partition_is_not_free_before_its_turns_are_committed(world: World) -> None:
    await world.join("a")
    await world.beats()
    world.chargers["a"].idle.clear()
    await world.join("b")
    giving = asyncio.create_task(world.hosts["a"].beat())
    await asyncio.wait_for(world.chargers["a"].asked.wait(), 5)
    await world.beats("b")
    assert set((await world.owners()).values()) == {"a"}
    assert len(world.chargers["a"].owned) == 6
    world.chargers["a"].idle.set()
    await giving
    await world.beats("b", times=1)
    assert await world.held() == {"a": 6, "b": 6}


async def test_a_draining_host_hands_everything_over_and_stays_a_member(world: World) -> None:
    await world.join("a", "b")
    await world.beats()
    await world.store.drain("b")
    await world.beats()
    assert await world.held() == {"a": 12, "b": 0}
    assert [member.host_id for member in await world.store.members()] == ["a", "b"]


async def test_a_claim_that_was_stored_while_its_answer_was_lost_is_held_after_the_next_beat(world: World) -> None:
    await world.join("a")
    host = world.hosts["a"]
    await world.store.claim("a", host.epoch, range(COUNT))
    await world.beats()
    assert await world.held() == {"a": 12}


async def dedicate(world: World, engine: AsyncEngine) -> int:
    """Let `a` serve the station CP-1 and give that a partition of its own; `a` does not know yet."""
    await world.join("a")
    await world.beats()
    await PostgresChargerStore(engine, fixed_vault(), "a", 1).commit([Unit("CP-1", [Station("CP-1")])])
    return (await PostgresPlacements(engine, everyone=True, most=10).own_partitions())["CP-1"]


async def dedicated(world: World, engine: AsyncEngine) -> int:
    """Let the station CP-1 be served by a host of its own."""
    own = await dedicate(world, engine)
    await world.join("charger-CP-1", own_partition=own)
    await world.beats()
    return own


async def test_a_dedicated_host_gets_its_station_from_who_shared_it(world: World, engine: AsyncEngine) -> None:
    own = await dedicate(world, engine)
    await world.beats()
    assert world.chargers["a"].owned == set(range(COUNT + 1))
    assert world.chargers["a"].own == {"CP-1": own}
    await world.join("charger-CP-1", own_partition=own)
    await world.beats()
    assert await world.held() == {"a": COUNT, "charger-CP-1": 1}
    assert world.chargers["charger-CP-1"].owned == {own}


async def test_the_others_share_what_a_dead_dedicated_host_held_until_it_is_back(
    world: World, engine: AsyncEngine
) -> None:
    own = await dedicated(world, engine)
    world.kill("charger-CP-1")
    await world.beats()
    assert await world.held() == {"a": COUNT + 1}
    await world.join("charger-CP-1", own_partition=own)
    await world.beats()
    assert await world.held() == {"a": COUNT, "charger-CP-1": 1}


async def test_a_dedicated_host_that_is_drained_leaves_its_station_to_the_others(
    world: World, engine: AsyncEngine
) -> None:
    await dedicated(world, engine)
    await world.store.drain("charger-CP-1")
    await world.beats()
    assert await world.held() == {"a": COUNT + 1, "charger-CP-1": 0}
