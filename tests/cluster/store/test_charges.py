"""The contracts of ChargeQueries and Drivers, proven for PostgreSQL and for the twins that other tests use."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.meter import EnergyMeter
from actors.domain.records import Row
from actors.domain.station import Station
from actors.domain.token import token_key
from actors.domain.transaction import ChargingTransaction
from actors.errors import NotFound
from actors.ports import ChargerStore, Needs, Unit
from cluster.charging import START, ChargeQueries, Drivers
from cluster.identity.relation import Holding, Terms, Tie, Use
from cluster.sharing import CircleStore
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.charges import PostgresCharges
from cluster.store.circles import PostgresCircles
from cluster.store.drivers import PostgresDrivers
from cluster.store.fleet import PostgresFleet
from cluster.store.tokens import PostgresTokens
from tests.twins.charges import MemoryCharges, MemoryDrivers
from tests.twins.circles import MemoryCircles
from tests.twins.store import MemoryDatabase, MemoryStore
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOME = Holding("station", "CP-1")
DEPOT = Holding("site", "DEPOT")


class World:
    """What app users look at, and who writes it."""

    def __init__(self, look: ChargeQueries, drivers: Drivers, circles: CircleStore, store: ChargerStore) -> None:
        self.look = look
        self.drivers = drivers
        self.store = store
        self._circles = circles

    async def commit(self, *rows: Row) -> None:
        for row in rows:
            station_id = getattr(row, "station_id", "CP-1")
            await self.store.commit([Unit(station_id, [row])])

    async def share(self, *ties: Tie) -> None:
        for tie in ties:
            circle = await self._circles.circle(tie.holding)
            circle.ties[tie.subject] = tie
            await self._circles.save(circle)


@pytest.fixture
async def postgres_store(engine: AsyncEngine) -> PostgresChargerStore:
    return PostgresChargerStore(engine, fixed_vault(), "host-0", await PostgresFleet(engine).join("host-0", 60))


@pytest.fixture(params=["memory", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        database = MemoryDatabase()
        circles, drivers = MemoryCircles(database), MemoryDrivers(database)
        return World(MemoryCharges(database, circles, drivers), drivers, circles, MemoryStore(database))
    engine: AsyncEngine = request.getfixturevalue("engine")
    store: ChargerStore = request.getfixturevalue("postgres_store")
    return World(PostgresCharges(engine), PostgresDrivers(engine, fixed_vault()), PostgresCircles(engine), store)


def charge(number: int, id_token: str | None = None, station_id: str = "CP-1", **values: object) -> ChargingTransaction:
    at = NOON + timedelta(minutes=number)
    plain = ChargingTransaction(
        str(UUID(int=number)), station_id, f"tx-{number}", at, id_token=id_token, evse_id=1, started_at=at,
        meter=EnergyMeter(energy_wh=1000.0 * number, power_w=7000.0),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **values)


def start(number: int, subject: str, station_id: str = "CP-1", **values: object) -> Command:
    at = NOON + timedelta(minutes=number)
    plain = Command(f"c-{number}", station_id, START, {}, at, at + timedelta(minutes=1), requested_by=subject)
    return msgspec.structs.replace(plain, **values)


async def test_a_person_has_one_id_token_that_may_charge_anywhere(world: World) -> None:
    first, second = await asyncio.gather(world.drivers.id_token("ann"), world.drivers.id_token("ann"))
    assert first == second == await world.drivers.id_token("ann")
    assert 1 <= len(first) <= 20, "an idTag of OCPP 1.6 holds no more"
    assert first != await world.drivers.id_token("bob")
    (facts,) = await world.store.facts([Needs("CP-1", tokens=(token_key(first),))])
    known = facts.tokens[token_key(first)]
    assert known is not None
    assert (known.status, known.concurrent, known.master_pass) == ("Accepted", True, False)


async def test_an_id_token_that_an_admin_has_forgotten_is_registered_again(engine: AsyncEngine) -> None:
    drivers, tokens = PostgresDrivers(engine, fixed_vault()), PostgresTokens(engine, fixed_vault())
    id_token = await drivers.id_token("ann")
    await tokens.remove(id_token)
    assert await drivers.id_token("ann") == id_token
    await tokens.remove(id_token)


async def test_the_stations_of_a_person_are_those_of_relations_in_force(world: World) -> None:
    await world.commit(
        Station("CP-1", password_digest="d"), Station("CP-2", site_id="DEPOT"), Station("CP-3", site_id="DEPOT"),
        Station("CP-4"), Station("CP-5"), Station("CP-6"),
    )  # fmt: skip
    await world.share(
        Tie("ann", HOME, "owner", "staff", NOON),
        Tie("ann", DEPOT, "guest", "staff", NOON),
        Tie("ann", Holding("station", "CP-3"), "guest", "staff", NOON),
        Tie("ann", Holding("station", "CP-4"), "guest", "staff", NOON, Terms(valid_until=NOON)),
        Tie("ann", Holding("station", "CP-5"), "guest", "staff", NOON, Terms(valid_from=NOON + timedelta(hours=1))),
        Tie("bob", Holding("station", "CP-6"), "owner", "staff", NOON),
    )
    page = await world.look.stations_of("ann", NOON, limit=2)
    rest = await world.look.stations_of("ann", NOON, page.cursor, limit=2)
    assert [s.station_id for s in page.items + rest.items] == ["CP-1", "CP-2", "CP-3"]
    assert page.items[0].password_digest is None
    assert rest.cursor is None
    later = await world.look.stations_of("ann", NOON + timedelta(hours=1))
    assert [s.station_id for s in later.items] == ["CP-1", "CP-2", "CP-3", "CP-5"]
    assert (await world.look.stations_of("nobody", NOON)).items == []


async def test_relations_of_a_person_are_listed_in_force_or_not(world: World) -> None:
    over = Tie("ann", HOME, "guest", "staff", NOON, Terms(valid_until=NOON - timedelta(days=1)))
    await world.share(over, Tie("ann", DEPOT, "owner", "staff", NOON), Tie("bob", HOME, "owner", "staff", NOON))
    first = await world.look.ties_of("ann", limit=1)
    rest = await world.look.ties_of("ann", first.cursor, limit=1)
    assert [tie.holding for tie in first.items + rest.items] == [DEPOT, HOME]
    assert rest.items == [over]


async def test_charges_are_found_by_person_place_time_and_whether_they_run(world: World) -> None:
    ann = await world.drivers.id_token("ann")
    await world.commit(
        charge(1, ann.upper(), ended_at=NOON),
        charge(2, "A-CARD"),
        charge(3, ann, "CP-2"),
        charge(4),
    )

    async def numbers(**asked: object) -> list[int]:
        found = (await world.look.charges(**asked)).items  # type: ignore[arg-type]
        return [UUID(one.id).int for one in found]

    assert await numbers() == [4, 3, 2, 1]
    assert await numbers(subject="ann") == [3, 1]
    assert await numbers(subject="ann", is_open=True) == [3]
    assert await numbers(subject="ann", is_open=False, station_id="CP-1") == [1]
    assert await numbers(station_id="CP-1", began_from=NOON + timedelta(minutes=2)) == [4, 2]
    assert await numbers(subject="bob") == []
    first = await world.look.charges(limit=3)
    assert [UUID(one.id).int for one in (await world.look.charges(limit=3, cursor=first.cursor)).items] == [1]


async def test_a_charge_tells_who_and_how_much_but_no_id_token(world: World) -> None:
    ann = await world.drivers.id_token("ann")
    await world.commit(charge(1, ann), charge(2, "A-CARD"))
    found = await world.look.charge(str(UUID(int=1)))
    assert (found.subject, found.energy_wh, found.power_w) == ("ann", 1000.0, 7000.0)
    assert ann not in str(found)
    assert (await world.look.charge(str(UUID(int=2)))).subject is None
    for nothing in (str(UUID(int=9)), "no uuid"):
        with pytest.raises(NotFound, match=f"there is no charge {nothing}"):
            await world.look.charge(nothing)


async def test_what_was_used_counts_charges_energy_and_starts_that_may_still_come(world: World) -> None:
    ann, now = await world.drivers.id_token("ann"), NOON + timedelta(minutes=20)
    await world.commit(
        Station("CP-1", site_id="DEPOT"), Station("CP-2", site_id="DEPOT"), Station("CP-3"),
        charge(1, ann), charge(2, ann, "CP-2"), charge(3, ann, "CP-3"), charge(4, "A-CARD"), charge(5, ann),
        start(17, "ann", "CP-2"), start(18, "ann", status="accepted"), start(19, "ann", status="rejected"),
        start(19, "bob"), start(16, "ann", status="accepted", transaction=str(UUID(int=5))),
        start(14, "ann", status="accepted"),
    )  # fmt: skip
    assert await world.look.used("ann", HOME, NOON, now) == Use(3, 6000.0)
    assert await world.look.used("ann", DEPOT, NOON, now) == Use(5, 8000.0)
    assert await world.look.used("ann", HOME, NOON + timedelta(minutes=2), now) == Use(2, 5000.0)
    assert await world.look.used("bob", Holding("station", "CP-3"), NOON, now) == Use()
