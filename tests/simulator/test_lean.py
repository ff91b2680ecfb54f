"""The lean load generator against the fake CSMS, which checks every message by the schemas."""

import asyncio
from itertools import pairwise

import pytest

from simulator.histogram import Histogram
from simulator.lean import LeanSettings, Load, main
from simulator.leanwire import frame, refusal, split
from tests.simulator.server import running


async def test_closed_loop_counts_answers_and_numbers_events() -> None:
    async with running() as server:
        result = await Load(LeanSettings(to=server.url, stations=10, seconds=0.5)).run()
        assert (result.ready, result.errors, result.disconnects) == (10, 0, 0)
        assert result.answered > 20
        assert 0 < result.latency_p50_s <= result.latency_p99_s <= result.latency_max_s
        for csms in server.stations.values():
            events = csms.calls("TransactionEvent")
            assert [event["seqNo"] for event in events] == list(range(len(events)))
            assert events[0]["eventType"] == "Started"


async def test_intervals_make_an_idle_fleet() -> None:
    async with running() as server:
        plan = LeanSettings(to=server.url, stations=8, seconds=0.6, charging_share=0.25, sample_s=0.1, heartbeat_s=0.1)
        await Load(plan).run()
        charging = [csms for csms in server.stations.values() if csms.calls("TransactionEvent")]
        beating = [csms for csms in server.stations.values() if csms.calls("Heartbeat")]
        assert (len(charging), len(beating)) == (2, 6)


async def test_orders_are_refused_and_callerrors_counted_and_repeated() -> None:
    async with running() as server:
        load = asyncio.create_task(Load(LeanSettings(to=server.url, stations=1, seconds=2.0)).run())
        await server.until(lambda: any(c.calls("TransactionEvent") for c in server.stations.values()))
        await server.order("LEAN-00000", "Reset", {"type": "Immediate"})
        csms = server.stations["LEAN-00000"]
        await server.until(lambda: bool(csms.answers))
        assert csms.answers[0]["code"] == "NotSupported"
        csms.refuse = {"TransactionEvent"}
        refused = len(csms.heard)
        await server.until(lambda: len(csms.heard) > refused)
        csms.refuse = set()
        result = await load
        assert result.errors >= 1
        numbers = [int(str(event["seqNo"])) for event in csms.calls("TransactionEvent")]
        assert any(one == other for one, other in pairwise(numbers)), "the same seqNo again"
        assert set(numbers) == set(range(len(set(numbers))))


async def test_a_lost_connection_is_counted_and_the_event_repeated() -> None:
    async with running() as server:
        load = asyncio.create_task(Load(LeanSettings(to=server.url, stations=1, seconds=4.0)).run())
        await server.until(lambda: any(c.calls("TransactionEvent") for c in server.stations.values()))
        csms = server.stations["LEAN-00000"]
        csms.silent_about = {"TransactionEvent"}
        silent = len(csms.heard)
        await server.until(lambda: len(csms.heard) > silent)
        csms.silent_about = set()
        await server.sockets["LEAN-00000"].close()
        await server.until(lambda: len(csms.heard) > silent + 3)
        result = await load
        assert result.disconnects == 1
        assert len(csms.calls("BootNotification")) == 1
        numbers = {int(str(event["seqNo"])) for event in csms.calls("TransactionEvent")}
        assert numbers == set(range(len(numbers)))


def test_nobody_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--to", "ws://127.0.0.1:1/ocpp", "--stations", "1", "--connect-timeout-s", "0.3"]
    assert main(arguments) == 1
    assert "cannot connect to 127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.pure
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_frames_of_every_length_form(size: int) -> None:
    payload = b"x" * size
    data = frame(payload)
    assert data[1] & 0x80, "a client must mask (RFC 6455 5.1)"
    served = bytes((data[0], data[1] & 0x7F)) + data[2:].replace(b"\0\0\0\0" + payload, payload, 1)
    assert split(served) == ([(1, payload)], b"")
    assert split(served[:-1] if size else served[:1])[0] == []


@pytest.mark.pure
def test_split_takes_whole_frames_and_leaves_the_rest() -> None:
    assert split(b"\x81\x01a\x89\x00\x81\x02b") == ([(1, b"a"), (9, b"")], b"\x81\x02b")


@pytest.mark.pure
def test_a_refused_handshake_is_explained() -> None:
    assert "404" in str(refusal(b"HTTP/1.1 404 Not Found", b"x", "ocpp2.0.1"))
    head = b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x"
    assert refusal(head, b"x", "ocpp2.0.1") == "the server does not speak ocpp2.0.1"
    assert refusal(head + b"\r\nSec-WebSocket-Protocol: ocpp2.0.1", b"x", "ocpp2.0.1") is None


@pytest.mark.pure
def test_percentiles_are_right_to_two_percent() -> None:
    histogram = Histogram()
    for millis in range(1, 1001):
        histogram.add(millis / 1000)
    assert histogram.percentile_s(0.5) == pytest.approx(0.5, rel=0.03)
    assert histogram.percentile_s(0.99) == pytest.approx(0.99, rel=0.03)
    assert histogram.percentile_s(1.0) == 1.0
    assert Histogram().percentile_s(0.5) == 0.0
