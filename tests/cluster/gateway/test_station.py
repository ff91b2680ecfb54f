"""One station's socket against a real gateway on loopback: handshake, admission, frames, limits."""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64encode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from cluster import batch
from cluster.passwords import digest
from tests.cluster.gateway.fakes import PASSWORD_KEY, FakeHost, Site, site, until

UPGRADE = (
    "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ocpp2.0.1\r\n"
)


async def refused(running: Site, path: str, **options: object) -> Response:
    with pytest.raises(InvalidStatus) as refusal:
        await running.station(path, **options)  # type: ignore[arg-type]
    return refusal.value.response


async def raw(running: Site, request: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request.encode("latin-1"))
    return reader, writer


async def raw_station(
    running: Site, station_id: str, extra: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket by hand, so that the test decides every byte after it."""
    reader, writer = await raw(running, f"GET /ocpp/{station_id} HTTP/1.1\r\n{UPGRADE}{extra}\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return reader, writer


def ws_frame(payload: bytes, opcode: int = 1, fin: bool = True, rsv1: bool = False) -> bytes:
    """A client frame masked with zeros."""
    head = bytes([fin << 7 | rsv1 << 6 | opcode])
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return head + size + bytes(4) + payload


async def close_code(reader: asyncio.StreamReader) -> int:
    """Read frames until the close frame."""
    async with asyncio.timeout(5):
        while True:
            opcode, size = await reader.readexactly(2)
            payload = await reader.readexactly(size)
            if opcode == 0x88:
                return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("ocpp2.1", "ocpp2.0.1", "ocpp1.6"), "ocpp2.1"),
        (("ocpp1.6", "ocpp2.0.1"), "ocpp1.6"),
        (("ocpp1.5", "ocpp2.0", "ocpp2.0.1"), "ocpp2.0.1"),
    ],
)
async def test_the_stations_order_decides_the_subprotocol(offered: tuple[str, ...], chosen: str) -> None:
    """OCPP 2.1 Part 4 section 3.1.2."""
    async with site() as running:
        station = await running.station("/ocpp/CP-1", offered)
        assert station.subprotocol == chosen
        assert running.host.connects()[0].subprotocol == chosen


@pytest.mark.parametrize("offered", [("ocpp1.5",), ()])
async def test_without_a_common_subprotocol_the_handshake_is_finished_and_then_closed(offered: tuple[str, ...]) -> None:
    """OCPP 2.1 Part 4 section 3.3."""
    async with site() as running:
        station = await running.station("/ocpp/CP-1", offered)
        assert station.subprotocol is None
        with pytest.raises(ConnectionClosed):
            await station.recv()
        assert station.close_code == 1002
        assert running.host.items == []


async def test_the_identity_is_percent_decoded() -> None:
    async with site() as running:
        await running.station("/ocpp/RDAM%7C123")
        assert running.host.connects()[0].station_id == "RDAM|123"


@pytest.mark.parametrize("path", ["/", "/ocpp/", "/ocpp/a/b", "/metrics", f"/ocpp/{'x' * 49}", "/ocpp/a%3Ab"])
async def test_any_other_path_is_not_found_and_no_host_is_asked(path: str) -> None:
    async with site() as running:
        assert (await refused(running, path)).status_code == 404
        assert running.host.items == []


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /ocpp/CP-1 HTTP/1.1", 426), ("POST /ocpp/CP-1 HTTP/1.1", 405), ("GET /healthz HTTP/1.1", 404)],
)
async def test_plain_http_is_told_what_this_is(request_line: str, status: int) -> None:
    async with site() as running:
        reader, _ = await raw(running, f"{request_line}\r\nHost: localhost\r\n\r\n")
        assert (await reader.read()).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET /ocpp/CP-1 HTTP/9\r\n\r\n"]
)
async def test_what_is_not_http_is_cut_off(garbage: bytes) -> None:
    async with site(handshake_timeout_s=0.2) as running:
        reader, writer = await raw(running, "")
        writer.write(garbage)
        async with asyncio.timeout(5):
            assert b"101" not in await reader.read()


@pytest.mark.parametrize(("status", "header"), [(404, None), (401, "WWW-Authenticate"), (503, "Retry-After")])
async def test_the_hosts_refusal_becomes_an_http_status(status: int, header: str | None) -> None:
    host = FakeHost()
    host.refusals["CP-1"] = batch.Refused(status, "for a reason")
    async with site(host) as running:
        response = await refused(running, "/ocpp/CP-1")
        assert (response.status_code, response.body) == (status, b"for a reason\n")
        assert header is None or header in response.headers
        assert running.gateway.stats().refused == {f"host {status}": 1}


async def test_the_host_gets_a_hash_of_the_password_and_never_the_password() -> None:
    """A00.FR.207 is the host's to decide; the gateway checks that the user name is the identity."""
    async with site() as running:
        credentials = b64encode(b"CP-1:pass:word-of-16-chars").decode()
        await running.station("/ocpp/CP-1", additional_headers={"Authorization": f"Basic {credentials}"})
        await running.station("/ocpp/CP-2")
        first, second = running.host.connects()
        assert first.password_digest == digest(b"pass:word-of-16-chars", PASSWORD_KEY)
        assert second.password_digest is None


async def test_credentials_of_another_station_are_refused() -> None:
    async with site() as running:
        credentials = b64encode(b"CP-2:password").decode()
        response = await refused(running, "/ocpp/CP-1", additional_headers={"Authorization": f"Basic {credentials}"})
        assert response.status_code == 401
        assert running.host.items == []


async def test_a_host_that_does_not_answer_means_503_and_the_late_admission_is_taken_back() -> None:
    async with site(handshake_timeout_s=0.2) as running:
        running.host.open.clear()
        assert (await refused(running, "/ocpp/CP-1")).status_code == 503
        running.host.open.set()
        await until(running.host.disconnects)
        assert running.host.disconnects()[0].conn_epoch == 1
        assert running.gateway.stats().connected == 0


async def test_a_client_that_sends_nothing_is_cut_off() -> None:
    async with site(handshake_timeout_s=0.1) as running:
        reader, _ = await raw(running, "GET /ocpp/CP-1 HTTP/1.1\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_an_endless_request_is_cut_off() -> None:
    async with site() as running:
        reader, _ = await raw(running, "GET /ocpp/CP-1 HTTP/1.1\r\n" + "X-Filler: y\r\n" * 2000)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 5)


@pytest.mark.parametrize("with_the_request", [True, False])
async def test_a_frame_before_the_handshakes_answer_refuses_the_connection_instead_of_getting_lost(
    with_the_request: bool,
) -> None:
    async with site() as running:
        running.host.open.clear()
        early = ws_frame(b"x")
        request = f"GET /ocpp/CP-1 HTTP/1.1\r\n{UPGRADE}\r\n"
        reader, writer = await raw(running, request + (early.decode("latin-1") if with_the_request else ""))
        await until(lambda: running.host.in_flight)
        if not with_the_request:
            writer.write(early)
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_frames_travel_both_ways_with_the_connections_epoch() -> None:
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        await station.send('[2,"1","Heartbeat",{}]')
        assert await station.recv() == '[2,"1","Heartbeat",{}]'
        assert running.host.items[1] == batch.Frame("CP-1", 1, b'[2,"1","Heartbeat",{}]')
        await station.close(1000, "bye")
        await until(running.host.disconnects)
        assert running.host.disconnects() == [batch.Disconnect("CP-1", 1, 1000, "bye")]
        assert running.gateway.stats().connected == 0


async def test_several_answers_to_one_frame_keep_their_order() -> None:
    host = FakeHost()
    host.say = lambda item: (
        batch.Answers([b"one", b"two", b"three"]) if isinstance(item, batch.Frame) else host.decide(item)
    )
    async with site(host) as running:
        station = await running.station("/ocpp/CP-1")
        await station.send("x")
        assert [await station.recv() for _ in range(3)] == ["one", "two", "three"]


async def test_a_bad_ocpp_frame_never_closes_the_connection() -> None:
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        for bad in ("", "{", "null", '[9,"x"]', "\x00"):
            await station.send(bad)
            assert await station.recv() == bad


async def test_a_fragmented_message_is_one_frame() -> None:
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        await station.send(["[2,", '"1","Heart', 'beat",', "{}]"])
        assert await station.recv() == '[2,"1","Heartbeat",{}]'


async def test_a_character_may_be_split_between_fragments() -> None:
    async with site() as running:
        _, writer = await raw_station(running, "CP-1")
        writer.write(ws_frame(b"\xc3", 1, fin=False) + ws_frame(b"", 9) + ws_frame(b"\xa4", 0))
        await until(lambda: running.host.frames_of("CP-1"))
        assert running.host.frames_of("CP-1") == ["ä".encode()]
        writer.close()


async def test_a_binary_message_of_valid_text_is_taken_as_text() -> None:
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        await station.send(b"[2]")
        assert await station.recv() == "[2]"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (ws_frame(b"\xff\xfe", 1), 1007),
        (ws_frame(b"\xff\xfe", 2), 1003),
        (ws_frame(b"x" * 2000, 1), 1009),
        (ws_frame(b"x" * 600, 1, fin=False) + ws_frame(b"x" * 600, 0), 1009),
        (ws_frame(b"x", 0), 1002),
        (ws_frame(b"x", 1, rsv1=True), 1002),
        (b"\x81\x01x", 1002),
    ],
    ids=["not UTF-8", "binary", "too big", "too big in fragments", "stray fragment", "reserved bit", "not masked"],
)
async def test_faults_of_the_websocket_protocol_close_as_the_rfc_says(sent: bytes, code: int) -> None:
    """RFC 6455 section 7.4.1; frames before the fault are still delivered."""
    async with site(max_frame_bytes=1024) as running:
        reader, writer = await raw_station(running, "CP-1")
        writer.write(ws_frame(b"good") + sent)
        assert await close_code(reader) == code
        writer.close()
        await until(running.host.disconnects)
        assert running.host.frames_of("CP-1") == [b"good"]
        assert running.host.disconnects()[0].code == code


