"""Connections are taken at a bounded rate, and none is lost."""

from __future__ import annotations

import asyncio

from cluster.gateway.listener import Listener


class Taken(asyncio.Protocol):
    """Notes when it was taken."""

    def __init__(self, times: list[float]) -> None:
        self._times = times

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._times.append(asyncio.get_running_loop().time())


async def connected(count: int, per_s: float) -> list[float]:
    """Connect so many at once and return when each was taken, from the first."""
    times: list[float] = []
    listener = Listener(lambda: Taken(times), per_s)
    host, port = await listener.open("127.0.0.1", 0)
    try:
        writers = [(await asyncio.open_connection(host, port))[1] for _ in range(count)]
        async with asyncio.timeout(20):
            while len(times) < count:  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(0.01)
        for writer in writers:
            writer.close()
    finally:
        listener.close()
    return [moment - times[0] for moment in times]


async def test_more_than_the_rate_wait_and_are_all_taken() -> None:
    moments = await connected(40, per_s=50)
    for number, moment in enumerate(moments):
        assert moment >= (number - 2) / 50, "taken before its time"


async def test_a_closed_listener_takes_nobody() -> None:
    listener = Listener(lambda: Taken([]), 100)
    host, port = await listener.open("127.0.0.1", 0)
    listener.close()
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return
    writer.close()
    raise AssertionError("somebody answered")
