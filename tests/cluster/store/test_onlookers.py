"""The contract of OnlookerQueries, proven for PostgreSQL and for the twin that other tests use."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.ports import ChargerStore
from cluster.identity.relation import Holding, Tie
from cluster.onlookers import OnlookerQueries, Origin
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.charges import PostgresCharges
from cluster.store.circles import PostgresCircles
from cluster.store.drivers import PostgresDrivers
from cluster.store.fleet import PostgresFleet
from cluster.store.onlookers import PostgresOnlookers
from tests.cluster.store.test_charges import DEPOT, HOME, NOON, World, charge
from tests.twins.charges import MemoryCharges, MemoryDrivers
from tests.twins.circles import MemoryCircles
from tests.twins.onlookers import MemoryOnlookers
from tests.twins.store import MemoryDatabase, MemoryStore
from tests.twins.vault import fixed_vault


@pytest.fixture
async def postgres_store(engine: AsyncEngine) -> PostgresChargerStore:
    return PostgresChargerStore(engine, fixed_vault(), "host-0", await PostgresFleet(engine).join("host-0", 60))


@pytest.fixture(params=["memory", "postgresql"])
def both(request: pytest.FixtureRequest) -> tuple[World, OnlookerQueries]:
    """Return a world, and who looks at it for onlookers."""
    if request.param == "memory":
        database = MemoryDatabase()
        circles, drivers = MemoryCircles(database), MemoryDrivers(database)
        charges = MemoryCharges(database, circles, drivers)
        return World(charges, drivers, circles, MemoryStore(database)), MemoryOnlookers(charges)
    engine: AsyncEngine = request.getfixturevalue("engine")
    store: ChargerStore = request.getfixturevalue("postgres_store")
    drivers_there = PostgresDrivers(engine, fixed_vault())
    return World(PostgresCharges(engine), drivers_there, PostgresCircles(engine), store), PostgresOnlookers(engine)


async def test_ties_are_peoples_own_and_those_of_the_owners_beside_them(both: tuple[World, OnlookerQueries]) -> None:
    world, look = both
    olga = Tie("olga", HOME, "owner", "staff", NOON)
    gus, cora = Tie("gus", HOME, "guest", "olga", NOON), Tie("cora", DEPOT, "co-owner", "dora", NOON)
    dora, eve = Tie("dora", DEPOT, "owner", "staff", NOON), Tie("eve", Holding("station", "CP-9"), "owner", "s", NOON)
    await world.share(olga, gus, cora, dora, eve)

    def key(tie: Tie) -> str:
        return tie.subject

    assert sorted(await look.ties(["gus"]), key=key) == [gus, olga]
    assert await look.ties(["cora"]) == [cora], "the owner of a site changes nothing for others there"
    assert sorted(await look.ties({"olga", "cora", "nobody"}), key=key) == [cora, olga]
    assert await look.ties([]) == []


async def test_the_sites_of_stations(both: tuple[World, OnlookerQueries]) -> None:
    world, look = both
    await world.commit(Station("CP-1", site_id="DEPOT"), Station("CP-2"))
    assert await look.sites(["CP-1", "CP-2", "CP-9"]) == {"CP-1": "DEPOT"}


async def test_who_charges_where(both: tuple[World, OnlookerQueries]) -> None:
    world, look = both
    gus, gil = await world.drivers.id_token("gus"), await world.drivers.id_token("gil")
    await world.commit(
        charge(1, gus), charge(2, gus, "CP-2"), charge(3, gus, "CP-3", ended_at=NOON), charge(4, gil, ended_at=NOON),
        charge(5, "04A2B3C4D5"),
    )  # fmt: skip
    assert await look.charging(["gus", "gil", "sam"]) == {"gus": frozenset({"CP-1", "CP-2"})}


async def test_whose_a_charge_is_and_since_when(both: tuple[World, OnlookerQueries]) -> None:
    world, look = both
    mine, cards = charge(1, await world.drivers.id_token("gus")), charge(2, "04A2B3C4D5", "CP-2")
    await world.commit(mine, cards)
    assert await look.origins([mine.id, cards.id, "nonsense", charge(9).id]) == {
        mine.id: Origin("CP-1", "gus", mine.created_at),
        cards.id: Origin("CP-2", None, cards.created_at),
    }
    assert await look.origins([]) == {}
