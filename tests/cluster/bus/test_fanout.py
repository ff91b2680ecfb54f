"""One reader serves every listener: each gets what it wants and may see, in order, and learns what it has missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable

import pytest

from actors.errors import BadRequest, Unavailable
from cluster.bus import fanout as module
from cluster.bus.fanout import Fanout
from cluster.bus.stream import Gap, Position, SeenEvent, Written
from cluster.bus.subscription import EventFilter, Item, Subscription, SubscriptionEnded
from tests.cluster.bus.live_events import number_of, tick
from tests.twins.live import MemoryLiveLog

EVERYTHING = EventFilter()


def anybody(event: Written) -> bool:
    return True


def station(*names: str) -> EventFilter:
    return EventFilter(stations=frozenset(names))


def seen(items: Iterable[Item]) -> list[int | str]:
    """Return events by their numbers and gaps by their reasons."""
    return [
        number_of(item.event) if isinstance(item, SeenEvent) else item.reason if isinstance(item, Gap) else "note"
        for item in items
    ]


async def taken(subscription: Subscription, count: int) -> list[Item]:
    """Return the next items, so many at least."""
    items: list[Item] = []
    async with asyncio.timeout(5):
        while len(items) < count:
            items += await subscription.take(1)
    return items


async def silent(subscription: Subscription) -> bool:
    return await subscription.take(0.05) == []


async def read_on(fanout: Fanout, log: MemoryLiveLog) -> None:
    """Let the reader come to the end of the stream, for somebody who looks in."""
    (await fanout.subscribe(station(), anybody)).end()
    async with asyncio.timeout(5):
        while fanout.position[:2] < (await log.newest())[:2]:  # noqa: ASYNC110 - the reader has its turn
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    monkeypatch.setattr(module, "READY_S", 0.1)


@pytest.fixture
def log() -> MemoryLiveLog:
    return MemoryLiveLog()


@pytest.fixture
async def fanout(log: MemoryLiveLog) -> AsyncIterator[Fanout]:
    fanout = Fanout(log, max_kept=100, max_listeners=10, max_queued=20)
    fanout.start()
    yield fanout
    await fanout.close()


async def another(log: MemoryLiveLog) -> Fanout:
    """Start the reader of another process; it ends with the test's loop."""
    fanout = Fanout(log, max_kept=100, max_listeners=10, max_queued=20)
    fanout.start()
    return fanout


async def test_a_listener_gets_what_comes_from_now_on(log: MemoryLiveLog, fanout: Fanout) -> None:
    log.write([tick(1)])
    await read_on(fanout, log)
    listener = await fanout.subscribe(EVERYTHING, anybody)
    log.write([tick(2), tick(3)])
    log.write([tick(4)])
    assert seen(await taken(listener, 3)) == [2, 3, 4]
    assert await silent(listener)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (EVERYTHING, [1, 2, 3, 4]),
        (station("CP-1"), [1, 4]),
        (station("CP-1", "CP-2"), [1, 2, 4]),
        (station(), []),
        (EventFilter(sites=frozenset(["depot"])), [2, 3]),
        (EventFilter(sites=frozenset([""])), []),
        (EventFilter(stations=frozenset(["CP-2", "CP-1"]), sites=frozenset(["depot"])), [2]),
        (EventFilter(kinds=frozenset(["MeterValues"])), [4]),
        (EventFilter(stations=frozenset(["CP-2"]), kinds=frozenset(["MeterValues"])), []),
    ],
)
async def test_a_filter_narrows_by_station_site_and_kind(
    log: MemoryLiveLog, fanout: Fanout, wanted: EventFilter, numbers: list[int]
) -> None:
    listener = await fanout.subscribe(wanted, anybody)
    log.write([tick(1), tick(2, "CP-2", "depot"), tick(3, "CP-3", "depot"), tick(4, kind="MeterValues")])
    if numbers:
        assert seen(await taken(listener, len(numbers))) == numbers
    assert await silent(listener)


