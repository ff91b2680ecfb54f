"""The contract of SubscriptionStore, DeliveryLog and DeliveryQueue: of the tables and of their twins."""

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest, Changed, CloudBayError, Conflict, NotFound
from cluster.webhooks.model import Answer, Backlog, Claim, Delivery, Filter, Health, Settled, Subscription, Verdict
from tests.cluster.bus.facts import NOON, fact
from tests.cluster.webhooks.conftest import DAY, MarkedBox, World, postgres_world

OK = Answer(204)


async def settle(world: World, delivery: Delivery, verdict: Verdict, answer: Answer = OK) -> None:
    await world.queue.settle(Settled(delivery.id, delivery.attempts, world.clock.now, answer, verdict))


async def kinds(world: World, subscription: Subscription) -> list[str]:
    return [delivery.event.kind for delivery in await world.all_of(subscription)]


async def only_claim(world: World, **how: object) -> Claim:
    (claim,) = await world.claim(**how)  # type: ignore[arg-type]
    return claim


# Subscriptions


async def test_a_subscription_is_found_as_it_was_made(world: World) -> None:
    made = await world.subscribe(Filter(("A", "B"), ("CP-1",), ("DEPOT",)))
    assert await world.subscriptions.find(made.id, "ann") == made
    assert await world.subscriptions.find(made.id, None) == made


async def test_a_foreign_subscription_does_not_exist(world: World) -> None:
    made = await world.subscribe(owner="ann")
    with pytest.raises(NotFound):
        await world.subscriptions.find(made.id, "bob")
    with pytest.raises(NotFound):
        await world.subscriptions.remove(made.id, "bob")
    assert (await world.subscriptions.page("bob", None, 10)).items == []


async def test_subscriptions_are_listed_by_pages_the_newest_first(world: World) -> None:
    made = []
    for _ in range(3):
        made.append(await world.subscribe())
        world.clock.go_on(seconds=1)
    await world.subscribe(owner="bob")
    first = await world.subscriptions.page("ann", None, 2)
    rest = await world.subscriptions.page("ann", first.cursor, 2)
    assert [one.id for one in (*first.items, *rest.items)] == [one.id for one in made[::-1]]
    assert rest.cursor is None
    assert (await world.subscriptions.page("ann", rest.previous, 2)).items == first.items
    assert len((await world.subscriptions.page(None, None, 10)).items) == 4


async def test_nobody_has_more_subscriptions_than_may_be(world: World) -> None:
    one = await world.subscribe()
    other = msgspec.structs.replace(one, id="other")
    with pytest.raises(Conflict, match="there are 1"):
        await world.subscriptions.add(other, b"s", 1)
    await world.subscriptions.add(msgspec.structs.replace(other, owner="bob"), b"s", 1)


async def test_a_change_by_who_has_read_an_older_version_is_refused(world: World) -> None:
    made = await world.subscribe()
    changed = msgspec.structs.replace(made, url="https://b.example/", version=2)
    await world.subscriptions.replace(changed, 1)
    with pytest.raises(Changed, match="changed meanwhile"):
        await world.subscriptions.replace(msgspec.structs.replace(made, version=2), 1)
    assert (await world.subscriptions.find(made.id, None)).url == "https://b.example/"
    with pytest.raises(NotFound):
        await world.subscriptions.replace(msgspec.structs.replace(made, id="gone"), 1)


