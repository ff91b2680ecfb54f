"""Valkey behind a wire that a test can cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from cluster.bus.client import make_client
from cluster.embedded import EmbeddedValkey


class Wire:
    """A TCP proxy on a port of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
def prefix() -> str:
    """Return a key prefix of this test's own."""
    return f"test-{uuid4().hex[:8]}"


@pytest.fixture
async def wire(valkey_server: EmbeddedValkey) -> AsyncIterator[Wire]:
    """Open a wire to Valkey."""
    wire = Wire(urlsplit(valkey_server.url).port or 0)
    await wire.mend()
    yield wire
    await wire.cut()


@pytest.fixture
async def valkey(valkey_server: EmbeddedValkey) -> AsyncIterator[Redis]:
    """Connect to Valkey directly."""
    client = make_client(valkey_server.url, "tests")
    yield client
    await client.aclose()


@pytest.fixture
async def wired(wire: Wire, valkey_server: EmbeddedValkey) -> AsyncIterator[Redis]:
    """Connect to Valkey through the wire."""
    parts = urlsplit(valkey_server.url)
    client = make_client(f"redis://:{parts.password}@127.0.0.1:{wire.port}/0", "tests")
    yield client
    await client.aclose()


@pytest.fixture
def until() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait for a fact, ten seconds at most."""

    async def wait(fact: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await fact():  # noqa: ASYNC110 - the fact is in another process
                await asyncio.sleep(0.01)

    return wait
