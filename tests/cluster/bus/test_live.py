"""Live events reach who watches; an outage of Valkey costs events and nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from actors.domain.records import LiveEvent
from cluster.bus import live
from cluster.bus.live import MAX_QUEUED, ValkeyLiveBus, watch
from tests.cluster.bus.conftest import Wire

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
Watched = AsyncIterator[tuple[str, list[LiveEvent]]]


def tick(number: int) -> LiveEvent:
    return LiveEvent("meter", "CP-1", NOON, {"energy_wh": number})


def numbers(events: list[LiveEvent]) -> list[object]:
    return [event.data["energy_wh"] for event in events]


async def received(watched: Watched, count: int) -> list[object]:
    """Return the next `count` events."""
    found: list[object] = []
    async with asyncio.timeout(15):
        async for _, events in watched:
            found += numbers(events)
            if len(found) >= count:
                break
    return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RETRY_S", 0.05)


async def test_events_arrive_in_order_and_whole(valkey: Redis, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.start()
    bus.publish([tick(number) for number in range(450)])
    bus.publish([tick(450)])
    assert await received(watch(valkey, "0-0", prefix), 451) == list(range(451))
    await bus.close()


async def test_a_watcher_begins_now_and_goes_on_where_it_was(valkey: Redis, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.start()
    bus.publish([tick(1)])
    await bus.close()

    now = watch(valkey, prefix=prefix)
    first = asyncio.ensure_future(anext(now))
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.start()
    async with asyncio.timeout(10):
        while not first.done():  # it sees nothing that was published before its first look
            bus.publish([tick(2)])
            await asyncio.sleep(0.02)
    cursor, events = await first
    assert set(numbers(events)) == {2}
    await bus.close()

    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.start()
    bus.publish([tick(3)])
    await bus.close()
    later = watch(valkey, cursor, prefix)
    async with asyncio.timeout(10):
        while 3 not in numbers((await anext(later))[1]):
            pass


async def test_the_stream_is_bounded_in_events_also_when_entries_are_full(valkey: Redis, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 1000, prefix)
    bus.start()
    for _ in range(5):
        bus.publish([tick(number) for number in range(MAX_QUEUED)])
        await bus.close()
        bus = ValkeyLiveBus(valkey, 1000, prefix)
        bus.start()
    await bus.close()
    assert await valkey.xlen(f"{prefix}:live") < 150  # trimming is approximate, by nodes of 100 entries


async def test_an_outage_is_told_once_counted_and_over_by_itself(
    wired: Redis, wire: Wire, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bus = ValkeyLiveBus(wired, 10_000, prefix)
    bus.start()
    watched = watch(wired, "0-0", prefix)
    bus.publish([tick(1)])
    assert await received(watched, 1) == [1]

    await wire.cut()
    async with asyncio.timeout(10):
        while bus.dropped < 20:  # more than one batch
            bus.publish([tick(-1)])
            await asyncio.sleep(0.02)
    await wire.mend()
    back = asyncio.ensure_future(anext(watch(wired, "0-0", prefix)))
    async with asyncio.timeout(10):
        while "delivering again" not in caplog.messages:
            bus.publish([tick(2)])
            await asyncio.sleep(0.02)
    assert (await back)[0]
    await bus.close()
    assert caplog.messages.count("dropping") == 1


async def test_a_watcher_waits_out_an_outage(wired: Redis, valkey: Redis, wire: Wire, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.start()
    watched = watch(wired, "0-0", prefix)
    bus.publish([tick(1)])
    assert await received(watched, 1) == [1]
    await wire.cut()
    bus.publish([tick(2)])
    next_one = asyncio.ensure_future(received(watched, 1))
    await bus.close()
    await wire.mend()
    assert await next_one == [2]


async def test_a_full_queue_drops_and_counts(valkey: Redis, prefix: str) -> None:
    bus = ValkeyLiveBus(valkey, 10_000, prefix)
    bus.publish([tick(number) for number in range(MAX_QUEUED + 7)])
    assert bus.dropped == 7
