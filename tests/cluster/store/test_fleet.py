"""Who may write: leases say when to look, epochs fence, free partitions are taken, owned ones given up."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.domain.station import Station
from actors.errors import Conflict, Fenced
from actors.ports import Unit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from cluster.store.views import Member, Restart
from tests.twins.vault import fixed_vault

LEASE_S = 60.0


@pytest.fixture
async def fleet(engine: AsyncEngine) -> PostgresFleet:
    fleet = PostgresFleet(engine)
    await fleet.prepare(8)
    return fleet


async def write(engine: AsyncEngine, host_id: str, epoch: int) -> None:
    await PostgresChargerStore(engine, fixed_vault(), host_id, epoch).commit([Unit("CP-1", [Station("CP-1")])])


async def test_every_life_of_a_host_has_a_higher_epoch(fleet: PostgresFleet) -> None:
    lives = [await fleet.join("a", LEASE_S), await fleet.join("a", LEASE_S), await fleet.join("b", LEASE_S)]
    assert lives == [1, 2, 1]


async def test_the_number_of_partitions_is_fixed_for_the_life_of_a_database(fleet: PostgresFleet) -> None:
    await fleet.prepare(8)
    with pytest.raises(Conflict, match="this database has 8"):
        await fleet.prepare(16)


async def test_a_partition_has_one_owner_and_another_epoch_with_each(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    a, b = await fleet.join("a", LEASE_S), await fleet.join("b", LEASE_S)
    both = await asyncio.gather(fleet.claim("a", a, [1, 2, 3]), fleet.claim("b", b, [3, 4]))
    assert sorted(both[0].partitions + both[1].partitions) == [1, 2, 3, 4]
    await fleet.release("a", a, both[0].partitions)
    assert (await fleet.claim("b", b, [1, 2])).partitions == [1, 2]
    assert set((await fleet.partition_map()).owners.values()) == {"b"}
    async with engine.connect() as connection:
        epochs = await connection.execute(text("SELECT partition, epoch FROM partitions ORDER BY partition"))
        assert [epoch for _, epoch in epochs][:3] == [1, 3, 3]


async def test_a_host_releases_only_what_is_its_own(fleet: PostgresFleet) -> None:
    a, b = await fleet.join("a", LEASE_S), await fleet.join("b", LEASE_S)
    await fleet.claim("a", a, [1])
    await fleet.release("b", b, [1])
    assert (await fleet.partition_map()).owners == {1: "a"}


async def test_a_buried_host_writes_renews_and_takes_nothing_any_more(
    fleet: PostgresFleet, engine: AsyncEngine
) -> None:
    a = await fleet.join("a", LEASE_S)
    await fleet.claim("a", a, [1, 2])
    await write(engine, "a", a)
    assert await fleet.bury(["a"], only_expired=True) == []
    assert await fleet.bury(["a"], only_expired=False) == ["a"]
    assert (await fleet.partition_map()).owners == {}
    assert await fleet.members() == []
    with pytest.raises(Fenced):
        await write(engine, "a", a)
    with pytest.raises(Fenced):
        await fleet.renew("a", a, LEASE_S)
    with pytest.raises(Fenced):
        await fleet.claim("a", a, [1])
    with pytest.raises(Fenced):
        await fleet.release("a", a, [1])


async def test_a_lease_that_ran_out_is_seen_and_the_host_can_be_buried(fleet: PostgresFleet) -> None:
    a, b = await fleet.join("a", 0.0), await fleet.join("b", LEASE_S)
    state = await fleet.renew("b", b, LEASE_S)
    assert state.members == [Member("a", draining=False, expired=True), Member("b", draining=False, expired=False)]
    await fleet.renew("a", a, LEASE_S)  # late, but nobody has buried it
    assert await fleet.bury(["a", "b"], only_expired=True) == []


async def test_the_version_tells_that_something_has_changed(fleet: PostgresFleet) -> None:
    a = await fleet.join("a", LEASE_S)
    first = (await fleet.renew("a", a, LEASE_S)).version
    assert (await fleet.renew("a", a, LEASE_S)).version == first
    await fleet.drain("a")
    state = await fleet.renew("a", a, LEASE_S)
    assert state.version > first
    assert state.members == [Member("a", draining=True, expired=False)]


async def test_a_successor_waits_for_the_commit_in_flight_and_a_renewal_does_not(
    fleet: PostgresFleet, engine: AsyncEngine
) -> None:
    a = await fleet.join("a", LEASE_S)
    store = PostgresChargerStore(engine, fixed_vault(), "a", a)
    await store.commit([Unit("CP-1", [Station("CP-1")])])
    async with engine.connect() as obstacle:
        await obstacle.execute(text("SELECT 1 FROM stations FOR UPDATE"))
        in_flight = asyncio.create_task(store.commit([Unit("CP-1", [Station("CP-1", model="late")])]))
        await waiting(obstacle, 1)
        await asyncio.wait_for(fleet.renew("a", a, LEASE_S), 5)
        successor = asyncio.create_task(fleet.bury(["a"], only_expired=False))
        await waiting(obstacle, 2)
    assert await in_flight == frozenset()
    assert await successor == ["a"]
    station = (await store.load(["CP-1"]))["CP-1"].station
    assert station is not None
    assert station.model == "late"


async def waiting(connection: AsyncConnection, count: int) -> None:
    """Wait until so many others wait for a lock."""
    async with asyncio.timeout(10):
        while await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_how_many_hosts_are_wanted_is_kept(fleet: PostgresFleet) -> None:
    assert await fleet.hosts_wanted() == 1
    await fleet.want_hosts(4)
    assert await fleet.hosts_wanted() == 4


async def test_a_rolling_restart_counts_who_was_started_before_it(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    gateways = PostgresGateways(engine)
    await fleet.join("a", LEASE_S)
    await gateways.started("g-1", "", "")
    assert (await fleet.restarting()).done
    assert await fleet.restart("r-1") == Restart(1, hosts_left=1, gateways_left=1)
    assert await fleet.restart("r-1") == Restart(1, hosts_left=1, gateways_left=1), "the same request again"
    assert await gateways.generation() == 1
    await fleet.bury(["a"], only_expired=False)
    await fleet.join("b", LEASE_S, generation=1)
    await gateways.started("g-1", "", "", generation=1)
    assert await fleet.restarting() == Restart(1, hosts_left=0, gateways_left=0)
