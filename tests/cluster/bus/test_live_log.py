"""The contract of LiveLog, proven for Valkey and for the twin that other tests use."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from actors.domain.records import LiveEvent
from actors.errors import BadRequest
from cluster.bus.live import ValkeyLiveBus, ValkeyLiveLog, live_stream
from cluster.bus.stream import START, LiveLog, Portion, Position, position
from tests.cluster.bus.live_events import numbers, tick
from tests.twins.live import MemoryLiveLog


class Stream:
    """A stream that a test writes, and the log that is read from it."""

    log: LiveLog

    async def write(self, events: Sequence[LiveEvent]) -> None:
        raise NotImplementedError

    async def trim(self, kept: int) -> None:
        raise NotImplementedError


class MemoryStream(Stream):
    def __init__(self) -> None:
        self.log = self._log = MemoryLiveLog()

    async def write(self, events: Sequence[LiveEvent]) -> None:
        self._log.write(events)

    async def trim(self, kept: int) -> None:
        self._log.trim(kept)


class ValkeyStream(Stream):
    def __init__(self, client: Redis, prefix: str) -> None:
        self.log = ValkeyLiveLog(client, prefix, wait_ms=50)
        self._client, self._prefix = client, prefix

    async def write(self, events: Sequence[LiveEvent]) -> None:
        bus = ValkeyLiveBus(self._client, 10_000, self._prefix)
        bus.start()
        bus.publish(events)
        await bus.close()

    async def trim(self, kept: int) -> None:
        await self._client.xtrim(live_stream(self._prefix), maxlen=kept, approximate=False)


@pytest.fixture(params=["memory", "valkey"])
def stream(request: pytest.FixtureRequest) -> Stream:
    if request.param == "memory":
        return MemoryStream()
    return ValkeyStream(request.getfixturevalue("valkey"), request.getfixturevalue("prefix"))


def read(portion: Portion) -> list[int]:
    return [number for entry in portion.entries for number in numbers(entry.events)]


def end(portion: Portion) -> Position:
    """Return where to go on after a portion."""
    last = portion.entries[-1]
    return Position(last.ms, last.number, len(last.events))


async def test_an_empty_stream_has_a_start_and_nothing_after_it(stream: Stream) -> None:
    assert await stream.log.newest() == START
    assert await stream.log.after(START) == Portion()


async def test_entries_come_whole_and_in_order_after_any_position(stream: Stream) -> None:
    await stream.write([tick(1, site_id="depot"), tick(2, "CP-2")])
    await stream.write([tick(3)])
    everything = await stream.log.after(START)
    assert read(everything) == [1, 2, 3]
    one, two = everything.entries[0].events
    assert (one.kind, one.station_id, one.site_id, two.station_id) == ("StationDisconnected", "CP-1", "depot", "CP-2")
    first = everything.entries[0]
    for nth in (0, 1, 2):
        assert read(await stream.log.after(Position(first.ms, first.number, nth))) == [3]
    newest = await stream.log.newest()
    assert newest == end(everything)._replace(nth=0)
    assert await stream.log.after(newest) == Portion()


async def test_a_reader_that_waits_gets_what_is_written_meanwhile(stream: Stream) -> None:
    await stream.write([tick(1)])
    at = await stream.log.newest()
    found: list[int] = []

    async def wait() -> None:
        while not found:
            found.extend(read(await stream.log.after(at)))

    async with asyncio.timeout(10):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await stream.write([tick(2)])
        await waiting
    assert found == [2]


async def test_a_long_stream_comes_in_portions(stream: Stream) -> None:
    for number in range(230):
        await stream.write([tick(number)])
    at, found, portions = START, list[int](), 0
    while found[-1:] != [229]:
        portion = await stream.log.after(at)
        assert not portion.broken
        at, portions = end(portion), portions + 1
        found += read(portion)
    assert (found, portions) == (list(range(230)), 3)


async def test_what_follows_a_trimmed_entry_is_marked_for_all_between_may_be_gone(stream: Stream) -> None:
    for number in range(4):
        await stream.write([tick(number)])
    entries = (await stream.log.after(START)).entries
    places = [Position(entry.ms, entry.number, 1) for entry in entries]
    await stream.trim(2)
    assert not (await stream.log.after(START)).broken
    gone = await stream.log.after(places[0])
    assert (read(gone), gone.broken) == ([2, 3], True)
    kept = await stream.log.after(places[2])
    assert (read(kept), kept.broken) == ([3], False)


def test_a_position_is_read_as_it_was_given_out() -> None:
    at = Position(1_777_777_777_777, 12, 3)
    assert position(str(at)) == at


@pytest.mark.parametrize("text", ["", "1-2", "1-2-3-4", "a-b-c", "-1-2-3", "1-2-٣", "1-2-3\n", "9" * 16 + "-0-1", "*"])
def test_another_text_is_no_position(text: str) -> None:
    with pytest.raises(BadRequest):
        position(text)
