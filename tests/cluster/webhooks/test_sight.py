"""Whose events the owners of subscriptions may see: by relations, and by who is staff."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from cluster.bus.outbox import WaitingEvent
from cluster.identity.caller import Caller, Role
from cluster.identity.circle import Circle
from cluster.identity.machine_keys import MachineKey
from cluster.identity.people import Credential, User, UserChange
from cluster.identity.relation import Holding, Relation, Terms, Tie
from cluster.sharing import Sharing, SharingRules
from cluster.store.circles import PostgresCircles
from cluster.store.deliveries import PostgresDeliveryQueue
from cluster.store.identity import identity_stores
from cluster.store.staff import PostgresStaff
from cluster.webhooks.dispatcher import Dispatcher
from cluster.webhooks.model import Answer
from cluster.webhooks.schedule import Schedule
from cluster.webhooks.sight import RelationSight
from tests.cluster.bus.facts import NOON, fact
from tests.cluster.webhooks.conftest import DAY, MarkedBox, World, postgres_world
from tests.cluster.webhooks.test_dispatcher import LIMITS
from tests.twins.circles import MemoryCircles
from tests.twins.store import MemoryDatabase
from tests.twins.vault import fixed_vault

HOME, DEPOT = Holding("station", "CP-1"), Holding("site", "DEPOT")
STAFF = Caller("staff", "cloudbay", frozenset({"operator"}))


class NobodyGone:
    async def dismissed(self, subjects: Collection[str]) -> frozenset[str]:
        return frozenset()


def tie(subject: str, relation: Relation, holding: Holding = HOME, hours: int = 0, terms: Terms | None = None) -> Tie:
    return Tie(subject, holding, relation, "staff", NOON + timedelta(hours=hours), terms or Terms())


async def seen(*ties: Tie) -> dict[str, int]:
    """Return who may see CP-1 at the depot, each with the hour since when."""
    database = MemoryDatabase()
    database.stations["CP-1"] = Station("CP-1", site_id="DEPOT")
    circles = MemoryCircles(database)
    for one in ties:
        circles.circles.setdefault(one.holding, Circle(one.holding)).ties[one.subject] = one
    found = await RelationSight(circles, NobodyGone(), lambda: NOON).watchers(["CP-1", "CP-9"])
    since = found.get("CP-1", {})
    return {who: round((at - NOON).total_seconds() / 3600) for who, at in since.items()}


async def test_owners_and_co_owners_are_told_since_their_relation_began() -> None:
    assert await seen(tie("olga", "owner", hours=-9), tie("cora", "co-owner", hours=-2)) == {"olga": -9, "cora": -2}


async def test_guests_are_told_nothing() -> None:
    assert await seen(tie("gus", "guest")) == {}


async def test_what_one_is_to_a_site_holds_for_its_stations() -> None:
    assert await seen(tie("dan", "owner", DEPOT, -3), tie("olga", "owner")) == {"dan": -3, "olga": 0}
    assert await seen(tie("gus", "guest", DEPOT)) == {}


async def test_a_relation_counts_while_it_holds() -> None:
    over, later = Terms(valid_until=NOON), Terms(valid_from=NOON + timedelta(seconds=1))
    assert await seen(tie("cora", "co-owner", terms=over), tie("carl", "co-owner", terms=later)) == {}


class Failing:
    """Sender to endpoints that take nothing, so that every delivery waits for its next attempt; keeps what it sent."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def endpoint(self, url: str) -> Failing:
        return self

    async def post(self, headers: dict[str, str], body: bytes) -> Answer:
        self.kinds.append(msgspec.json.decode(body)["type"])
        return Answer(500)

    async def close(self) -> None:
        pass


