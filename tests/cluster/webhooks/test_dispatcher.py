"""Events reach real endpoints: signed, tried for 24 hours, at least once whatever dies; on tables and on twins."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from actors.errors import Unavailable
from cluster.bus.client import make_client
from cluster.bus.outbox import Relay
from cluster.store.outbox import PostgresOutbox
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.dispatcher import Dispatcher, DispatchLimits
from cluster.webhooks.httpx_sender import HttpxSender
from cluster.webhooks.model import Delivery, Filter, Subscription
from cluster.webhooks.schedule import Schedule
from cluster.webhooks.signing import shown_secret
from tests.cluster.bus.facts import fact
from tests.cluster.webhooks.conftest import DAY, World, postgres_world
from tests.cluster.webhooks.receiver import Behaviour, Receiver, answers, fails, hangs, running, takes

LIMITS = DispatchLimits(
    poll_s=0.01,
    events=100,
    endpoints=8,
    lanes=4,
    timeout_s=5,
    retry_for=DAY,
    keep_delivered=3 * DAY,
    keep_dead=30 * DAY,
)
TLS = ssl.create_default_context()
Open = Callable[[], Awaitable[Receiver]]


def dispatcher(world: World, limits: DispatchLimits = LIMITS, name: str = "w") -> Dispatcher:
    rules = AddressRules(["127.0.0.0/8"])
    sender = HttpxSender(rules, limits.timeout_s, TLS)
    schedule = Schedule(timedelta(hours=48), lambda: 0.0)
    return Dispatcher(name, world.queue, world.sight, sender, schedule, limits, world.clock)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Start receivers."""
    async with AsyncExitStack() as stack:

        async def start() -> Receiver:
            return await stack.enter_async_context(running(Receiver()))

        yield start


async def subscribed(world: World, receiver: Receiver, wants: Filter | None = None) -> Subscription:
    made = await world.subscribe(wants, url=receiver.url)
    receiver.secrets.append(shown_secret(f"secret of {made.id}".encode()))
    return made


async def only(world: World, subscription: Subscription) -> Delivery:
    (delivery,) = await world.all_of(subscription)
    return delivery


async def states(world: World, subscription: Subscription) -> list[str]:
    return [delivery.state for delivery in await world.all_of(subscription)]


async def test_an_event_arrives_signed_and_whole(world: World, opened: Open) -> None:
    """Standard Webhooks, "Payload structure" and "Signature scheme"."""
    receiver = await opened()
    made = await subscribed(world, receiver)
    await world.tell([fact("TransactionEnded", "CP-1", 7)])
    worker = dispatcher(world)
    assert await worker.expand() == 1
    assert await worker.deliver() == 1
    (received,) = receiver.received
    delivery = await only(world, made)
    assert received.genuine
    assert received.headers["webhook-id"] == delivery.event.event_id
    assert received.headers["webhook-timestamp"] == str(int(world.clock.now.timestamp()))
    assert received.message == {
        "specversion": "1.0",
        "id": delivery.event.event_id,
        "source": "/facts",
        "type": "TransactionEnded",
        "subject": "CP-1",
        "time": "2026-05-04T12:00:07Z",
        "data": {"number": 7},
    }
    assert (delivery.state, delivery.status, delivery.attempts) == ("delivered", 204, 1)
    assert await worker.deliver() == 0


async def test_a_receiver_goes_on_with_either_key_while_a_secret_is_rotated(world: World, opened: Open) -> None:
    """Standard Webhooks, "Webhook headers": zero downtime secret rotation."""
    old, new = await opened(), await opened()
    made = await world.subscribe(url=old.url)
    old.secrets, new.secrets = [shown_secret(b"secret of sub-0")], [shown_secret(b"n" * 32)]
    until = world.clock.now + timedelta(hours=24)
    rotated = msgspec.structs.replace(made, version=2, rotating_until=until)
    await world.subscriptions.replace(rotated, 1, b"n" * 32)
    await world.happens(fact(number=1))
    await dispatcher(world).deliver()
    await world.subscriptions.replace(msgspec.structs.replace(rotated, version=3, url=new.url), 2)
    await world.happens(fact(number=2))
    await dispatcher(world).deliver()
    assert [one.genuine for one in (*old.received, *new.received)] == [True, True]
    world.clock.go_on(hours=24)
    await world.subscriptions.replace(msgspec.structs.replace(rotated, version=4), 3)
    await world.happens(fact(number=3))
    await dispatcher(world).deliver()
    assert old.received[-1].genuine is False, "the old key is over"


