"""Business events from the outbox to a stream, in order and at least once.

Each carries an id made of its content, by which a consumer knows a repeat. An outage of either side delays, it loses
nothing. Must not know: SQL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Protocol

import msgspec
from redis.asyncio import Redis

from actors.errors import Unavailable
from cluster.bus.client import PREFIX, reachable

log = logging.getLogger(__name__)

MAX_EVENTS: Final = 100_000
"""What the stream keeps for consumers that are late."""
SOURCE: Final = "/facts"
"""Where the ids of business events are unique."""


class WaitingEvent(msgspec.Struct, frozen=True):
    """A business event that waits to be published; `data` is JSON."""

    event_id: str
    kind: str
    station_id: str
    at: datetime
    data: str


def as_message(event: WaitingEvent) -> bytes:
    """Return an event as webhooks and Kinesis carry it: with the attributes of CloudEvents 1.0 (JSON format)."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": event.event_id,
            "source": SOURCE,
            "type": event.kind,
            "subject": event.station_id,
            "time": event.at,
            "data": msgspec.Raw(event.data.encode()),
        }
    )


class Outbox(Protocol):
    """Where business events wait."""

    def batch(self, limit: int) -> AbstractAsyncContextManager[Sequence[WaitingEvent]]:
        """Lend the oldest events and forget them when the block ends well; none while another relay is at work."""


class Relay:
    """Publishes what waits in the outbox; any number may run, one at a time works."""

    def __init__(self, outbox: Outbox, client: Redis, poll_s: float, batch: int, prefix: str = PREFIX) -> None:
        self._outbox = outbox
        self._client = client
        self._poll_s = poll_s
        self._batch = batch
        self._stream = f"{prefix}:events"
        self.published = 0

    async def run(self) -> None:
        """Publish until cancelled."""
        away = False
        while True:
            try:
                count = await self.publish()
            except Unavailable as error:
                if not away:
                    log.warning("business events wait", extra={"error": str(error)})
                away, count = True, 0
            else:
                away = False
            if count < self._batch:
                await asyncio.sleep(self._poll_s)

    async def publish(self) -> int:
        """Publish one batch and return its size. Raises Unavailable; then all of it is published again later."""
        async with self._outbox.batch(self._batch) as events:
            if events:
                with reachable():
                    await self._send(events)
        self.published += len(events)
        return len(events)

    async def _send(self, events: Sequence[WaitingEvent]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for event in events:
                fields = {
                    "id": event.event_id,
                    "kind": event.kind,
                    "station_id": event.station_id,
                    "at": event.at.isoformat(),
                    "data": event.data,
                }
                pipeline.xadd(self._stream, fields, maxlen=MAX_EVENTS, approximate=True)  # type: ignore[arg-type]
            await pipeline.execute()
