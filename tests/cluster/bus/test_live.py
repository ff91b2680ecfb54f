"""Live events reach the stream; an outage of Valkey costs events, and says so, and nothing else."""

import asyncio
import logging

import pytest
from redis.asyncio import Redis

from actors.errors import Unavailable
from cluster.bus import fanout, live
from cluster.bus.fanout import Fanout
from cluster.bus.live import MAX_QUEUED, ValkeyLiveBus, ValkeyLiveLog, live_stream
from cluster.bus.stream import START, Entry, Gap, LiveLog, Position, SeenEvent
from cluster.bus.subscription import EventFilter, Subscription
from tests.cluster.bus.conftest import Wire
from tests.cluster.bus.live_events import number_of, numbers, tick


async def everything(log: LiveLog) -> list[Entry]:
    """Return all entries of a stream nobody writes."""
    found: list[Entry] = []
    at = START
    while entries := (await log.after(at)).entries:
        found += entries
        at = Position(entries[-1].ms, entries[-1].number, 0)
    return found


async def published(log: LiveLog) -> list[int]:
    return [number for entry in await everything(log) for number in numbers(entry.events)]


@pytest.fixture
def log(valkey: Redis, prefix: str) -> ValkeyLiveLog:
    return ValkeyLiveLog(valkey, prefix, wait_ms=20)


async def test_events_arrive_in_order_and_whole(valkey: Redis, log: ValkeyLiveLog, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.start()
    bus.publish([tick(number) for number in range(450)])
    bus.publish([tick(450)])
    await bus.close()
    assert await published(log) == list(range(451))
    assert not any(entry.lossy for entry in await everything(log))


async def test_the_stream_is_bounded_in_events_also_when_entries_are_full(valkey: Redis, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 1000, prefix)
    bus.start()
    for _ in range(5):
        bus.publish([tick(number) for number in range(MAX_QUEUED)])
        await bus.close()
        bus = ValkeyLiveBus(valkey, 1000, prefix)
        bus.start()
    await bus.close()
    assert await valkey.xlen(live_stream(prefix)) < 150  # trimming is approximate, by nodes of 100 entries


async def test_an_outage_is_told_once_counted_and_over_by_itself(
    wired: Redis, wire: Wire, log: ValkeyLiveLog, prefix: str, caplog: pytest.LogCaptureFixture, impatient: None
) -> None:
    caplog.set_level(logging.INFO)
    bus = ValkeyLiveBus(wired, 10_000, prefix)
    bus.start()
    bus.publish([tick(1)])
    async with asyncio.timeout(10):
        while await published(log) != [1]:  # noqa: ASYNC110 - the fact is in another process
            await asyncio.sleep(0.01)

    await wire.cut()
    async with asyncio.timeout(10):
        while bus.dropped < 20:  # more than one batch
            bus.publish([tick(-1)])
            await asyncio.sleep(0.02)
    await wire.mend()
    async with asyncio.timeout(10):
        while "delivering again" not in caplog.messages:
            bus.publish([tick(2)])
            await asyncio.sleep(0.02)
    await bus.close()
    assert caplog.messages.count("dropping") == 1
    lossy = [entry.lossy for entry in await everything(log)]
    assert lossy == [False, True, *[False] * (len(lossy) - 2)], (
        "the first entry after the outage says that some are lost"
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (live, fanout):
        monkeypatch.setattr(module, "RETRY_S", 0.05)


async def heard(listener: Subscription, last: int) -> list[int | str]:
    """Return events, by number, and gaps, by reason, up to an event."""
    found: list[int | str] = []
    async with asyncio.timeout(10):
        while last not in found:
            for item in await listener.take(1):
                assert isinstance(item, SeenEvent | Gap)
                found.append(number_of(item.event) if isinstance(item, SeenEvent) else item.reason)
    return found


async def test_from_hosts_through_an_outage_to_a_listener_without_loss_or_double(
    valkey: Redis, wired: Redis, wire: Wire, prefix: str, impatient: None
) -> None:
    """The API process is cut off from Valkey; hosts are not."""
    hosts = [ValkeyLiveBus(valkey, 10_000, prefix) for _ in range(2)]
    for host in hosts:
        host.start()
    reader = Fanout(ValkeyLiveLog(wired, prefix), max_kept=1000, max_listeners=10, max_queued=1000)
    reader.start()
    listener = await reader.subscribe(EventFilter(), lambda event: True)
    for number in range(60):
        hosts[number % 2].publish([tick(number)])
        if number == 20:
            assert 20 in await heard(listener, 20)
            await wire.cut()
        if number == 40:
            await wire.mend()
        await asyncio.sleep(0.002)
    found = await heard(listener, 59)
    found += await heard(listener, 58) if 58 not in found else []
    assert [n for n in found if isinstance(n, str)] == []
    assert len(found) == len(set(found))
    assert set(range(21, 60)) <= set(found)
    await reader.close()
    for host in hosts:
        await host.close()


async def test_a_reader_that_was_away_too_long_tells_its_listeners(
    valkey: Redis, wired: Redis, wire: Wire, prefix: str, impatient: None
) -> None:
    host = ValkeyLiveBus(valkey, 10_000, prefix)
    host.start()
    reader = Fanout(ValkeyLiveLog(wired, prefix), max_kept=1000, max_listeners=10, max_queued=1000)
    reader.start()
    listener = await reader.subscribe(EventFilter(), lambda event: True)
    host.publish([tick(1)])
    assert await heard(listener, 1) == [1]
    await wire.cut()
    host.publish([tick(2)])
    await host.close()
    await valkey.xtrim(live_stream(prefix), maxlen=0, approximate=False)
    host = ValkeyLiveBus(valkey, 10_000, prefix)
    host.start()
    host.publish([tick(3)])
    await wire.mend()
    assert await heard(listener, 3) == ["no longer kept", 3]
    await reader.close()
    await host.close()


async def test_a_server_that_is_away_is_told_as_such(wired: Redis, wire: Wire, prefix: str) -> None:
    log = ValkeyLiveLog(wired, prefix, wait_ms=20)
    assert await log.newest() == START
    await wire.cut()
    with pytest.raises(Unavailable):
        await log.newest()
    with pytest.raises(Unavailable):
        await log.after(START)


async def test_an_entry_of_another_version_is_passed_over_and_known_to_be_missing(
    valkey: Redis, log: ValkeyLiveLog, prefix: str
) -> None:
    for fields in ({"events": '[{"kind":"meter"}]'}, {"news": "[]"}):
        await valkey.xadd(live_stream(prefix), fields)  # type: ignore[arg-type]
    bus = ValkeyLiveBus(valkey, 100, prefix)
    bus.start()
    bus.publish([tick(1)])
    await bus.close()
    assert [(entry.lossy, numbers(entry.events)) for entry in await everything(log)] == [
        (True, []), (True, []), (False, [1]),
    ]  # fmt: skip


async def test_a_full_queue_drops_and_counts(valkey: Redis, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.publish([tick(number) for number in range(MAX_QUEUED + 7)])
    assert bus.dropped == 7
