"""A subscription as a WebSocket: each event one text message; the client may send another filter, and nothing else.

Must not know: where events are from, who may see them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from actors.errors import CloudBayError
from cluster.bus.subscription import End, EventFilter, Subscription, SubscriptionEnded
from configs.api import Live
from serve.live.messages import FilterChanged, FilterRefused, Heartbeat, json_of, parse_change

log = logging.getLogger(__name__)

BAD_MESSAGE: Final = 4400
CLOSE_CODES: Final[dict[End, int]] = {
    "too slow": 4408,
    "sign in again": 4401,
    "not allowed any more": 4403,
    "going away": 1001,
    "closed": 1000,
}
"""RFC 6455, 7.4: those from 4000 are this protocol's own."""

MAX_MESSAGE_CHARS: Final = 65_536

Refilter = Callable[[EventFilter], Awaitable[EventFilter]]
"""What a client may have of what it asks for. Raises CloudBayError to refuse it."""


class EventSocket:
    """One connection; ends the subscription with itself."""

    def __init__(self, socket: WebSocket, subscription: Subscription, rules: Live, refilter: Refilter) -> None:
        self._socket = socket
        self._subscription = subscription
        self._rules = rules
        self._refilter = refilter
        self._wrong: str | None = None
        """What was wrong with the client's last message."""

    async def serve(self, subprotocol: str | None = None) -> None:
        """Accept, and send events until the client leaves, does not read, says nonsense, or the subscription ends."""
        hearing: asyncio.Task[None] | None = None
        try:
            await self._socket.accept(subprotocol)
            hearing = asyncio.create_task(self._hear())
            await self._close(*await self._talk())
        except TimeoutError:
            log.info("a listener does not read", extra={"client": self._socket.client})
        except WebSocketDisconnect:
            pass  # it left while something was sent to it
        finally:
            self._subscription.end()
            if hearing is not None:
                hearing.cancel()

    async def _talk(self) -> tuple[int, str]:
        """Send all there is; return the close code and reason. Raises TimeoutError when the client does not read."""
        subscription, rules = self._subscription, self._rules
        await self._put(json_of(Heartbeat(str(subscription.position))))
        while True:
            try:
                items = await subscription.take(rules.heartbeat_s)
            except SubscriptionEnded as end:
                if self._wrong is not None:
                    return BAD_MESSAGE, self._wrong
                return CLOSE_CODES[end.reason], end.reason
            for item in items or [Heartbeat(str(subscription.position))]:
                await self._put(json_of(item))

    async def _put(self, message: bytes) -> None:
        async with asyncio.timeout(self._rules.send_timeout_s):
            await self._socket.send_text(message.decode())

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # the client has closed already
            async with asyncio.timeout(self._rules.send_timeout_s):
                await self._socket.close(code, reason)

    async def _hear(self) -> None:
        """Take filters until the client leaves or says something else.

        Each costs a look at the database, so there is a pause after it; who sends more is not read from meanwhile.
        """
        try:
            while (message := await self._socket.receive())["type"] == "websocket.receive":
                text = message.get("text") or ""
                if len(text) > MAX_MESSAGE_CHARS:
                    self._wrong = "the message is too long"
                    break
                await self._change(parse_change(text).filter)
                await asyncio.sleep(self._rules.filter_pause_s)
        except msgspec.DecodeError:
            self._wrong = 'a message is {"filter": {...}} and nothing else'
        finally:
            self._subscription.end()

    async def _change(self, wanted: EventFilter) -> None:
        try:
            granted = await self._refilter(wanted)
        except CloudBayError as error:
            self._subscription.put(FilterRefused(str(error)))
        else:
            self._subscription.refilter(granted)
            self._subscription.put(FilterChanged(granted))