@pytest.mark.parametrize("behaves", [fails, answers(404), answers(301, location="http://127.0.0.1:9/")])
async def test_a_delivery_that_fails_is_tried_for_24_hours_and_then_a_dead_letter(
    world: World, opened: Open, behaves: Behaviour
) -> None:
    receiver = await opened()
    made = await subscribed(world, receiver)
    receiver.behaves = behaves
    await world.happens(fact())
    worker, began = dispatcher(world), world.clock.now
    for _ in range(300):
        await worker.deliver()
        if (await only(world, made)).state == "dead":
            break
        world.clock.go_on(minutes=5)
    delivery = await only(world, made)
    assert delivery.state == "dead"
    assert world.clock.now - began == DAY
    assert delivery.attempts == len(receiver.received) > 20
    assert {one.headers["webhook-id"] for one in receiver.received} == {delivery.event.event_id}
    stamps = [int(one.headers["webhook-timestamp"]) for one in receiver.received]
    assert stamps == sorted(set(stamps)), "each attempt has its own time"
    assert all(one.genuine for one in receiver.received)
    assert (await world.subscriptions.find(made.id, None)).state == "active", "one day is not for long"


async def test_an_endpoint_that_comes_back_gets_what_it_has_missed(world: World, opened: Open) -> None:
    receiver = await opened()
    made = await subscribed(world, receiver)
    receiver.behaves = fails
    await world.happens(*(fact(number=number, station_id=f"CP-{number % 3}") for number in range(9)))
    worker = dispatcher(world)
    for _ in range(60):
        await worker.deliver()
        world.clock.go_on(minutes=2)
    receiver.received.clear()
    receiver.behaves = takes
    for _ in range(60):
        await worker.deliver()
        world.clock.go_on(minutes=2)
    assert await states(world, made) == ["delivered"] * 9
    assert sorted(receiver.numbers) == list(range(9))


async def test_the_events_of_a_station_arrive_in_order_and_one_after_the_other(world: World, opened: Open) -> None:
    receiver = await opened()
    await subscribed(world, receiver)
    under_way: set[str] = set()

    async def slowly(request: Request) -> Response:
        station_id = receiver.received[-1].message["subject"]
        assert station_id not in under_way
        under_way.add(station_id)
        await asyncio.sleep(0.005)
        under_way.discard(station_id)
        return Response(status_code=204)

    receiver.behaves = slowly
    await world.happens(*(fact(number=number, station_id=f"CP-{number % 3}") for number in range(30)))
    await dispatcher(world).deliver()
    for station in range(3):
        assert [number for number in receiver.numbers if number % 3 == station] == list(range(station, 30, 3))


async def test_an_endpoint_that_hangs_holds_up_no_other(world: World, opened: Open) -> None:
    hanging, well = await opened(), await opened()
    hanging.behaves = hangs
    stuck, fine = await subscribed(world, hanging), await subscribed(world, well)
    await world.happens(fact())
    worker = dispatcher(world, replace(LIMITS, timeout_s=2))
    serving = asyncio.create_task(worker.deliver())
    async with asyncio.timeout(1.5):
        while not well.received:  # noqa: ASYNC110 - the other end has no event for it
            await asyncio.sleep(0.005)
    assert not serving.done()
    await serving
    assert (await only(world, fine)).state == "delivered"
    delivery = await only(world, stuck)
    assert (delivery.state, delivery.error) == ("waiting", "no answer within 2 s")


async def test_an_endpoint_gets_few_requests_at_the_same_time(world: World, opened: Open) -> None:
    receiver = await opened()
    await subscribed(world, receiver)
    now, most, full = 0, 0, asyncio.Event()

    async def counts(request: Request) -> Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == LIMITS.lanes:
            full.set()
        await full.wait()
        await asyncio.sleep(0.05)  # one more would come now
        now -= 1
        return Response(status_code=204)

    receiver.behaves = counts
    await world.happens(*(fact(number=number, station_id=f"CP-{number}") for number in range(20)))
    await dispatcher(world, replace(LIMITS, timeout_s=60)).deliver()
    assert most == LIMITS.lanes
    assert len(receiver.received) == 20


async def test_an_endpoint_that_is_gone_is_paused(world: World, opened: Open) -> None:
    """Standard Webhooks, "Delivery success and failure", 410."""
    receiver = await opened()
    made = await subscribed(world, receiver)
    receiver.behaves = answers(410)
    await world.happens(fact())
    await dispatcher(world).deliver()
    known = await world.subscriptions.find(made.id, None)
    assert (known.state, known.paused_because) == ("paused", "gone")


