"""Live events over a real server on loopback: uvicorn, a reader on a stream in memory, one route of each kind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from actors.errors import NotFound
from cluster.bus.fanout import Fanout
from cluster.bus.subscription import EventFilter, Subscription
from configs.api import Live
from serve.live.socket import EventSocket
from serve.live.sse import LAST_EVENT_ID, EventStream
from tests.serve.serving import serving
from tests.twins.live import MemoryLiveLog

RULES = Live(
    stream_max_events=1000,
    max_listeners=2000,
    max_queued=100,
    heartbeat_s=0.2,
    send_timeout_s=1.0,
    retry_s=3.0,
    recheck_s=0.1,
    filter_pause_s=0.001,
)


@dataclass
class Server:
    """A running server; `rules` count for connections that come."""

    log: MemoryLiveLog
    fanout: Fanout
    rules: Live = RULES
    port: int = 0
    subscriptions: list[Subscription] = field(default_factory=list)
    forbidden: str = "CP-SECRET"
    asked: list[EventFilter] = field(default_factory=list)
    """Filters that clients have sent, as far as they were looked at."""
    serving: int = 0
    """Connections that are being served."""

    @property
    def events_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/events"

    async def subscribe(self, station: str | None, after: str | None) -> Subscription:
        """Subscribe as a router does that has found out who calls."""
        wanted = EventFilter(stations=None if station is None else frozenset(station.split(",")))
        subscription = await self.fanout.subscribe(wanted, lambda event: event.station_id != self.forbidden, after)
        self.subscriptions.append(subscription)
        return subscription

    async def stream(self, request: Request) -> Response:
        after = request.headers.get(LAST_EVENT_ID)
        return EventStream(await self.subscribe(request.query_params.get("station"), after), self.rules)

    async def socket(self, websocket: WebSocket) -> None:
        asked = websocket.query_params
        subscription = await self.subscribe(asked.get("station"), asked.get("after"))
        await EventSocket(websocket, subscription, self.rules, self.grant).serve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        routes = [Route("/events", self.stream), WebSocketRoute("/events", self.socket)]
        self.serving += scope["type"] != "lifespan"
        try:
            await Starlette(routes=routes)(scope, receive, send)
        finally:
            self.serving -= scope["type"] != "lifespan"

    async def grant(self, wanted: EventFilter) -> EventFilter:
        self.asked.append(wanted)
        if wanted.stations is not None and self.forbidden in wanted.stations:
            raise NotFound("there is no such station")
        return wanted

    async def read_on(self) -> None:
        """Wait until the reader is at the end of the stream."""
        (await self.fanout.subscribe(EventFilter(), lambda _: False)).end()  # somebody looks in
        newest = await self.log.newest()
        async with asyncio.timeout(10):
            while self.fanout.position < newest:  # noqa: ASYNC110 - the reader has its turn
                await asyncio.sleep(0.005)

    async def open(self, count: int) -> None:
        """Wait until so many listen."""
        async with asyncio.timeout(10):
            while self.fanout.listeners != count:  # noqa: ASYNC110 - the fact is the network's
                await asyncio.sleep(0.005)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    log = MemoryLiveLog()
    server = Server(log, Fanout(log, RULES.stream_max_events, RULES.max_listeners, RULES.max_queued))
    server.fanout.start()
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # a client that does not read is felt soon
    async with serving(server, listening) as address:
        server.port = int(address.rpartition(":")[2])
        yield server
        await server.fanout.close()
