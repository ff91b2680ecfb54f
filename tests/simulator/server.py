"""The fake CSMS on a real socket (loopback), one FakeCsms per station id; keeps what each heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from actors.ocpp.frames import OcppVersion
from tests.simulator.csms import FakeCsms


class FakeServer:
    def __init__(self, password: str | None = None) -> None:
        self.stations: dict[str, FakeCsms] = {}
        self.sockets: dict[str, ServerConnection] = {}
        self.connections: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.port = 0
        self._password = password
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ocpp"

    async def until(self, fact: Callable[[], bool], within_s: float = 20.0) -> None:
        """Wait for a fact about what was heard."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(fact)

    async def order(self, station_id: str, action: str, payload: dict[str, object]) -> None:
        await self.sockets[station_id].send(
            self.stations[station_id].order(action, payload, datetime.now(UTC)).decode()
        )

    async def talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        station_id = socket.request.path.rpartition("/")[2]
        if socket.subprotocol is None:
            return
        version = OcppVersion(socket.subprotocol)
        csms = self.stations.setdefault(station_id, FakeCsms(version))
        csms.reconnect()
        self.sockets[station_id] = socket
        self.connections[station_id] = self.connections.get(station_id, 0) + 1
        try:
            while True:
                for answer in csms.receive(await socket.recv(decode=False), datetime.now(UTC)):
                    with suppress(ConnectionClosed):  # read on: what came before the close counts
                        await socket.send(answer.decode())
                async with self._changed:
                    self._changed.notify_all()
        except ConnectionClosed:
            async with self._changed:
                self._changed.notify_all()

    def check(self, socket: ServerConnection, request: Request) -> Response | None:
        station_id = request.path.rpartition("/")[2]
        if station_id in self.unknown:
            return socket.respond(HTTPStatus.NOT_FOUND, "no such station\n")
        if self._password is not None and "Authorization" not in request.headers:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")
        return None


@asynccontextmanager
async def running(
    subprotocols: Sequence[str] = ("ocpp2.0.1", "ocpp1.6"), password: str | None = None
) -> AsyncIterator[FakeServer]:
    fake = FakeServer(password)
    server: Server
    async with serve(
        fake.talk,
        "127.0.0.1",
        0,
        select_subprotocol=lambda _, offered: next((Subprotocol(n) for n in offered if n in subprotocols), None),
        process_request=fake.check,
        compression=None,
    ) as server:
        fake.port = next(iter(server.sockets)).getsockname()[1]
        yield fake