async def test_nobody_gets_what_it_may_not_see(log: MemoryLiveLog, fanout: Fanout) -> None:
    rights = {"CP-1"}
    listener = await fanout.subscribe(EVERYTHING, lambda event: event.station_id in rights)
    log.write([tick(1), tick(2, "CP-2")])
    assert seen(await taken(listener, 1)) == [1]
    rights.add("CP-2")
    log.write([tick(3, "CP-2")])
    assert seen(await taken(listener, 1)) == [3]
    again = await fanout.subscribe(EVERYTHING, lambda event: event.station_id == "CP-1", after="1-1-0")
    assert seen(await taken(again, 1)) == [1]
    assert await silent(again)


async def test_rights_that_cannot_be_told_end_one_listener_and_no_other(log: MemoryLiveLog, fanout: Fanout) -> None:
    def broken(event: Written) -> bool:
        raise RuntimeError

    unlucky, lucky = await fanout.subscribe(EVERYTHING, broken), await fanout.subscribe(EVERYTHING, anybody)
    log.write([tick(1)])
    assert seen(await taken(lucky, 1)) == [1]
    with pytest.raises(SubscriptionEnded, match="not allowed any more"):
        await unlucky.take(1)
    again = await fanout.subscribe(EVERYTHING, broken, after="1-1-0")
    with pytest.raises(SubscriptionEnded, match="not allowed any more"):
        await again.take(1)
    assert fanout.listeners == 1


async def test_a_listener_that_comes_back_gets_what_it_missed_once_from_any_process(
    log: MemoryLiveLog, fanout: Fanout
) -> None:
    listener = await fanout.subscribe(station("CP-1"), anybody)
    log.write([tick(1), tick(2), tick(3, "CP-2"), tick(4)])
    _, second, *_ = await taken(listener, 3)
    assert isinstance(second, SeenEvent)
    listener.end()
    log.write([tick(5)])
    for process in (fanout, await another(log)):
        await read_on(process, log)
        back = await process.subscribe(station("CP-1"), anybody, after=str(second.position))
        log.write([tick(6, "CP-3")])
        assert seen(await taken(back, 2)) == [4, 5]
        assert await silent(back)


async def test_a_process_that_has_read_less_repeats_nothing(log: MemoryLiveLog, fanout: Fanout) -> None:
    log.write([tick(1)])
    await read_on(fanout, log)
    back = await fanout.subscribe(EVERYTHING, anybody, after="1-2-2")  # given out by a process that has read on
    log.write([tick(2), tick(3), tick(4)])
    assert seen(await taken(back, 1)) == [4]
    assert await silent(back)


async def test_an_id_from_another_stream_is_a_gap(log: MemoryLiveLog, fanout: Fanout) -> None:
    log.write([tick(1)])
    await fanout.subscribe(EVERYTHING, anybody)
    back = await fanout.subscribe(EVERYTHING, anybody, after="9999999999999-0-1")
    log.write([tick(2)])
    assert seen(await taken(back, 3)) == ["no longer kept", 1, 2]


@pytest.mark.parametrize("last", ["", "7", "a-b-c", "1-1-1\nid: 1"])
async def test_an_id_that_is_none_is_refused(fanout: Fanout, last: str) -> None:
    with pytest.raises(BadRequest):
        await fanout.subscribe(EVERYTHING, anybody, after=last)
    assert fanout.listeners == 0


async def test_what_is_no_longer_kept_is_a_gap(log: MemoryLiveLog, fanout: Fanout) -> None:
    for number in range(150):
        log.write([tick(number, f"CP-{number % 10}")])
    await read_on(fanout, log)
    listener = await fanout.subscribe(station("CP-1"), anybody)
    log.write([tick(150, "CP-1")])
    assert seen(await taken(listener, 1)) == [150]
    back = await fanout.subscribe(station("CP-1"), anybody, after="1-30-1")
    gap, *others = await taken(back, 2)
    assert seen([gap, *others]) == ["no longer kept", 51, 61, 71, 81, 91, 101, 111, 121, 131, 141, 150]
    assert isinstance(gap, Gap)
    once_more = await fanout.subscribe(station("CP-1"), anybody, after=str(gap.position))
    assert seen(await taken(once_more, 1)) == seen(others), "who has been told of a gap is not told again"


