"""The gateway as a whole: newest socket wins, pushes, dead peers, host failures, shared port, stopping."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from cluster import batch
from tests.cluster.gateway.fakes import FakeHost, Site, site, until
from tests.cluster.gateway.test_station import close_code, raw_station, refused, ws_frame


def push(running: Site, *pushes: batch.Push) -> list[bool]:
    return batch.decode_delivered(running.gateway.push(batch.encode(pushes)))


async def ended(station: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(station.recv(), 5)
    return station.close_code


async def test_the_newest_socket_of_a_station_wins_and_the_older_ones_late_close_changes_nothing() -> None:
    async with site() as running:
        old = await running.station("/ocpp/CP-1")
        new = await running.station("/ocpp/CP-1")
        assert await ended(old) == 1000, "as the host closes it that finds it at another gateway"
        await until(running.host.disconnects)
        assert running.host.disconnects()[0].conn_epoch == 1
        assert running.gateway.stats().connected == 1
        assert push(running, batch.Send("CP-1", 1, b"old"), batch.Send("CP-1", 2, b"new")) == [False, True]
        assert await new.recv() == "new"


async def test_a_push_reaches_only_the_socket_of_its_epoch() -> None:
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        delivered = push(
            running,
            batch.Send("CP-1", 1, b"one"),
            batch.Send("CP-1", 2, b"never"),
            batch.Send("CP-2", 1, b"never"),
            batch.Close("CP-1", 2, 1000, "never"),
            batch.Send("CP-1", 1, b"two"),
            batch.Close("CP-1", 1, 1008, "because"),
            batch.Send("CP-1", 1, b"too late"),
        )
        assert delivered == [True, False, False, False, True, True, False]
        assert [await station.recv(), await station.recv()] == ["one", "two"]
        assert await ended(station) == 1008
        assert station.close_reason == "because"


async def test_a_broken_push_does_not_stop_the_others() -> None:
    async with site() as running:
        await running.station("/ocpp/CP-1")
        station = await running.station("/ocpp/CP-2")
        no_such_code = batch.Close("CP-1", 1, 17, "")
        assert push(running, no_such_code, batch.Send("CP-2", 2, b"fine")) == [False, True]
        assert await station.recv() == "fine"


async def test_a_long_reason_is_cut_to_what_a_close_frame_holds() -> None:
    """RFC 6455 section 5.5: a control frame carries at most 125 bytes."""
    async with site() as running:
        station = await running.station("/ocpp/CP-1")
        assert push(running, batch.Close("CP-1", 1, 1000, "ä" * 200)) == [True]
        assert await ended(station) == 1000
        assert station.close_reason == "ä" * 61


async def test_a_host_restart_is_not_seen_by_the_stations() -> None:
    async with site() as running:
        stations = [await running.station(f"/ocpp/CP-{n}") for n in range(5)]
        running.host.unavailable_for = 2
        running.host.dies_after_execution = 1
        for n, station in enumerate(stations):
            await station.send(f"event {n}")
        assert [await station.recv() for station in stations] == [f"event {n}" for n in range(5)]
        assert running.gateway.stats().batch_failures >= 3


async def test_a_peer_that_answers_no_ping_is_disconnected_and_a_quiet_one_that_does_stays() -> None:
    async with site(ping_interval_s=0.1, pong_timeout_s=0.3) as running:
        quiet = await running.station("/ocpp/CP-quiet", ping_interval=None)
        reader, writer = await raw_station(running, "CP-dead")
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\x89\x00"
        await until(running.host.disconnects)
        assert [(d.station_id, d.code) for d in running.host.disconnects()] == [("CP-dead", 1006)]
        assert running.gateway.stats().dead_peers == 1
        await quiet.send("alive")
        assert await quiet.recv() == "alive"
        writer.close()


async def test_many_sockets_are_swept_a_few_at_a_time_and_none_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.gateway.gateway._SWEPT_PER_TURN", 2)
    async with site(ping_interval_s=0.1, pong_timeout_s=0.3) as running:
        writers = [(await raw_station(running, f"CP-{number}"))[1] for number in range(7)]
        await until(lambda: running.gateway.stats().dead_peers == 7)
        for writer in writers:
            writer.close()


async def test_a_message_proves_life_as_well_as_a_pong() -> None:
    """G02.FR.04: any message shows that the station is there."""
    async with site(ping_interval_s=0.05, pong_timeout_s=0.3) as running:
        reader, writer = await raw_station(running, "CP-1")
        for _ in range(8):
            async with asyncio.timeout(5):
                while await reader.readexactly(2) != b"\x89\x00":
                    assert await reader.readexactly(1) == b"x"
            writer.write(ws_frame(b"x"))
        assert running.gateway.stats().dead_peers == 0
        writer.close()


async def test_while_reading_is_paused_silence_proves_nothing() -> None:
    async with site(ping_interval_s=0.1, pong_timeout_s=0.2, max_queued_frames=2) as running:
        _, writer = await raw_station(running, "CP-1")
        dead, dead_writer = await raw_station(running, "CP-dead")
        running.host.open.clear()
        writer.write(ws_frame(b"one") + ws_frame(b"two"))
        await until(lambda: running.gateway.stats().reading_paused == 1)
        async with asyncio.timeout(5):
            await dead.read()
        assert running.gateway.stats().dead_peers == 1
        assert running.gateway.stats().connected == 1
        writer.close()
        dead_writer.close()


async def test_two_gateways_share_one_port() -> None:
    host = FakeHost()
    async with site(host, gateway_id="gateway-1") as first, site(host, gateway_id="gateway-2", port=first.port):
        stations = [await first.station(f"/ocpp/CP-{n}") for n in range(64)]
        for station in stations:
            await station.send("x")
            assert await station.recv() == "x"
        assert {connect.gateway_id for connect in host.connects()} == {"gateway-1", "gateway-2"}


async def test_stopping_says_going_away_and_delivers_what_was_read() -> None:
    async with site() as running:
        stations = [await running.station(f"/ocpp/CP-{n}") for n in range(3)]
        running.host.open.clear()
        await stations[0].send("last words")
        await until(lambda: running.gateway.stats().frames_in == 1)
        closing = asyncio.ensure_future(running.gateway.close())
        assert [await ended(station) for station in stations] == [1001] * 3
        running.host.open.set()
        await closing
        assert running.host.frames_of("CP-0") == [b"last words"]
        assert {d.station_id for d in running.host.disconnects()} == {"CP-0", "CP-1", "CP-2"}
        with pytest.raises(OSError, match=r"refused|failed"):
            await running.station("/ocpp/CP-9")


async def test_draining_sends_stations_away_one_after_the_other_and_goes_on_serving_the_rest() -> None:
    async with site(accepts_per_s=1.0) as running:
        stations = [await running.station(f"/ocpp/CP-{n}") for n in range(2)]
        draining = asyncio.ensure_future(running.gateway.drain())
        first, last = asyncio.ensure_future(ended(stations[0])), asyncio.ensure_future(ended(stations[1]))
        gone, _ = await asyncio.wait([first, last], return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in gone] == [1001]
        assert running.gateway.stats().connected == 1
        with pytest.raises(OSError, match=r"refused|failed"):
            await running.station("/ocpp/CP-9")
        assert [await first, await last] == [1001] * 2
        await draining
        assert {d.station_id for d in running.host.disconnects()} == {"CP-0", "CP-1"}
        await running.gateway.close()


async def test_stopping_does_not_wait_for_a_peer_that_never_closes() -> None:
    async with site(pong_timeout_s=0.2) as running:
        reader, writer = await raw_station(running, "CP-1")
        await asyncio.wait_for(running.gateway.close(), 5)
        assert await close_code(reader) == 1001
        assert [d.station_id for d in running.host.disconnects()] == ["CP-1"]
        writer.close()


async def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
    async with site() as running:
        headers = {"Authorization": "Basic Q1AtMTpobGxvLXNlY3JldC13b3Jk"}
        await running.station("/ocpp/CP-1", additional_headers=headers)
        await refused(running, "/ocpp/CP-2", additional_headers=headers)
    written = " ".join(str(vars(record)) for record in caplog.records)
    assert "station connected" in written
    assert "secret" not in written
    assert "Q1AtMTpobGxv" not in written


async def test_what_waits_in_a_gateway_is_bounded_whatever_stations_send() -> None:
    """Back pressure: above the bound a station is read again only when its last message is answered."""
    frames = [f"{number:02} " + "x" * 50_000 for number in range(40)]
    async with site(max_queued_mb=1, compression=False) as running:
        stations = [await running.station(f"/ocpp/CP-{number}") for number in range(10)]
        running.host.open.clear()

        async def talk(station: ClientConnection) -> list[str | bytes]:
            sending = asyncio.ensure_future(send_all(station, frames))
            answers = [await station.recv() for _ in frames]
            await sending
            return answers

        talking = asyncio.gather(*(talk(station) for station in stations))
        await until(lambda: running.gateway.stats().reading_paused == 10)
        read_at_once_bytes = 2**18
        assert running.gateway.stats().queued_bytes <= 2**20 + 10 * (read_at_once_bytes + 2**16)
        running.host.open.set()
        assert await talking == [frames] * 10
        assert running.gateway.stats().queued_bytes == 0


async def send_all(station: ClientConnection, frames: Sequence[str]) -> None:
    for frame in frames:
        await station.send(frame)
