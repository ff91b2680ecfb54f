"""Live events on one bounded stream: the hosts write, whoever watches reads.

An entry of the stream is a flush: a JSON list of events. Nothing here is durable, and charging never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final, cast

import msgspec
from redis.asyncio import Redis

from actors.domain.records import LiveEvent
from actors.errors import Unavailable
from cluster.bus.client import PREFIX, TIMEOUT_S, reachable
from cluster.drain import Drain

log = logging.getLogger(__name__)

MAX_QUEUED: Final = 10_000
MAX_BATCH: Final = 200
GATHER_S: Final = 0.05
MIN_ENTRIES: Final = 16
RETRY_S: Final = 1.0
BLOCK_MS: Final = int(TIMEOUT_S * 1000) // 2
"""A read waits this long for something new: below the socket's time-out."""

_FIELD: Final = b"events"
_Entries = list[tuple[bytes, dict[bytes, bytes]]]
_Found = list[tuple[bytes, _Entries]]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[LiveEvent]).decode


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
        with reachable():
            await self._client.xadd(self._stream, {_FIELD: _encode(events)}, maxlen=entries, approximate=True)


async def watch(
    client: Redis, after: str | None = None, prefix: str = PREFIX
) -> AsyncIterator[tuple[str, list[LiveEvent]]]:
    """Yield what is published, a cursor and a few events at a time; begins now, or after a cursor it has given before.

    Waits out a server that is away; what was published meanwhile and is still kept comes afterwards.
    """
    stream, away = live_stream(prefix), False
    while True:
        try:
            with reachable():
                after = after or await _newest(client, stream)
                found = cast("_Found", await client.xread({stream: after}, count=100, block=BLOCK_MS))
        except Unavailable as error:
            if not away:
                log.warning("live events stop", extra={"error": str(error)})
            away = True
            await asyncio.sleep(RETRY_S)
            continue
        away = False
        for after, events in _entries(found):
            yield after, events


async def _newest(client: Redis, stream: str) -> str:
    newest = cast("_Entries", await client.xrevrange(stream, count=1))
    return newest[0][0].decode() if newest else "0-0"


def _entries(found: _Found) -> list[tuple[str, list[LiveEvent]]]:
    return [(entry.decode(), _decode(fields[_FIELD])) for _, entries in found for entry, fields in entries]