async def test_who_has_missed_more_than_waits_for_anybody_gets_a_gap_and_the_latest(
    log: MemoryLiveLog, fanout: Fanout
) -> None:
    log.write([tick(number) for number in range(50)])
    await read_on(fanout, log)
    back = await fanout.subscribe(EVERYTHING, anybody, after="1-1-10")
    assert seen(await taken(back, 21)) == ["too many to repeat", *range(30, 50)]


async def test_a_quiet_listener_may_come_back_without_a_gap(log: MemoryLiveLog, fanout: Fanout) -> None:
    """Its position goes on with the stream, though nothing came for it."""
    listener = await fanout.subscribe(station("CP-9"), anybody)
    for number in range(150):
        log.write([tick(number)])
    await read_on(fanout, log)
    other = await fanout.subscribe(EVERYTHING, anybody)
    log.write([tick(150)])
    await taken(other, 1)
    last = listener.position
    assert last == Position(1, 151, 1)
    back = await fanout.subscribe(station("CP-9"), anybody, after=str(last))
    assert await silent(back)


async def test_the_position_is_that_of_what_was_taken_while_more_waits(log: MemoryLiveLog, fanout: Fanout) -> None:
    log.write([tick(1)])
    log.write([tick(number) for number in range(2, 9)])
    await read_on(fanout, log)
    back = await fanout.subscribe(EVERYTHING, anybody, after="1-1-0")
    assert back.position == Position(1, 1, 0)
    assert seen(await taken(back, 8)) == [*range(1, 9)]
    assert back.position == Position(1, 2, 7)


async def test_a_trimmed_stream_and_a_host_that_could_not_publish_are_told_to_everybody(
    log: MemoryLiveLog, fanout: Fanout
) -> None:
    log.write([tick(0)])
    await read_on(fanout, log)
    listener = await fanout.subscribe(station("CP-1"), anybody)
    elsewhere = await fanout.subscribe(station("CP-9"), anybody)
    log.down = True
    await asyncio.sleep(0.1)
    for number in range(1, 5):
        log.write([tick(number)])
    log.trim(2)
    log.down = False
    assert seen(await taken(listener, 3)) == ["no longer kept", 3, 4]
    assert seen(await taken(elsewhere, 1)) == ["no longer kept"]
    log.write([tick(5)], lossy=True)
    assert seen(await taken(listener, 2)) == ["never published", 5]
    back = await fanout.subscribe(EVERYTHING, anybody, after="1-1-1")
    assert seen(await taken(back, 5)) == ["no longer kept", 3, 4, "never published", 5]


async def test_an_outage_is_waited_out_without_loss(
    log: MemoryLiveLog, fanout: Fanout, caplog: pytest.LogCaptureFixture
) -> None:
    listener = await fanout.subscribe(EVERYTHING, anybody)
    log.write([tick(1)])
    assert seen(await taken(listener, 1)) == [1]
    log.down = True
    log.write([tick(2)])
    await asyncio.sleep(0.1)
    log.down = False
    assert seen(await taken(listener, 1)) == [2]
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == ["live events stop"]


async def test_nobody_listens_while_the_stream_cannot_be_read(log: MemoryLiveLog) -> None:
    log.down = True
    fanout = await another(log)
    with pytest.raises(Unavailable):
        await fanout.subscribe(EVERYTHING, anybody)
    log.down = False
    log.write([tick(1)])
    await fanout.subscribe(EVERYTHING, anybody)


async def test_a_listener_that_does_not_take_is_dropped_with_a_reason_and_the_others_go_on(
    log: MemoryLiveLog, fanout: Fanout
) -> None:
    slow, quick = await fanout.subscribe(EVERYTHING, anybody), await fanout.subscribe(EVERYTHING, anybody)
    for number in range(0, 30, 10):
        log.write([tick(number + n) for n in range(10)])
        assert seen(await taken(quick, 10)) == [*range(number, number + 10)]
    with pytest.raises(SubscriptionEnded) as ended:
        await slow.take(1)
    assert (ended.value.reason, fanout.listeners) == ("too slow", 1)