async def test_deflate_is_used_when_offered_without_context_takeover() -> None:
    """OCPP 2.1 Part 4 section 3.4: the CSMS shall support RFC 7692."""
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        assert station.response is not None
        negotiated = station.response.headers["Sec-WebSocket-Extensions"]
        assert "permessage-deflate" in negotiated
        assert "server_no_context_takeover" in negotiated
        assert "client_no_context_takeover" in negotiated
        for _ in range(2):
            await station.send("[" + "1," * 5000 + "1]")
            assert await station.recv() == "[" + "1," * 5000 + "1]"
        assert running.gateway.stats().bytes_in < 5000


@pytest.mark.parametrize("compression", [True, False])
async def test_without_offer_or_permission_nothing_is_compressed(compression: bool) -> None:
    async with site(compression=compression) as running:
        station = await running.station("/ocpp/CP-1", compression=None if compression else "deflate")
        assert station.response is not None
        assert "Sec-WebSocket-Extensions" not in station.response.headers
        await station.send("x")
        assert await station.recv() == "x"


async def test_the_size_limit_holds_after_inflation() -> None:
    async with site(max_frame_bytes=65536) as running:
        reader, writer = await raw_station(running, "CP-1", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
        deflate = zlib.compressobj(wbits=-15)
        bomb = (deflate.compress(bytes(10**7)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert len(bomb) < 65536
        writer.write(ws_frame(bomb, 1, rsv1=True))
        assert await close_code(reader) == 1009
        assert running.host.frames_of("CP-1") == []
        writer.close()


async def test_above_its_rate_a_station_is_slowed_down_and_loses_nothing() -> None:
    async with site(frames_per_s=50, frame_burst=5, max_queued_frames=1000) as running:
        station = await running.station("/ocpp/CP-1")
        sent = [str(n) for n in range(20)]
        for n in sent:
            await station.send(n)
            await asyncio.sleep(0)
        await until(lambda: running.gateway.stats().reading_paused == 1)
        assert [await station.recv() for _ in sent] == sent
        await until(lambda: running.gateway.stats().reading_paused == 0)


async def test_while_the_host_does_not_answer_reading_pauses_at_the_queues_bound() -> None:
    async with site(max_queued_frames=4) as running:
        station = await running.station("/ocpp/CP-1")
        neighbour = await running.station("/ocpp/CP-2")
        running.host.open.clear()
        sent = [str(n) for n in range(4)]
        for n in sent:
            await station.send(n)
        await until(lambda: running.gateway.stats().reading_paused == 1)
        for later in range(4, 50):
            await station.send(str(later))
        assert running.gateway.stats().frames_in < 50
        running.host.open.set()
        assert [await station.recv() for _ in range(50)] == [str(n) for n in range(50)]
        await until(lambda: running.gateway.stats().reading_paused == 0)
        await neighbour.send("still here")
        assert await neighbour.recv() == "still here"


async def test_a_flood_of_connections_of_one_station_does_not_fill_its_lane() -> None:
    async with site(handshake_timeout_s=1) as running:
        running.host.open.clear()
        attempts = [asyncio.ensure_future(running.station("/ocpp/CP-1")) for _ in range(8)]
        await until(lambda: running.gateway.stats().refused["connects waiting"] == 4
                    if "connects waiting" in running.gateway.stats().refused else False)  # fmt: skip
        running.host.open.set()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, InvalidStatus) for outcome in outcomes) == 4