async def test_what_is_removed_is_gone_with_its_deliveries(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    await world.subscriptions.remove(made.id, "ann")
    with pytest.raises(NotFound):
        await world.subscriptions.find(made.id, None)
    assert await world.all_of(made) == []
    assert await world.claim() == []


# From events to deliveries


async def test_an_event_becomes_a_delivery_of_every_subscription_that_wants_it(world: World) -> None:
    await world.locate("CP-2", "DEPOT")
    everything = await world.subscribe()
    of_kind = await world.subscribe(Filter(kinds=("TransactionEnded",)))
    of_station = await world.subscribe(Filter(station_ids=("CP-1",)))
    of_site = await world.subscribe(Filter(site_ids=("DEPOT",)))
    of_both = await world.subscribe(Filter(station_ids=("CP-3",), site_ids=("DEPOT",)))
    of_one_thing = await world.subscribe(Filter(kinds=("TransactionEnded",), station_ids=("CP-1",)))
    await world.happens(
        fact("TransactionStarted", "CP-1"), fact("TransactionEnded", "CP-2"), fact("TransactionStarted", "CP-3")
    )

    async def stations(subscription: Subscription) -> list[str]:
        return sorted(delivery.event.station_id for delivery in await world.all_of(subscription))

    assert await stations(everything) == ["CP-1", "CP-2", "CP-3"]
    assert await stations(of_kind) == ["CP-2"]
    assert await stations(of_station) == ["CP-1"]
    assert await stations(of_site) == ["CP-2"]
    assert await stations(of_both) == ["CP-2", "CP-3"]
    assert await stations(of_one_thing) == []


async def test_who_is_not_staff_gets_events_of_stations_they_may_see_at_that_time(world: World) -> None:
    mine = await world.subscribe(owner="ann", whole_fleet=False)
    theirs = await world.subscribe(owner="bob", whole_fleet=False)
    world.sight.stations = {"ann": {"CP-1"}, "bob": {"CP-2"}}
    await world.happens(fact("A", "CP-1"), fact("B", "CP-2"), fact("C", "CP-3"))
    world.sight.stations = {}
    await world.happens(fact("D", "CP-1"))
    assert (await kinds(world, mine), await kinds(world, theirs)) == (["A"], ["B"])


async def test_who_comes_later_is_not_told_what_was_before(world: World) -> None:
    mine = await world.subscribe(owner="ann", whole_fleet=False)
    world.sight.stations, world.sight.since = {"ann": {"CP-1"}}, NOON + timedelta(seconds=5)
    await world.happens(fact("A", "CP-1", 4), fact("B", "CP-1", 5))
    assert await kinds(world, mine) == ["B"]


async def test_what_is_for_staff_nobody_else_is_told(world: World) -> None:
    mine, theirs = await world.subscribe(owner="ann", whole_fleet=False), await world.subscribe(owner="ops")
    world.sight.stations, world.sight.for_staff = {"ann": {"CP-1"}}, {"SecurityEvent"}
    await world.happens(fact("SecurityEvent"), fact("TransactionEnded"))
    assert await kinds(world, mine) == ["TransactionEnded"]
    assert await kinds(world, theirs) == ["SecurityEvent", "TransactionEnded"]


async def test_a_filter_of_somebody_who_is_not_staff_holds_for_what_he_may_see(world: World) -> None:
    await world.locate("CP-2", "DEPOT")
    of_site = await world.subscribe(Filter(site_ids=("DEPOT",)), owner="ann", whole_fleet=False)
    of_foreign = await world.subscribe(Filter(station_ids=("CP-9",)), owner="ann", whole_fleet=False)
    of_kind = await world.subscribe(Filter(kinds=("B",)), owner="ann", whole_fleet=False)
    world.sight.stations = {"ann": {"CP-1", "CP-2"}}
    await world.happens(fact("A", "CP-1"), fact("B", "CP-2"), fact("B", "CP-9"))
    told = [[one.event.station_id for one in await world.all_of(made)] for made in (of_site, of_foreign, of_kind)]
    assert told == [["CP-2"], [], ["CP-2"]]


async def test_who_is_not_staff_any_more_gets_no_events_of_the_fleet(world: World) -> None:
    theirs, others = await world.subscribe(owner="ann"), await world.subscribe(owner="bob")
    world.sight.gone = {"ann"}
    await world.happens(fact("A"))
    assert (await kinds(world, theirs), await kinds(world, others)) == ([], ["A"])


async def test_a_delivery_carries_the_event_whole(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact("A", "CP-1", 7))
    (delivery,) = await world.all_of(made)
    told = delivery.event
    assert (told.kind, told.station_id, told.at) == ("A", "CP-1", NOON + timedelta(seconds=7))
    assert msgspec.json.decode(told.data) == {"number": 7}
    assert told.event_id == "A-CP-1-7"
    assert (delivery.state, delivery.attempts, delivery.next_at) == ("waiting", 0, NOON)
    assert delivery.expires_at == NOON + DAY


async def test_an_event_that_is_told_again_is_delivered_once(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact(number=1))
    await world.happens(fact(number=1), fact(number=2))
    assert len(await world.all_of(made)) == 2


async def test_events_before_a_subscription_are_not_delivered(world: World) -> None:
    await world.happens(fact())
    made = await world.subscribe()
    await world.happens(fact(number=1))
    assert len(await world.all_of(made)) == 1


async def test_events_are_looked_at_in_steps(world: World) -> None:
    made = await world.subscribe()
    await world.tell([fact(number=number) for number in range(5)])
    steps = [await world.queue.expand(NOON, NOON + DAY, 2) for _ in range(4)]
    assert steps == [2, 2, 1, 0]
    assert len(await world.all_of(made)) == 5


# Claims


async def test_a_claim_holds_what_is_due_in_order_and_the_keys_to_sign_with(world: World) -> None:
    made = await world.subscribe()
    await world.happens(*(fact(number=number) for number in range(5)))
    claim = await only_claim(world, each=3)
    assert claim.subscription == made
    assert claim.keys == (f"secret of {made.id}".encode(),)
    assert claim.deliveries == tuple((await world.all_of(made))[:3])


async def test_both_keys_sign_while_a_secret_is_rotated(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    until = world.clock.now + timedelta(hours=1)
    await world.subscriptions.replace(msgspec.structs.replace(made, version=2, rotating_until=until), 1, b"the new one")
    assert (await only_claim(world)).keys == (b"the new one", f"secret of {made.id}".encode())
    world.clock.go_on(hours=2)
    assert (await only_claim(world)).keys == (b"the new one",)


async def test_an_endpoint_is_served_by_one_worker_at_a_time(world: World) -> None:
    await world.subscribe()
    await world.subscribe()
    await world.happens(fact())
    mine, others = await world.claim("mine", endpoints=1), await world.claim("other")
    assert [len(mine), len(others)] == [1, 1]
    assert mine[0].subscription.id != others[0].subscription.id
    assert await world.claim("third") == []


async def test_the_claims_of_a_dead_worker_come_back(world: World) -> None:
    await world.subscribe()
    await world.happens(fact())
    dead = await only_claim(world, worker="dead", for_s=60)
    world.clock.go_on(seconds=59)
    assert await world.claim("heir") == []
    world.clock.go_on(seconds=1)
    heir = await only_claim(world, worker="heir")
    assert heir.deliveries == dead.deliveries
    await world.queue.finish(dead, Health(failures=9), world.clock.now)
    assert await world.claim("third") == [], "what the former worker says no longer counts"


async def test_who_was_served_the_longest_ago_comes_first(world: World) -> None:
    for _ in range(3):
        await world.subscribe()
    await world.happens(fact())
    served = []
    for _ in range(6):
        claim = await only_claim(world, endpoints=1)
        world.clock.go_on(seconds=1)
        await world.queue.finish(claim, Health(), world.clock.now)
        served.append(claim.subscription.id)
    assert served[:3] == served[3:]
    assert len(set(served)) == 3


async def test_what_was_settled_is_not_due_until_its_next_attempt(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact(number=1), fact(number=2))
    claim = await only_claim(world)
    one, two = claim.deliveries
    await settle(world, one, Verdict("delivered"))
    later = world.clock.now + timedelta(seconds=30)
    await settle(world, two, Verdict("waiting", later), Answer(error="no connection"))
    await world.queue.finish(claim, Health(), world.clock.now)
    assert await world.claim() == []
    world.clock.go_on(seconds=30)
    (again,) = (await only_claim(world)).deliveries
    assert (again.id, again.attempts, again.error, again.next_at) == (two.id, 1, "no connection", later)
    first = await world.log.find(made.id, one.id)
    assert (first.state, first.attempts, first.status, first.tried_at) == ("delivered", 1, 204, NOON)


async def test_what_is_given_up_unsent_counts_as_no_attempt(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    claim = await only_claim(world)
    (delivery,) = claim.deliveries
    await settle(world, delivery, Verdict("waiting", world.clock.now), Answer(500))
    await world.queue.settle(Settled(delivery.id, 1, None, Answer(error="not allowed any more"), Verdict("dead")))
    given_up = await world.log.find(made.id, delivery.id)
    assert (given_up.state, given_up.error) == ("dead", "not allowed any more")
    assert (given_up.attempts, given_up.tried_at, given_up.status) == (1, NOON, 500)


async def test_the_outcome_of_the_slower_of_two_workers_changes_nothing(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    (delivery,) = (await only_claim(world)).deliveries
    await settle(world, delivery, Verdict("delivered"))
    await settle(world, delivery, Verdict("dead"), Answer(500))
    assert (await world.log.find(made.id, delivery.id)).state == "delivered"


async def test_an_endpoint_that_rests_is_left_alone(world: World) -> None:
    await world.subscribe()
    await world.happens(fact())
    claim = await only_claim(world)
    until = world.clock.now + timedelta(seconds=30)
    health = Health(3, NOON, until)
    await world.queue.finish(claim, health, world.clock.now)
    assert await world.claim() == []
    world.clock.go_on(seconds=30)
    again = await only_claim(world)
    assert again.health == health
    assert again.subscription.failing_since == NOON


async def test_a_paused_endpoint_is_not_served_and_its_events_wait(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    await world.queue.finish(await only_claim(world), Health(pause="failing"), world.clock.now)
    known = await world.subscriptions.find(made.id, None)
    assert (known.state, known.paused_because) == ("paused", "failing")
    await world.happens(fact(number=1))
    assert await world.claim() == []
    resumed = msgspec.structs.replace(known, state="active", paused_because=None, version=2)
    await world.subscriptions.replace(resumed, 1)
    assert len((await only_claim(world)).deliveries) == 2


async def test_what_was_learned_of_an_endpoint_before_a_change_is_void(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    claim = await only_claim(world)
    await world.subscriptions.replace(msgspec.structs.replace(made, url="https://b.example/", version=2), 1)
    rest = world.clock.now + timedelta(hours=1)
    await world.queue.finish(claim, Health(9, NOON, rest, "failing"), world.clock.now)
    assert (await world.subscriptions.find(made.id, None)).state == "active"
    assert (await only_claim(world)).health == Health()


# The log


async def test_deliveries_and_dead_letters_are_listed_by_pages_the_newest_first(world: World) -> None:
    made, other = await world.subscribe(), await world.subscribe()
    await world.happens(*(fact(number=number) for number in range(5)))
    for delivery in (await world.all_of(made))[1:4]:
        await settle(world, delivery, Verdict("dead"), Answer(500))
    everything = await world.all_of(made)
    first = await world.log.page(made.id, "dead", None, 2)
    rest = await world.log.page(made.id, "dead", first.cursor, 2)
    assert [*first.items, *rest.items] == everything[3:0:-1]
    assert rest.cursor is None
    assert (await world.log.page(other.id, "dead", None, 2)).items == []


async def test_a_delivery_of_another_subscription_is_not_found(world: World) -> None:
    made, other = await world.subscribe(), await world.subscribe(Filter(kinds=("Nothing",)))
    await world.happens(fact())
    (delivery,) = await world.all_of(made)
    for name in (delivery.id, "0", "-1", "x", "9" * 30):
        with pytest.raises(NotFound):
            await world.log.find(other.id, name)
        with pytest.raises(NotFound):
            await world.log.replay(other.id, name, NOON, NOON + DAY)


async def test_a_replayed_delivery_begins_anew_under_the_same_message_id(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact())
    claim = await only_claim(world)
    (delivery,) = claim.deliveries
    await settle(world, delivery, Verdict("dead"), Answer(500))
    await world.queue.finish(claim, Health(), world.clock.now)
    world.clock.go_on(hours=30)
    now = world.clock.now
    replayed = await world.log.replay(made.id, delivery.id, now, now + DAY)
    assert (replayed.state, replayed.attempts, replayed.error) == ("waiting", 0, None)
    assert replayed.event == delivery.event
    assert (await only_claim(world)).deliveries == (replayed,)


async def test_a_range_is_replayed_by_the_time_of_its_events(world: World) -> None:
    made = await world.subscribe()
    await world.happens(*(fact(number=number) for number in range(6)))
    deliveries = await world.all_of(made)
    for delivery in deliveries[:5]:
        await settle(world, delivery, Verdict("dead" if delivery is not deliveries[2] else "delivered"))
    span = (NOON + timedelta(seconds=1), NOON + timedelta(seconds=4))
    later = NOON + timedelta(hours=1)
    assert await world.log.replay_range(made.id, ["dead"], *span, later, later + DAY, 1) == 1
    assert await world.log.replay_range(made.id, ["dead"], *span, later, later + DAY, 10) == 1
    assert await world.log.replay_range(made.id, ["delivered"], *span, later, later + DAY, 10) == 1
    states = [delivery.state for delivery in await world.all_of(made)]
    assert states == ["dead", "waiting", "waiting", "waiting", "dead", "waiting"]


async def test_what_is_over_its_time_is_given_up_and_what_is_old_forgotten(world: World) -> None:
    made = await world.subscribe()
    await world.happens(fact(number=1), fact(number=2))
    delivered, waiting = await world.all_of(made)
    await settle(world, delivered, Verdict("delivered"))
    world.clock.go_on(hours=24)

    async def tidy() -> int:
        now = world.clock.now
        return await world.queue.tidy(now, now - 3 * DAY, now - 30 * DAY)

    assert await tidy() == 0, "who serves the endpoint may still make the last attempt"
    world.clock.go_on(minutes=11)
    assert await tidy() == 1
    given_up = await world.log.find(made.id, waiting.id)
    assert (given_up.state, given_up.error) == ("dead", "not tried in its time")
    world.clock.go_on(days=3)
    await tidy()
    assert [delivery.id for delivery in await world.all_of(made)] == [waiting.id]
    world.clock.go_on(days=30)
    await tidy()
    assert await world.all_of(made) == []


async def test_what_is_not_delivered_is_counted(world: World) -> None:
    made, other = await world.subscribe(), await world.subscribe()
    await world.happens(*(fact(number=number) for number in range(4)))
    first, second, third, _ = await world.all_of(made)
    await settle(world, first, Verdict("delivered"))
    await settle(world, second, Verdict("dead"), Answer(500))
    await settle(world, third, Verdict("waiting", world.clock.now), Answer(500))
    paused = msgspec.structs.replace(other, state="paused", paused_because="asked", version=2)
    await world.subscriptions.replace(paused, 1)
    assert await world.log.backlog() == Backlog(6, 1, 1, 1)


# What only the tables can show


async def test_workers_that_claim_at_once_never_share_an_endpoint(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    for _ in range(12):
        await world.subscribe()
    await world.happens(fact())
    claims = await asyncio.gather(*(world.claim(f"w{number}", endpoints=5) for number in range(6)))
    taken = [claim.subscription.id for some in claims for claim in some]
    assert len(taken) == len(set(taken))
    taken += [claim.subscription.id for claim in await world.claim("last")]
    assert sorted(taken) == sorted(one.id for one in world.made)


async def test_processes_that_expand_at_once_make_every_delivery_once(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    made = await world.subscribe()
    await world.tell([fact(number=number) for number in range(100)])
    for _ in range(30):
        await asyncio.gather(*(world.queue.expand(NOON, NOON + DAY, 7) for _ in range(4)))
    told = [delivery.event.at for delivery in await world.all_of(made)]
    assert told == [NOON + timedelta(seconds=number) for number in range(100)]


async def test_an_expansion_that_is_cut_off_is_done_again_as_a_whole(engine: AsyncEngine) -> None:
    """Deliveries and the place in the journal are one transaction: here the process ends between the two."""
    world = await postgres_world(engine)
    made = await world.subscribe(whole_fleet=False)
    world.sight.stations = {"ann": {"CP-1"}}
    await world.tell([fact()])

    async def ends(station_ids: object) -> dict[str, dict[str, datetime]]:
        raise KeyboardInterrupt

    seeing, world.sight.watchers = world.sight.watchers, ends  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await world.queue.expand(NOON, NOON + DAY, 10)
    world.sight.watchers = seeing  # type: ignore[method-assign]
    assert await world.all_of(made) == []
    assert await world.queue.expand(NOON, NOON + DAY, 10) == 1
    assert len(await world.all_of(made)) == 1


async def test_secrets_are_stored_sealed(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    made = await world.subscribe()
    await world.subscriptions.replace(msgspec.structs.replace(made, version=2), 1, b"the new one")
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT secret, previous_secret FROM webhook_subscriptions"))).one()
    place = b"webhook_subscriptions.secret/sub-0|"
    assert tuple(row) == (place + b"the new one"[::-1], place + b"secret of sub-0"[::-1])


async def test_a_secret_that_cannot_be_opened_holds_up_no_other_endpoint(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await postgres_world(engine)
    broken, well = await world.subscribe(), await world.subscribe()
    await world.happens(fact())

    def fails(box: MarkedBox, sealed: bytes, context: str) -> bytes:
        if broken.id in context:
            raise CloudBayError("a stored value has been changed")
        return sealed

    monkeypatch.setattr(MarkedBox, "open", fails)
    assert [claim.subscription.id for claim in await world.claim()] == [well.id]
    assert "webhook secret unreadable" in caplog.messages


async def test_a_value_that_cannot_be_stored_is_blamed_on_who_gave_it(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    with pytest.raises(BadRequest):
        await world.subscribe(Filter(kinds=("a\0b",)))