async def test_a_long_backlog_drops_nobody_who_takes(log: MemoryLiveLog, fanout: Fanout) -> None:
    """It is handed out an entry at a time, and listeners get their turn in between."""
    listener = await fanout.subscribe(EVERYTHING, anybody)
    reading = asyncio.create_task(taken(listener, 400))
    await asyncio.sleep(0)
    for number in range(0, 400, 10):
        log.write([tick(number + n) for n in range(10)])
    assert seen(await reading) == [*range(400)]


async def test_a_new_filter_counts_from_now_on(log: MemoryLiveLog, fanout: Fanout) -> None:
    listener = await fanout.subscribe(station("CP-1"), anybody)
    other = await fanout.subscribe(EVERYTHING, anybody)
    log.write([tick(1), tick(2, "CP-2")])
    await taken(other, 2)
    listener.refilter(station("CP-2"))
    log.write([tick(3), tick(4, "CP-2")])
    await taken(other, 2)
    assert seen(await taken(listener, 2)) == [1, 4]


async def test_who_wants_something_else_or_leaves_stays_under_no_old_name(log: MemoryLiveLog, fanout: Fanout) -> None:
    listener = await fanout.subscribe(EventFilter(sites=frozenset(["depot"])), anybody)
    listener.refilter(station("CP-1", "CP-2"))
    log.write([tick(1, "CP-1", "depot")])
    assert seen(await taken(listener, 1)) == [1]
    assert await silent(listener), "once, though its site is the one that was wanted before"
    listener.end()
    index = fanout._listeners
    assert [*index._stations, *index._sites, *index._everywhere, *index._all] == []


async def test_no_more_than_so_many_listen_and_who_has_ended_counts_no_more(fanout: Fanout) -> None:
    listeners = [await fanout.subscribe(EVERYTHING, anybody) for _ in range(10)]
    with pytest.raises(Unavailable):
        await fanout.subscribe(EVERYTHING, anybody)
    listeners[3].end()
    listeners[3].refilter(station("CP-1"))
    await fanout.subscribe(EVERYTHING, anybody)
    assert fanout.listeners == 10


async def test_whoever_listens_is_told_when_the_process_goes(log: MemoryLiveLog, fanout: Fanout) -> None:
    listener = await fanout.subscribe(EVERYTHING, anybody)
    waiting = asyncio.create_task(listener.take(60))
    await asyncio.sleep(0)
    await fanout.close()
    with pytest.raises(SubscriptionEnded, match="going away"):
        await waiting


async def test_an_event_costs_nothing_to_those_who_listen_to_other_stations(log: MemoryLiveLog) -> None:
    """1,000 listeners, each with its own station: an event is looked at once, not a thousand times."""
    fanout = Fanout(log, max_kept=100, max_listeners=1000, max_queued=20)
    fanout.start()
    asked: list[Written] = []

    def counted(event: Written) -> bool:
        asked.append(event)
        return True

    listeners = [await fanout.subscribe(station(f"CP-{number}"), counted) for number in range(1000)]
    log.write([tick(number, f"CP-{number}") for number in range(0, 1000, 10)])
    for number in range(0, 1000, 10):
        assert seen(await taken(listeners[number], 1)) == [number]
    assert len(asked) == 100
    event = SeenEvent(Position(1, 1, 1), asked[0])
    assert fanout._listeners.of(event) == [listeners[0]], "nobody else is even considered"
    await fanout.close()


async def test_nothing_is_read_while_nobody_listens(
    log: MemoryLiveLog, fanout: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile is there for who comes back: the stream has kept it."""
    monkeypatch.setattr(module, "IDLE_S", 0.0)
    listener = await fanout.subscribe(EVERYTHING, anybody)
    log.write([tick(1)])
    (first,) = await taken(listener, 1)
    assert isinstance(first, SeenEvent)
    listener.end()
    log.write([tick(2)])
    async with asyncio.timeout(5):
        while fanout.reading:  # noqa: ASYNC110 - the reader has its turn
            await asyncio.sleep(0)
    log.write([tick(3)])
    for _ in range(100):  # turns in which it could be read
        await asyncio.sleep(0)
    assert fanout.position < await log.newest()
    back = await fanout.subscribe(EVERYTHING, anybody, str(first.position))
    assert seen(await taken(back, 2)) == [2, 3]
    log.write([tick(4)])
    assert seen(await taken(back, 1)) == [4]
