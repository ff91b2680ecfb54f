"""The contract of CircleStore, proven for PostgreSQL and for the twin that other tests use."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.errors import BadRequest, Changed
from actors.ports import ChargerStore, Unit
from cluster.identity.circle import Circle, Offer
from cluster.identity.relation import Holding, Relation, Terms, Tie, Window
from cluster.sharing import CircleStore
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.circles import PostgresCircles
from cluster.store.fleet import PostgresFleet
from cluster.webhooks.sight import StationTies
from tests.twins.circles import MemoryCircles
from tests.twins.store import MemoryDatabase, MemoryStore
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOME = Holding("station", "CP-1")
DEPOT = Holding("site", "DEPOT")


class World:
    """Circles, and who writes stations beside them."""

    def __init__(self, circles: PostgresCircles | MemoryCircles, store: ChargerStore) -> None:
        self.circles: CircleStore = circles
        self.ties: StationTies = circles
        self._store = store

    async def add(self, *stations: Station) -> None:
        await self._store.commit([Unit(station.station_id, [station]) for station in stations])

    async def put(self, holding: Holding, *ties: Tie, offers: tuple[Offer, ...] = ()) -> None:
        circle = await self.circles.circle(holding)
        circle.ties = {tie.subject: tie for tie in ties}
        circle.offers = {offer.id: offer for offer in offers}
        await self.circles.save(circle)


@pytest.fixture
async def postgres_store(engine: AsyncEngine) -> PostgresChargerStore:
    return PostgresChargerStore(engine, fixed_vault(), "host-0", await PostgresFleet(engine).join("host-0", 60))


@pytest.fixture(params=["memory", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        database = MemoryDatabase()
        return World(MemoryCircles(database), MemoryStore(database))
    engine: AsyncEngine = request.getfixturevalue("engine")
    return World(PostgresCircles(engine), request.getfixturevalue("postgres_store"))


def tie(subject: str, relation: Relation = "guest", holding: Holding = HOME, terms: Terms | None = None) -> Tie:
    return Tie(subject, holding, relation, "staff", NOON, terms or Terms())


def offer(number: int, subject: str | None = None, code_digest: str | None = None, holding: Holding = HOME) -> Offer:
    at = NOON + timedelta(minutes=number)
    return Offer(f"o-{number}", holding, "guest", "ann", at, at + timedelta(days=7), subject, code_digest)


async def test_a_place_that_nobody_shares_has_an_empty_circle(world: World) -> None:
    assert await world.circles.circle(HOME) == Circle(HOME)


async def test_a_circle_is_read_as_it_was_stored(world: World) -> None:
    terms = Terms(NOON, NOON + timedelta(days=1), 1.5, 2.5, 3, Window(time(22), time(6, 30), (0, 6), "Europe/Berlin"))
    people = (tie("ann", "owner"), tie("Bö b/", "guest", terms=terms))
    await world.put(HOME, *people, offers=(offer(1, "cleo"), offer(2, code_digest="d" * 64)))
    stored = await world.circles.circle(HOME)
    assert stored.version == 1
    assert stored.ties == {"ann": people[0], "Bö b/": people[1]}
    assert stored.offers == {"o-1": offer(1, "cleo"), "o-2": offer(2, code_digest="d" * 64)}
    assert await world.circles.circle(DEPOT) == Circle(DEPOT)


async def test_who_is_gone_from_a_circle_is_gone(world: World) -> None:
    await world.put(HOME, tie("ann", "owner"), tie("bob"), offers=(offer(1, "cleo"),))
    await world.put(HOME, tie("bob", "owner"))
    stored = await world.circles.circle(HOME)
    assert (stored.version, set(stored.ties), stored.offers) == (2, {"bob"}, {})


@pytest.mark.parametrize("known", [False, True])
async def test_of_two_changes_at_a_time_one_is_told(world: World, known: bool) -> None:
    if known:
        await world.put(HOME, tie("ann", "owner"))
    first, second = await world.circles.circle(HOME), await world.circles.circle(HOME)
    first.ties["bob"], second.ties["cleo"] = tie("bob"), tie("cleo")
    results = await asyncio.gather(world.circles.save(first), world.circles.save(second), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Changed", "NoneType"]
    assert len({"bob", "cleo"} & set((await world.circles.circle(HOME)).ties)) == 1
    with pytest.raises(Changed):
        await world.circles.save(first)


async def test_what_bears_on_places_is_ones_own_and_who_owns_them(world: World) -> None:
    await world.add(Station("CP-1", site_id="DEPOT"), Station("CP-2", site_id="DEPOT"), Station("CP-3"))
    await world.put(HOME, tie("ann", "owner"), tie("bob"), tie("cleo"))
    at_depot = (tie("bob", "co-owner", DEPOT), tie("dan", "owner", DEPOT))
    await world.put(DEPOT, *at_depot)
    there = [HOME, Holding("station", "CP-2"), Holding("station", "CP-3"), Holding("station", "nowhere"), DEPOT]
    found = await world.circles.bearing("bob", there)
    assert {holding: {(g.subject, g.relation, g.holding.kind) for g in ties} for holding, ties in found.items()} == {
        HOME: {("ann", "owner", "station"), ("bob", "guest", "station"), ("bob", "co-owner", "site")},
        Holding("station", "CP-2"): {("bob", "co-owner", "site")},
        DEPOT: {("bob", "co-owner", "site"), ("dan", "owner", "site")},
    }
    assert await world.circles.bearing("nobody", [Holding("station", "CP-3")]) == {}


async def test_who_watches_stations_is_who_is_there_or_at_their_site(world: World) -> None:
    await world.add(Station("CP-1", site_id="DEPOT"), Station("CP-2", site_id="DEPOT"), Station("CP-3"))
    await world.put(HOME, tie("ann", "owner"), tie("bob"))
    await world.put(DEPOT, tie("dan", "owner", DEPOT))
    found = await world.ties.on_stations(["CP-1", "CP-2", "CP-3", "nowhere"])
    assert {name: {one.subject for one in ties} for name, ties in found.items()} == {
        "CP-1": {"ann", "bob", "dan"},
        "CP-2": {"dan"},
    }


async def test_offers_are_found_by_person_the_oldest_first_and_by_code(world: World) -> None:
    await world.put(HOME, offers=(offer(2, "cleo"), offer(3, code_digest="aa")))
    await world.put(DEPOT, offers=(offer(1, "cleo", holding=DEPOT), offer(4, "dan", holding=DEPOT)))
    assert [found.id for found in await world.circles.offers_to("cleo")] == ["o-1", "o-2"]
    assert await world.circles.offer_of("aa") == offer(3, code_digest="aa")
    assert await world.circles.offer_of("bb") is None
    assert await world.circles.offers_to("nobody") == []


async def test_of_many_offers_the_oldest_hundred_are_told(world: World) -> None:
    await world.put(HOME, offers=tuple(offer(number, "cleo") for number in range(120)))
    assert [found.id for found in await world.circles.offers_to("cleo")] == [f"o-{n}" for n in range(100)]


async def test_a_value_that_cannot_be_stored_is_refused(world: World) -> None:
    with pytest.raises(BadRequest):
        await world.put(HOME, tie("a\0b"))
    assert await world.circles.circle(HOME) == Circle(HOME)