async def test_an_endpoint_that_fails_for_long_is_paused_and_told_nothing_more(world: World, opened: Open) -> None:
    receiver = await opened()
    made = await subscribed(world, receiver)
    receiver.behaves = fails
    worker, began = dispatcher(world), world.clock.now
    for hour in range(100):
        await world.happens(fact(number=hour))
        for _ in range(3):
            await worker.deliver()
            world.clock.go_on(minutes=20)
        if (await world.subscriptions.find(made.id, None)).state == "paused":
            break
    assert timedelta(hours=48) <= world.clock.now - began <= timedelta(hours=50)
    assert (await world.subscriptions.find(made.id, None)).paused_because == "failing"
    count = len(receiver.received)
    world.clock.go_on(hours=2)
    assert await worker.deliver() == 0
    assert len(receiver.received) == count


async def test_dead_letters_are_sent_again_when_asked_for(world: World, opened: Open) -> None:
    receiver = await opened()
    made = await subscribed(world, receiver)
    receiver.behaves = answers(410)
    await world.happens(fact(number=1))
    await dispatcher(world).deliver()
    (dead,) = (await world.log.page(made.id, "dead", None, 10)).items
    known = await world.subscriptions.find(made.id, None)
    resumed = msgspec.structs.replace(known, state="active", paused_because=None, version=2)
    await world.subscriptions.replace(resumed, 1)
    await world.log.replay(made.id, dead.id, world.clock.now, world.clock.now + DAY)
    receiver.behaves = takes
    await dispatcher(world).deliver()
    assert await states(world, made) == ["delivered"]
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_a_worker_that_dies_between_the_answer_and_the_database_repeats_and_loses_nothing(
    world: World, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = await opened()
    made = await subscribed(world, receiver)
    await world.happens(fact())

    async def dies(*_: object) -> None:
        raise Unavailable("the database cannot be reached now")

    with monkeypatch.context() as dying:
        dying.setattr(world.queue, "settle", dies)
        dying.setattr(world.queue, "finish", dies)
        with pytest.raises(Unavailable):
            await dispatcher(world, name="dies").deliver()
    heir = dispatcher(world, name="heir")
    assert await heir.deliver() == 0, "the claim is still another's"
    world.clock.now += LIMITS.lease
    assert await heir.deliver() == 1
    assert await states(world, made) == ["delivered"]
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert len(receiver.received) == 2


async def test_a_worker_that_is_stopped_gives_its_claims_back_at_once(world: World, opened: Open) -> None:
    receiver = await opened()
    receiver.behaves = hangs
    made = await subscribed(world, receiver)
    await world.tell([fact()])
    running_worker = asyncio.create_task(dispatcher(world, name="stopped").run())
    async with asyncio.timeout(10):
        while not receiver.received:  # noqa: ASYNC110 - the other end has no event for it
            await asyncio.sleep(0.005)
    running_worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_worker
    receiver.behaves = takes
    assert await dispatcher(world, name="heir").deliver() == 1
    assert await states(world, made) == ["delivered"]


async def test_no_request_is_begun_that_could_outlast_its_claim(world: World, opened: Open) -> None:
    """A slow endpoint and many events of one station: what does not fit into the claim stays due."""
    receiver = await opened()
    made = await subscribed(world, receiver)

    async def slowly(request: Request) -> Response:
        world.clock.go_on(seconds=4)
        return Response(status_code=204)

    receiver.behaves = slowly
    await world.happens(*(fact(number=number) for number in range(30)))
    worker, began = dispatcher(world), world.clock.now
    await worker.deliver()
    assert began + LIMITS.lease - timedelta(seconds=LIMITS.timeout_s) <= world.clock.now <= began + LIMITS.lease
    while await worker.deliver():
        pass
    assert await states(world, made) == ["delivered"] * 30
    assert receiver.numbers == list(range(30)), "each once, in order"


async def test_what_waits_when_a_relation_ends_is_not_sent_any_more(world: World, opened: Open) -> None:
    receiver = await opened()
    receiver.behaves = fails
    made = await world.subscribe(url=receiver.url, owner="ann", whole_fleet=False)
    world.sight.stations = {"ann": {"CP-1", "CP-2"}}
    await world.happens(fact("A", "CP-1"), fact("B", "CP-2"))
    worker = dispatcher(world)
    await worker.deliver()
    world.sight.stations = {"ann": {"CP-2"}}
    world.clock.go_on(seconds=90)
    receiver.received.clear()
    await worker.deliver()
    assert [one.message["type"] for one in receiver.received] == ["B"]
    (lost, _) = await world.all_of(made)
    assert (lost.state, lost.error, lost.attempts) == ("dead", "not allowed any more", 1)
    await world.log.replay(made.id, lost.id, world.clock.now, world.clock.now + DAY)
    world.clock.go_on(seconds=90)
    await worker.deliver()
    assert "A" not in {one.message["type"] for one in receiver.received}, "nor by a replay"


async def test_a_relation_that_ends_while_an_endpoint_is_served_ends_what_has_not_left(
    world: World, opened: Open
) -> None:
    """A claim holds many deliveries and lasts for minutes at a slow endpoint: each attempt asks for itself."""
    receiver = await opened()
    made = await world.subscribe(url=receiver.url, owner="ann", whole_fleet=False)
    world.sight.stations = {"ann": {"CP-1"}}
    await world.happens(*(fact(number=number) for number in range(3)))

    async def ends(request: Request) -> Response:
        world.sight.stations = {}
        return Response(status_code=204)

    receiver.behaves = ends
    await dispatcher(world).deliver()
    assert receiver.numbers == [0]
    assert await states(world, made) == ["delivered", "dead", "dead"]


async def test_who_is_staff_no_more_while_an_endpoint_is_served_is_told_nothing_more(
    world: World, opened: Open
) -> None:
    receiver = await opened()
    made = await world.subscribe(url=receiver.url, owner="ops")
    await world.happens(*(fact(number=number) for number in range(3)))

    async def leaves(request: Request) -> Response:
        world.sight.gone = {"ops"}
        return Response(status_code=204)

    receiver.behaves = leaves
    await dispatcher(world).deliver()
    assert receiver.numbers == [0]
    assert await states(world, made) == ["delivered", "dead", "dead"]
    assert (await world.subscriptions.find(made.id, None)).state == "active", "the endpoint has done nothing wrong"


async def test_attempts_are_counted_by_their_outcome(world: World, opened: Open) -> None:
    receiver, away = await opened(), await opened()
    made = await world.subscribe(url=receiver.url, owner="ann", whole_fleet=False)
    await world.subscribe(url=away.url.replace(str(away.port), "9"))
    world.sight.stations = {"ann": {"CP-1"}}
    worker = dispatcher(world)
    for number, behaves in enumerate((takes, fails)):
        receiver.behaves = behaves
        await world.happens(fact(number=number))
        await worker.deliver()
    world.sight.stations = {}
    world.clock.go_on(seconds=5)
    await worker.deliver()
    assert (await states(world, made)) == ["delivered", "dead"]
    counted = worker.stats()
    assert counted.pop("webhooks_unanswered") >= 1
    assert counted == {"webhooks_delivered": 1, "webhooks_refused": 1, "webhooks_not_allowed": 1}


async def test_many_workers_share_the_work_without_a_loss_or_a_double(engine: AsyncEngine, opened: Open) -> None:
    world = await postgres_world(engine)
    receivers = [await opened() for _ in range(4)]
    made = [await subscribed(world, receiver) for receiver in receivers]
    await world.tell([fact(number=number, station_id=f"CP-{number % 5}") for number in range(50)])
    patient = replace(LIMITS, timeout_s=60)  # a busy machine is no failure of an endpoint
    workers = [asyncio.create_task(dispatcher(world, patient, f"w{number}").run()) for number in range(3)]
    async with asyncio.timeout(60):
        while any(len(receiver.received) < 50 for receiver in receivers):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for one in made:
            while set(await states(world, one)) != {"delivered"}:  # noqa: ASYNC110 - the tables have no event for it
                await asyncio.sleep(0.02)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for receiver in receivers:
        assert sorted(receiver.numbers) == list(range(50))


async def test_an_outage_of_the_database_delays_and_loses_nothing(engine: AsyncEngine, opened: Open) -> None:
    world = await postgres_world(engine)
    receiver = await opened()
    await subscribed(world, receiver)
    worker = asyncio.create_task(dispatcher(world).run())
    broken = True
    expanding = world.queue.expand

    async def expand(*how: object) -> int:
        if broken:
            raise Unavailable("the database cannot be reached now")
        return await expanding(*how)  # type: ignore[arg-type]

    world.queue.expand = expand  # type: ignore[method-assign, assignment]
    await world.tell([fact()])
    await asyncio.sleep(0.1)
    assert receiver.received == []
    broken = False
    async with asyncio.timeout(10):
        while not receiver.received:  # noqa: ASYNC110 - the other end has no event for it
            await asyncio.sleep(0.005)
    worker.cancel()


async def test_webhooks_go_on_while_valkey_is_away(engine: AsyncEngine, opened: Open) -> None:
    """Each way out has its own place in the journal: the stream's outage is not the webhooks'."""
    world = await postgres_world(engine)
    receiver = await opened()
    await subscribed(world, receiver)
    away = make_client("redis://127.0.0.1:9/0", "tests")
    relay = asyncio.create_task(Relay(PostgresOutbox(engine), away, 0.01, 100).run())
    await world.tell([fact()])
    worker = dispatcher(world)
    async with asyncio.timeout(10):
        while not receiver.received:
            await worker.expand()
            await worker.deliver()
    relay.cancel()
    await away.aclose()
