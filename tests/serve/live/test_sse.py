"""Live events as server-sent events (WHATWG HTML, 9.2), through uvicorn to a client that reads as the standard says."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime

import httpx
import pytest

from tests.cluster.bus.live_events import NOON, tick
from tests.serve.live.clients import EventSource, listening
from tests.serve.live.conftest import Server


async def test_events_come_as_they_happen_with_id_type_and_envelope(server: Server) -> None:
    """9.2.5 and 9.2.6; the data is a CloudEvent."""
    async with listening(server.events_url) as source:
        await server.open(1)
        server.log.write([tick(7, "CP-1")])
        event = await source.next()
        assert event is not None
        assert (event.last_event_id, event.type) == ("1-1-1", "StationDisconnected")
        assert datetime.fromisoformat(event.data.pop("time")) == NOON
        assert event.data == {
            "specversion": "1.0", "id": "1-1-1", "source": "/live", "type": "StationDisconnected", "subject": "CP-1",
            "dataschema": "urn:cloudbay:event:StationDisconnected:1", "data": {"connEpoch": 7},
        }  # fmt: skip


async def test_nothing_on_the_way_may_hold_events_back_and_the_client_is_told_when_to_come_again(
    server: Server,
) -> None:
    async with listening(server.events_url) as source:
        headers = source.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-cache, no-transform"
        assert "content-length" not in headers
        await server.open(1)
        server.log.write([tick(1)])
        await source.next()
        assert source.retry_ms == 3000


async def test_a_stream_is_filtered_and_authorised(server: Server) -> None:
    async with listening(server.events_url, "CP-1,CP-SECRET") as some, listening(server.events_url) as everything:
        await server.open(2)
        server.log.write([tick(1, "CP-2"), tick(2, "CP-SECRET"), tick(3, "CP-1"), tick(4, "CP-2"), tick(5, "CP-1")])
        assert await some.numbers(2) == [3, 5]
        assert await everything.numbers(4) == [1, 3, 4, 5]


async def test_after_a_cut_it_goes_on_without_loss_or_double(server: Server) -> None:
    got: list[int | str] = []
    last = None
    for cut in range(5):
        async with listening(server.events_url, "CP-1", last) as source:
            await server.open(1)
            server.log.write([tick(10 * cut + n) for n in range(10)])
            server.log.write([tick(-1, "CP-2")])
            got += await source.numbers(7 if cut < 4 else 22)
            last = source.last_event_id
        await server.open(0)
    assert got == list(range(50))


async def test_a_quiet_stream_is_kept_alive_and_its_position_goes_on(server: Server) -> None:
    """9.2.6: an id without data moves the last event id, and is no event."""
    async with listening(server.events_url, "CP-1") as source:
        await server.open(1)
        server.log.write([tick(number, "CP-2") for number in range(3)])
        waiting = asyncio.create_task(source.next())
        async with asyncio.timeout(10):
            while source.comments < 3:  # noqa: ASYNC110 - the fact is the network's
                await asyncio.sleep(0.01)
        assert source.last_event_id == "1-1-3"
        assert not waiting.done()
        server.log.write([tick(3, "CP-1")])
        event = await waiting
        assert event is not None
        assert event.number == 3


async def test_what_is_no_longer_kept_is_told_first(server: Server) -> None:
    for number in range(1100):
        server.log.write([tick(number, f"CP-{number % 2}")])
    await server.read_on()
    async with listening(server.events_url, "CP-9", "1-5-1") as source:
        gap = await source.next()
        assert gap is not None
        assert gap.data == {"type": "Gap", "id": "1-100-1", "reason": "no longer kept"}
    async with listening(server.events_url, "CP-1", "1-5-1") as source:
        gap = await source.next()
        assert gap is not None
        assert (gap.type, gap.data["reason"], gap.data["id"]) == ("Gap", "too many to repeat", gap.last_event_id)


async def test_an_id_that_is_none_is_answered_before_the_stream_begins(server: Server) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(server.events_url, headers={"Last-Event-ID": "seven"})
    assert answer.status_code == 500, "the test's server has no problem handlers; the stream has not begun"
    assert server.fanout.listeners == 0


async def test_a_listener_that_leaves_is_forgotten(server: Server) -> None:
    async with listening(server.events_url):
        await server.open(1)
    await server.open(0)


async def test_a_client_that_falls_behind_is_told_so_and_dropped(server: Server) -> None:
    """Its queue is full before it could be sent anything: the stream ends with the reason, and with it the answer."""
    async with listening(server.events_url) as source, listening(server.events_url, "CP-9") as other:
        await server.open(2)
        server.log.write([tick(number) for number in range(101)])
        closed = await source.next()
        assert closed is not None
        assert (closed.type, closed.data) == ("Closed", {"type": "Closed", "reason": "too slow"})
        assert await source.next() is None
        server.log.write([tick(1, "CP-9")])
        assert await other.numbers(1) == [1]


async def test_a_client_that_does_not_read_is_given_up(server: Server) -> None:
    """What waits for it is bounded: the socket's buffers and its queue."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await server.open(1)
        async with asyncio.timeout(20):
            while server.serving:
                server.log.write([tick(number) for number in range(50)])
                await asyncio.sleep(0.01)
        assert server.fanout.listeners == 0


async def test_the_end_of_the_process_is_told(server: Server) -> None:
    async with listening(server.events_url) as source:
        await server.open(1)
        await server.fanout.close()
        closed = await source.next()
        assert closed is not None
        assert closed.data["reason"] == "going away"
        assert await source.next() is None


async def test_many_listeners_share_one_reader_and_each_gets_its_own(server: Server) -> None:
    count = 200
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=20, limits=limits, trust_env=False) as client:

        async def listen(number: int) -> list[int | str]:
            async with client.stream("GET", server.events_url, params={"station": f"CP-{number}"}) as response:
                return await EventSource(response).numbers(3)

        listeners = [asyncio.create_task(listen(number)) for number in range(count)]
        await server.open(count)
        for again in range(3):
            server.log.write([tick(1000 * again + number, f"CP-{number}") for number in range(count)])
        got = await asyncio.gather(*listeners)
    assert got == [[number, 1000 + number, 2000 + number] for number in range(count)]


@pytest.mark.parametrize("text", ["\u2028", "\n", "\r", "é"])
async def test_no_text_of_a_station_can_break_the_framing(server: Server, text: str) -> None:
    """9.2.6: a line ends at CR, LF or both."""
    station_id = f"CP{text}id: 9"
    async with listening(server.events_url) as source:
        await server.open(1)
        server.log.write([tick(1, station_id), tick(2)])
        event = await source.next()
        assert event is not None
        assert (event.last_event_id, event.data["subject"]) == ("1-1-1", station_id)
        assert await source.numbers(1) == [2]
