"""Who gets a host of its own: by rules, and with a partition that begins where the station was."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.errors import Conflict, NotFound
from actors.ports import Unit
from cluster.partitions import PartitionMap
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.placements import PostgresPlacements
from cluster.store.views import Placement
from tests.twins.vault import fixed_vault

COUNT = 8


@pytest.fixture
async def fleet(engine: AsyncEngine) -> PostgresFleet:
    """Stations of two sites, and one of none, on a host `a` that owns everything."""
    fleet = PostgresFleet(engine)
    await fleet.prepare(COUNT)
    epoch = await fleet.join("a", 60)
    await fleet.claim("a", epoch, range(COUNT))
    known = [Station("D-1", site_id="DEPOT"), Station("D-2", site_id="DEPOT"), Station("P-1", site_id="PARK")]
    store = PostgresChargerStore(engine, fixed_vault(), "a", epoch)
    await store.commit([Unit(station.station_id, [station]) for station in [*known, Station("LONE")]])
    return fleet


def placements(engine: AsyncEngine, *, everyone: bool = False, most: int = 10) -> PostgresPlacements:
    return PostgresPlacements(engine, everyone, most)


async def test_without_rules_nobody_has_a_host_of_its_own(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    assert await placements(engine).own_partitions() == {}


async def test_a_site_s_stations_and_a_station_get_partitions_of_their_own(
    fleet: PostgresFleet, engine: AsyncEngine
) -> None:
    rules = placements(engine)
    await rules.dedicate("site", "DEPOT")
    await rules.dedicate("station", "LONE")
    assert await rules.own_partitions() == {"D-1": 8, "D-2": 9, "LONE": 10}
    assert await rules.own_partitions() == {"D-1": 8, "D-2": 9, "LONE": 10}, "a partition of its own is kept"
    assert await rules.rules() == [Placement("site", "DEPOT"), Placement("station", "LONE")]


async def test_the_new_partition_begins_with_who_owned_the_station(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    """Who knows the older map only must be the owner by the newer one too: nobody else may serve the station."""
    b = await fleet.join("b", 60)
    where = PartitionMap(COUNT).of("LONE")
    await fleet.release("a", 1, [where])
    await fleet.claim("b", b, [where])
    await placements(engine).dedicate("station", "LONE")
    assert await placements(engine).own_partitions() == {"LONE": COUNT}
    seen = await fleet.partition_map()
    assert (seen.own, seen.owners[COUNT], seen.owner("LONE")) == ({"LONE": COUNT}, "b", "b")
    assert (seen.ordinary, seen.total, seen.free) == (COUNT, COUNT + 1, 0)


async def test_who_claims_is_told_which_stations_are_in_it_no_more(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    await placements(engine, everyone=True).own_partitions()
    b = await fleet.join("b", 60)
    await fleet.release("a", 1, [3])
    got = await fleet.claim("b", b, [3])
    assert (got.partitions, sorted(got.own)) == ([3], ["D-1", "D-2", "LONE", "P-1"])


async def test_a_rule_that_is_taken_back_leaves_the_partition_to_be_shared(
    fleet: PostgresFleet, engine: AsyncEngine
) -> None:
    rules = placements(engine)
    await rules.dedicate("site", "PARK")
    await rules.own_partitions()
    await rules.pack("site", "PARK")
    assert await rules.own_partitions() == {}
    assert (await fleet.partition_map()).own == {"P-1": COUNT}
    with pytest.raises(NotFound, match="site PARK"):
        await rules.pack("site", "PARK")


async def test_an_unknown_station_and_too_many_are_refused(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    with pytest.raises(NotFound, match="no station nobody"):
        await placements(engine).dedicate("station", "nobody")
    with pytest.raises(Conflict, match=r"2 stations .* hosts.max_dedicated is 1"):
        await placements(engine, most=1).dedicate("site", "DEPOT")
    assert await placements(engine).rules() == []
    assert list(await placements(engine, everyone=True, most=3).own_partitions()) == ["D-1", "D-2", "LONE"]


async def test_two_that_look_at_once_make_one_partition_a_station(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    both = placements(engine, everyone=True)
    first, second = await asyncio.gather(both.own_partitions(), both.own_partitions())
    assert first == second
    assert sorted(first.values()) == [8, 9, 10, 11]
