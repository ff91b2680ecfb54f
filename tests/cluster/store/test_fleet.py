"""Who may write: epochs fence, claims rob, gateways are forgotten."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.domain.station import Station
from actors.errors import Fenced
from actors.ports import Unit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def fleet(engine: AsyncEngine) -> PostgresFleet:
    return PostgresFleet(engine)


async def test_every_life_of_a_host_has_a_higher_epoch(fleet: PostgresFleet) -> None:
    assert [await fleet.join("a"), await fleet.join("a"), await fleet.join("b")] == [1, 2, 1]


async def test_a_claim_is_seen_in_the_map_and_a_new_life_owns_nothing(fleet: PostgresFleet) -> None:
    await fleet.join("a")
    await fleet.claim("a", range(4096))
    assert await fleet.partition_map() == dict.fromkeys(range(4096), "a")
    await fleet.join("a")
    assert await fleet.partition_map() == {}


async def test_a_host_that_is_robbed_of_a_partition_is_fenced_off(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    robbed = PostgresChargerStore(engine, "a", await fleet.join("a"))
    await fleet.claim("a", [1, 2, 3])
    robber = PostgresChargerStore(engine, "b", await fleet.join("b"))
    await fleet.claim("b", [4])
    assert await robbed.commit([Unit("CP-1", [Station("CP-1")])]) == frozenset()

    await fleet.claim("b", [3])
    with pytest.raises(Fenced):
        await robbed.commit([Unit("CP-1", [Station("CP-1")])])
    assert await robber.commit([Unit("CP-1", [Station("CP-1")])]) == frozenset()
    assert await fleet.partition_map() == {1: "a", 2: "a", 3: "b", 4: "b"}


async def test_a_successor_waits_for_the_commit_in_flight(fleet: PostgresFleet, engine: AsyncEngine) -> None:
    store = PostgresChargerStore(engine, "a", await fleet.join("a"))
    await store.commit([Unit("CP-1", [Station("CP-1")])])
    async with engine.connect() as obstacle:
        await obstacle.execute(text("SELECT 1 FROM stations FOR UPDATE"))
        in_flight = asyncio.create_task(store.commit([Unit("CP-1", [Station("CP-1", model="late")])]))
        await waiting(obstacle, 1)
        successor = asyncio.create_task(fleet.join("a"))
        await waiting(obstacle, 2)
    assert await in_flight == frozenset()
    assert await successor == 2
    station = (await store.load(["CP-1"]))["CP-1"].station
    assert station is not None
    assert station.model == "late"


async def waiting(connection: AsyncConnection, count: int) -> None:
    """Wait until so many others wait for a lock."""
    async with asyncio.timeout(10):
        while await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_stations_of_a_gateway_that_is_gone_are_disconnected(
    fleet: PostgresFleet, engine: AsyncEngine
) -> None:
    store = PostgresChargerStore(engine, "a", await fleet.join("a"))
    await fleet.gateway_started("g-1", "node", "10.0.0.1:9000")
    gateways = {"CP-2": "g-1", "CP-1": "g-1", "CP-3": "g-2", "CP-4": None}
    await store.commit([Unit(name, [Station(name, gateway_id=gateway)]) for name, gateway in gateways.items()])

    assert sorted(await fleet.gateway_gone("g-1", NOON)) == ["CP-1", "CP-2"]
    found = await store.load(list(gateways))
    assert {name: s.station.gateway_id for name, s in found.items() if s.station} == {
        "CP-1": None,
        "CP-2": None,
        "CP-3": "g-2",
        "CP-4": None,
    }
    assert found["CP-1"].station is not None
    assert found["CP-1"].station.disconnected_at == NOON
    assert await fleet.forget_all_gateways(NOON) == 1
