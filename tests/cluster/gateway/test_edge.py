"""What the sockets of a gateway share."""

from __future__ import annotations

import asyncio
from functools import partial

from cluster.gateway.edge import Edge
from cluster.gateway.uplink import Uplink
from tests.cluster.gateway.fakes import PASSWORD_KEY, FakeHost, FakeRouter, settings, until


async def test_others_have_their_turns_while_thousands_of_sockets_end() -> None:
    """A cut line ends them all in one moment: a frame must not wait until the last one has been reported."""
    host, ended, seen = FakeHost(), list[int](), list[int]()
    edge = Edge("gateway-1", settings(), PASSWORD_KEY, Uplink(FakeRouter(), lambda _: host, 4, 256))
    for number in range(1000):
        edge.end_soon(partial(ended.append, number))
    while len(ended) < 1000:
        await asyncio.sleep(0)
        seen.append(len(ended))
    assert ended == list(range(1000))
    assert len(seen) >= 20


async def test_a_socket_whose_end_fails_keeps_no_other_from_its_own() -> None:
    host, ended = FakeHost(), list[int]()
    edge = Edge("gateway-1", settings(), PASSWORD_KEY, Uplink(FakeRouter(), lambda _: host, 4, 256))
    edge.end_soon(partial(ended.index, "nothing there"))  # type: ignore[arg-type]
    edge.end_soon(partial(ended.append, 1))
    await until(lambda: ended)