class Live:
    """Webhooks on real tables, with real relations behind them."""

    def __init__(self, engine: AsyncEngine, world: World) -> None:
        self.world = world
        circles, clock = PostgresCircles(engine), world.clock
        rules = SharingRules(100, timedelta(days=7), timedelta(days=365))
        self.sharing = Sharing(circles, rules, clock, b"k" * 32)
        sight, self.sent = RelationSight(circles, PostgresStaff(engine), clock), Failing()
        world.queue = PostgresDeliveryQueue(engine, MarkedBox(), sight)
        schedule = Schedule(timedelta(hours=48), lambda: 0.0)
        self.worker = Dispatcher("w", world.queue, sight, self.sent, schedule, LIMITS, clock)

    async def told(self, *events: WaitingEvent) -> list[str]:
        """Let events come about; return those that are sent."""
        await self.world.happens(*events)
        self.world.clock.go_on(seconds=90)
        self.sent.kinds.clear()
        await self.worker.deliver()
        return list(self.sent.kinds)


@pytest.fixture
async def live(engine: AsyncEngine) -> Live:
    return Live(engine, await postgres_world(engine))


async def test_a_relation_that_ends_stops_the_events_at_once(live: Live) -> None:
    """Those that come, those that wait for a next attempt, and those that are replayed."""
    await live.sharing.give(STAFF, HOME, "olga")
    mine = await live.world.subscribe(owner="olga", whole_fleet=False)
    assert await live.told(fact("StationBooted")) == ["StationBooted"]
    await live.sharing.give(STAFF, HOME, "nick")
    assert await live.told(fact("TransactionEnded")) == []
    (delivery,) = await live.world.all_of(mine)
    assert (delivery.event.kind, delivery.state, delivery.error) == ("StationBooted", "dead", "not allowed any more")
    await live.world.log.replay(mine.id, delivery.id, live.world.clock.now, live.world.clock.now + DAY)
    assert await live.told() == []


async def test_a_new_owner_is_not_told_what_was_before(live: Live) -> None:
    await live.world.subscribe(owner="nick", whole_fleet=False)
    live.world.clock.go_on(seconds=5)
    await live.sharing.give(STAFF, HOME, "nick")
    assert await live.told(fact("StationBooted", number=4), fact("StationBooted", number=5)) == ["StationBooted"]


async def test_a_foreign_station_that_a_filter_names_brings_nothing(live: Live) -> None:
    await live.sharing.give(STAFF, HOME, "olga")
    await live.world.subscribe(owner="sam", whole_fleet=False)
    assert await live.told(fact("StationBooted"), fact("StationBooted", "CP-9")) == []


async def person(engine: AsyncEngine, *roles: Role) -> str:
    user_id, users = str(uuid4()), identity_stores(engine, fixed_vault()).users
    user = User(user_id, "local", user_id, user_id, None, None, frozenset(roles), "active", NOON)
    await users.add(user, Credential(user_id, None, must_change=False, expires_at=None))
    return user_id


async def test_who_loses_role_account_or_key_is_known_not_to_be_staff(engine: AsyncEngine) -> None:
    stores = identity_stores(engine, fixed_vault())
    stays, demoted, closed = [await person(engine, "operator") for _ in range(3)]
    await person(engine, "admin")
    await stores.users.change(demoted, UserChange(roles=frozenset()), NOON)
    await stores.users.change(closed, UserChange(status="disabled"), NOON)
    key = MachineKey("good", "robot", b"s", frozenset(), frozenset(), "ann", NOON, NOON.replace(year=2999))
    for one in (
        key,
        msgspec.structs.replace(key, id="revoked"),
        msgspec.structs.replace(key, id="old", expires_at=NOON),
    ):
        await stores.machine_keys.add(one)
    await stores.machine_keys.revoke("revoked", NOON)
    asked = [stays, demoted, closed, "key:good", "key:revoked", "key:old", "client:x", "cli"]
    assert await PostgresStaff(engine).dismissed(asked) == {demoted, closed, "key:revoked", "key:old"}


async def test_who_is_not_staff_any_more_is_told_nothing(engine: AsyncEngine, live: Live) -> None:
    ann = await person(engine, "operator")
    await person(engine, "admin")
    await live.world.subscribe(owner=ann)
    assert await live.told(fact("StationBooted")) == ["StationBooted"]
    await identity_stores(engine, fixed_vault()).users.change(ann, UserChange(roles=frozenset()), NOON)
    assert await live.told(fact("TransactionEnded")) == []
