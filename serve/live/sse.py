"""A subscription as server-sent events (WHATWG HTML, section 9.2).

Must not know: where events are from, who may see them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cluster.bus.stream import Gap, SeenEvent
from cluster.bus.subscription import Item, Subscription, SubscriptionEnded
from configs.api import Live
from serve.live.messages import Closed, json_of

log = logging.getLogger(__name__)

LAST_EVENT_ID: Final = "last-event-id"
"""The header by which a client tells where it was."""


class EventStream(Response):
    """An answer that lasts as long as the subscription and the client; ends the subscription with itself."""

    media_type = "text/event-stream"

    def __init__(self, subscription: Subscription, rules: Live) -> None:
        # Neither a cache nor a proxy may hold an event back.
        super().__init__(headers={"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._subscription = subscription
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client leaves, does not read, or the subscription ends."""
        leaving = asyncio.create_task(self._leave(receive))
        try:
            await self._talk(send)
        except TimeoutError:
            log.info("a listener does not read", extra={"client": scope.get("client")})
        finally:
            self._subscription.end()
            leaving.cancel()

    async def _leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.end()

    async def _talk(self, send: Send) -> None:
        """Send all there is. Raises TimeoutError when the client does not read."""
        subscription, rules = self._subscription, self._rules
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._put(send, b"retry: %d\n" % round(rules.retry_s * 1000) + _heartbeat(subscription))
        while True:
            try:
                items = await subscription.take(rules.heartbeat_s)
            except SubscriptionEnded as end:
                if end.reason != "closed":
                    await self._put(send, _frame(Closed(end.reason)))
                break
            await self._put(send, b"".join(map(_frame, items)) or _heartbeat(subscription))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(self._rules.send_timeout_s):
            await send({"type": "http.response.body", "body": body, "more_body": True})


def _frame(item: Item) -> bytes:
    if isinstance(item, SeenEvent):
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(item.position).encode(), item.event.kind.encode(), item.json)
    if isinstance(item, Gap):
        return b"id: %s\nevent: Gap\ndata: %s\n\n" % (str(item.position).encode(), json_of(item))
    return b"event: %s\ndata: %s\n\n" % (type(item).__name__.encode(), json_of(item))


def _heartbeat(subscription: Subscription) -> bytes:
    """Return a comment that also moves the client's last event id, without an event (9.2.6)."""
    return b": heartbeat\nid: %s\n\n" % str(subscription.position).encode()
