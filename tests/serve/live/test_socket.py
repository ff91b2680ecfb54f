"""The same events as a WebSocket (RFC 6455), through uvicorn to the websockets library's client."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.cluster.bus.live_events import tick
from tests.serve.live.clients import listening, numbers, said
from tests.serve.live.conftest import RULES, Server


async def test_both_kinds_of_connection_say_the_same(server: Server) -> None:
    async with connect(server.socket_url) as there, listening(server.events_url) as here:
        await server.open(2)
        server.log.write([tick(1, "CP-1")])
        event = await here.next()
        assert event is not None
        assert await said(there) == event.data


async def test_a_socket_is_filtered_and_authorised(server: Server) -> None:
    async with connect(f"{server.socket_url}?station=CP-1,CP-SECRET") as client:
        await server.open(1)
        server.log.write([tick(1, "CP-2"), tick(2, "CP-SECRET"), tick(3, "CP-1"), tick(4, "CP-1")])
        assert await numbers(client, 2) == [3, 4]


async def test_after_a_cut_it_goes_on_without_loss_or_double(server: Server) -> None:
    got: list[Any] = []
    after = ""
    for cut in range(5):
        async with connect(server.socket_url + after) as client:
            await server.open(1)
            server.log.write([tick(10 * cut + n) for n in range(10)])
            messages = [await said(client) for _ in range(7 if cut < 4 else 22)]
            got += [message["data"]["connEpoch"] for message in messages]
            after = f"?after={messages[-1]['id']}"
            client.transport.abort()
        await server.open(0)
    assert got == list(range(50))


async def test_a_quiet_socket_gets_heartbeats_with_its_position(server: Server) -> None:
    async with connect(f"{server.socket_url}?station=CP-1") as client, asyncio.timeout(10):
        first = json.loads(await client.recv())
        assert first == {"type": "Heartbeat", "id": "0-0-0"}
        server.log.write([tick(1, "CP-2")])
        while (beat := json.loads(await client.recv())) == first:
            pass
        assert beat == {"type": "Heartbeat", "id": "1-1-1"}


async def test_a_gap_is_told(server: Server) -> None:
    async with connect(server.socket_url) as client:
        await server.open(1)
        server.log.write([tick(1)], lossy=True)
        assert await said(client) == {"type": "Gap", "id": "1-1-0", "reason": "never published"}
        assert await numbers(client, 1) == [1]


async def test_a_client_may_want_something_else_from_now_on(server: Server) -> None:
    async with connect(f"{server.socket_url}?station=CP-1") as client:
        await server.open(1)
        server.log.write([tick(1, "CP-1"), tick(2, "CP-2")])
        assert await numbers(client, 1) == [1]
        await client.send('{"filter": {"stations": ["CP-2"], "kinds": ["StationDisconnected"]}}')
        assert await said(client) == {
            "type": "FilterChanged",
            "filter": {"stations": ["CP-2"], "sites": None, "kinds": ["StationDisconnected"], "transactions": None},
        }
        server.log.write([tick(3, "CP-1"), tick(4, "CP-2")])
        assert await numbers(client, 1) == [4]


async def test_a_filter_that_is_refused_changes_nothing(server: Server) -> None:
    async with connect(f"{server.socket_url}?station=CP-1") as client:
        await server.open(1)
        await client.send('{"filter": {"stations": ["CP-SECRET"]}}')
        assert await said(client) == {"type": "FilterRefused", "detail": "there is no such station"}
        server.log.write([tick(1, "CP-1")])
        assert await numbers(client, 1) == [1]


async def test_filters_that_come_faster_than_allowed_wait_and_none_is_lost(server: Server) -> None:
    server.rules = RULES.model_copy(update={"filter_pause_s": 0.05})
    stations = [f"CP-{number}" for number in range(6)]
    async with connect(server.socket_url) as client:
        began = asyncio.get_running_loop().time()
        for station in stations:
            await client.send(json.dumps({"filter": {"stations": [station]}}))
        answers = [await said(client) for _ in stations]
        took_s = asyncio.get_running_loop().time() - began
    assert [answer["filter"]["stations"] for answer in answers] == [[station] for station in stations]
    assert took_s > 0.9 * 5 * server.rules.filter_pause_s


async def flood(client: ClientConnection, message: str) -> None:
    while True:
        await client.send(message)


async def test_who_floods_a_socket_with_filters_is_not_read_from_and_goes_on_hearing(server: Server) -> None:
    """Backpressure: what a client sends too fast stays with the client, not in this process."""
    server.rules = RULES.model_copy(update={"filter_pause_s": 3600.0})
    message = json.dumps({"filter": {"stations": ["CP-1", *(f"CP-{number:060}" for number in range(90))]}})
    async with connect(server.socket_url) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(client, message), 2)
        assert client.transport.get_write_buffer_size() > 0
        assert len(server.asked) == 1
        assert (await said(client))["type"] == "FilterChanged"
        server.log.write([tick(1, "CP-1")])
        assert await numbers(client, 1) == [1]
        client.transport.abort()
    await server.open(0)


@pytest.mark.parametrize(
    "message",
    ["", "hello", "{}", "[]", '{"filter": 7}', '{"filter": {"station": "CP-1"}}', '{"filter": {}, "more": 1}', b"{}"],
)
async def test_nonsense_ends_the_connection_with_a_reason(server: Server, message: str | bytes) -> None:
    async with connect(server.socket_url) as client:
        await client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await said(client)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        4400,
        'a message is {"filter": {...}} and nothing else',
    )
    await server.open(0)


async def test_a_message_that_is_too_long_is_not_even_read(server: Server) -> None:
    async with connect(server.socket_url) as client:
        await client.send(" " * 65_537)
        with pytest.raises(ConnectionClosed, match="4400"):
            await said(client)


async def test_a_client_that_falls_behind_is_closed_with_the_reason(server: Server) -> None:
    async with connect(server.socket_url) as client:
        await server.open(1)
        server.log.write([tick(number) for number in range(101)])
        with pytest.raises(ConnectionClosed) as closed:
            await said(client)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4408, "too slow")


async def test_a_client_that_does_not_read_is_given_up(server: Server) -> None:
    handshake = (
        b"GET /events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(handshake)
        await server.open(1)
        async with asyncio.timeout(20):
            while server.serving:
                server.log.write([tick(number) for number in range(50)])
                await asyncio.sleep(0.01)
        assert server.fanout.listeners == 0


@pytest.mark.parametrize(("reason", "code"), [("going away", 1001), ("not allowed any more", 4403), ("closed", 1000)])
async def test_whoever_ends_a_subscription_its_client_learns_why(server: Server, reason: Any, code: int) -> None:
    """RFC 6455, 7.4.1 and 7.4.2."""
    async with connect(server.socket_url) as client:
        await server.open(1)
        server.subscriptions[0].end(reason)
        with pytest.raises(ConnectionClosed) as closed:
            await said(client)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


async def test_a_client_that_leaves_is_forgotten(server: Server) -> None:
    async with connect(server.socket_url):
        await server.open(1)
    await server.open(0)
