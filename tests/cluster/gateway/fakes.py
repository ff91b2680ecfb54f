"""A host, a router and settings for gateway tests; sockets and the websockets client are real."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from cluster import batch
from cluster.gateway.gateway import Gateway
from cluster.gateway.ports import HostKey, HostUnavailable, Ingest
from configs.plane import Gateway as GatewaySettings

PASSWORD_KEY = b"0123456789abcdef"

_DEFAULTS: dict[str, object] = {
    "host": "127.0.0.1", "port": 1, "count": 1, "node_labels": {}, "window": 4, "accepts_per_s": 10_000.0,
    "max_batch_items": 256, "max_frame_bytes": 65536,
    "handshake_timeout_s": 5, "ping_interval_s": 60, "pong_timeout_s": 2, "frames_per_s": 10000, "frame_burst": 10000,
    "max_queued_frames": 64, "max_queued_mb": 64, "compression": True, "retry_after_s": 10,
}  # fmt: skip


def settings(**changes: object) -> GatewaySettings:
    """Gateway settings for tests, with these changes."""
    return GatewaySettings.model_validate(_DEFAULTS | changes)


async def until(fact: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until `fact()` holds; fail when it has not by the deadline."""
    async with asyncio.timeout(within_s):
        while not fact():  # noqa: ASYNC110 - facts come from real sockets, which set no event of ours
            await asyncio.sleep(0.002)


@contextmanager
def reserved_port() -> Iterator[int]:
    """Keep a loopback port for this test: bound, but not listening, so that it gets no connection."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


class FakeHost:
    """Admits everyone and sends every frame back; fails or waits when told to."""

    def __init__(self) -> None:
        self.items: list[batch.Item] = []
        self.batches: list[list[batch.Item]] = []
        self.epoch = 0
        self.unavailable_for = 0
        self.dies_after_execution = 0
        self.refusals: dict[str, batch.Refused] = {}
        self.say: Callable[[batch.Item], batch.Result] = self.decide
        self.open = asyncio.Event()
        self.open.set()
        self.in_flight = 0
        self.max_in_flight = 0

    async def ingest(self, data: bytes) -> bytes:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await self.open.wait()
            if self.unavailable_for:
                self.unavailable_for -= 1
                raise HostUnavailable("restarting")
            items = batch.decode_items(data)
            self.batches.append(items)
            self.items += items
            results = [self.say(item) for item in items]
            if self.dies_after_execution:
                self.dies_after_execution -= 1
                raise HostUnavailable("died with the answer in its hands")
            return batch.encode(results)
        finally:
            self.in_flight -= 1

    def decide(self, item: batch.Item) -> batch.Result:
        if isinstance(item, batch.Connect):
            if refusal := self.refusals.get(item.station_id):
                return refusal
            self.epoch += 1
            return batch.Admitted(self.epoch)
        return batch.Answers([item.data] if isinstance(item, batch.Frame) else [])

    def frames_of(self, station_id: str) -> list[bytes]:
        return [i.data for i in self.items if isinstance(i, batch.Frame) and i.station_id == station_id]

    def connects(self) -> list[batch.Connect]:
        return [i for i in self.items if isinstance(i, batch.Connect)]

    def disconnects(self) -> list[batch.Disconnect]:
        return [i for i in self.items if isinstance(i, batch.Disconnect)]


class FakeRouter:
    """A partition map that `refresh` replaces by `truth`."""

    def __init__(self, owner: HostKey = "host-1") -> None:
        self.owner: HostKey | None = owner
        self.truth: HostKey | None = owner
        self.refreshed = 0
        self.suspects: list[HostKey] = []

    def route(self, station_id: str) -> HostKey:
        if self.owner is None:
            raise HostUnavailable(f"nobody owns {station_id}")
        return self.owner

    async def refresh(self, suspects: Sequence[HostKey] = ()) -> None:
        self.refreshed += 1
        self.suspects = list(suspects)
        self.owner = self.truth


class Site:
    """A gateway that listens, its host, and stations that connect to it."""

    def __init__(self, gateway: Gateway, host: FakeHost, port: int) -> None:
        self.gateway = gateway
        self.host = host
        self.port = port

    def station(
        self, path: str, subprotocols: tuple[str, ...] = ("ocpp2.0.1",), **options: object
    ) -> Awaitable[ClientConnection]:
        return open_station(f"ws://127.0.0.1:{self.port}{path}", subprotocols, **options)


async def open_station(url: str, subprotocols: tuple[str, ...], **options: object) -> ClientConnection:
    offered = [Subprotocol(name) for name in subprotocols] or None
    return await connect(url, subprotocols=offered, proxy=None, close_timeout=2, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def site(
    host: FakeHost | None = None, router: FakeRouter | None = None, hosts: dict[HostKey, Ingest] | None = None,
    gateway_id: str = "gateway-1", **changes: object,
) -> AsyncIterator[Site]:  # fmt: skip
    """Run a gateway with a fake host behind it; `changes` are settings."""
    host = host or FakeHost()
    ways: dict[HostKey, Ingest] = hosts or {"host-1": host}
    with reserved_port() as free_port:
        own = {"port": free_port} | changes
        gateway = Gateway(gateway_id, settings(**own), PASSWORD_KEY, router or FakeRouter(), ways.__getitem__)
        _, port = await gateway.start()
        try:
            yield Site(gateway, host, port)
        finally:
            host.open.set()
            await gateway.close()
