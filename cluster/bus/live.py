"""Live events on one bounded stream: the hosts write, the API processes read.

An entry of the stream is a flush: a JSON list of events, and a mark when others before it could not be written. Nothing
here is durable, and charging never waits for it. Must not know: who listens.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, cast

import msgspec
from redis.asyncio import Redis

from actors.domain.records import LiveEvent
from cluster.bus.client import PREFIX, TIMEOUT_S, reachable
from cluster.bus.stream import START, Entry, Portion, Position, Written
from cluster.drain import Drain

log = logging.getLogger(__name__)

MAX_QUEUED: Final = 10_000
MAX_BATCH: Final = 200
GATHER_S: Final = 0.05
MIN_ENTRIES: Final = 16
MAX_READ: Final = 100
RETRY_S: Final = 1.0
BLOCK_MS: Final = int(TIMEOUT_S * 1000) // 2
"""A read waits this long for something new: below the socket's time-out."""

_EVENTS: Final = b"events"
_LOST: Final = b"lost"
_Entries = list[tuple[bytes, dict[bytes, bytes]]]
_Found = list[tuple[bytes, _Entries]]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Written]).decode


def live_stream(prefix: str = PREFIX) -> str:
    """Name the stream."""
    return f"{prefix}:live"


class ValkeyLiveBus:
    """LiveBus that publishes in the background between `start` and `close`; the stream keeps about `max_events`."""

    def __init__(self, client: Redis, max_events: int, prefix: str = PREFIX) -> None:
        self._client = client
        self._stream = live_stream(prefix)
        self._max_events = max_events
        self._mean_batch = 1.0
        self._dropped_told = 0
        self._drain = Drain("live events", self._add, MAX_QUEUED, MAX_BATCH, GATHER_S, RETRY_S)

    @property
    def dropped(self) -> int:
        """Count the events that were not published."""
        return self._drain.dropped

    def publish(self, events: Sequence[LiveEvent]) -> None:
        """Queue events; drops and counts them when the queue is full."""
        self._drain.put(events)

    def start(self) -> None:
        """Begin to publish, in the running event loop."""
        self._drain.start()

    async def close(self) -> None:
        """Publish what is queued, within seconds, and end; the client stays open."""
        await self._drain.close()

    async def _add(self, events: list[LiveEvent]) -> None:
        # The stream is bounded in entries, which hold many events when it is busy and one when it is not.
        self._mean_batch += (len(events) - self._mean_batch) / 10
        entries = max(MIN_ENTRIES, int(self._max_events / self._mean_batch))
        fields, dropped = {_EVENTS: _encode(events)}, self.dropped
        if dropped > self._dropped_told:
            fields[_LOST] = b"%d" % (dropped - self._dropped_told)
        with reachable():
            await self._client.xadd(self._stream, fields, maxlen=entries, approximate=True)  # type: ignore[arg-type]
        self._dropped_told = dropped


class ValkeyLiveLog:
    """LiveLog on the stream that all hosts write."""

    def __init__(self, client: Redis, prefix: str = PREFIX, wait_ms: int = BLOCK_MS) -> None:
        self._client = client
        self._stream = live_stream(prefix)
        self._wait_ms = wait_ms

    async def newest(self) -> Position:
        """Return where the newest entry begins; START when there is none."""
        with reachable():
            newest = cast("_Entries", await self._client.xrevrange(self._stream, count=1))
        return _beginning(newest[0][0]) if newest else START

    async def after(self, position: Position) -> Portion:
        """Return the entries after that of `position`; waits some seconds for one, and is empty when none comes."""
        last = f"{position.ms}-{position.number}"
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.xread({self._stream: last}, count=MAX_READ, block=self._wait_ms)
            # Answered after the read: when it is still there, nothing that follows it was trimmed before.
            pipeline.xrange(self._stream, last, last)
            with reachable():
                found, kept = cast("tuple[_Found, _Entries]", await pipeline.execute())
        entries = [_entry(name, fields) for _, named in found or () for name, fields in named]
        return Portion(entries, broken=bool(entries) and position != START and not kept)


def _beginning(name: bytes) -> Position:
    ms, number = name.split(b"-")
    return Position(int(ms), int(number), 0)


def _entry(name: bytes, fields: dict[bytes, bytes]) -> Entry:
    begin = _beginning(name)
    try:
        events = _decode(fields[_EVENTS])
    except (msgspec.DecodeError, KeyError):  # another version of the platform writes otherwise
        log.warning("an entry of the live stream cannot be read", extra={"entry": name.decode()})
        return Entry(begin.ms, begin.number, (), lossy=True)
    return Entry(begin.ms, begin.number, events, _LOST in fields)
