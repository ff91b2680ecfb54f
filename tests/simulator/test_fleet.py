"""Fleets on real sockets: sessions, reboots, offline periods, faults, and clear words when nothing works."""

import asyncio

import pytest

from actors.ocpp.frames import OcppVersion
from simulator import cli, variables
from simulator.faults import parse_rule
from simulator.fleet import Fleet, FleetProgress, FleetSettings, NoConnection
from tests.simulator.server import FakeServer, running


def settings(server: FakeServer, **more: object) -> FleetSettings:
    chosen: dict[str, object] = {"stations": 4, "version": "mixed", "scenario": "once", "speed": 6000.0, **more}
    return FleetSettings(to=server.url, start_spread_s=0.0, **chosen)  # type: ignore[arg-type]


def hurry(fleet: Fleet) -> Fleet:
    """Come back at once after a lost connection."""
    for client in fleet.clients:
        client.station.variables.put(variables.WAIT_MINIMUM, "0")
        client.station.variables.put(variables.RANDOM_RANGE, "0")
    return fleet


async def test_a_mixed_fleet_charges_one_car_each_and_ends() -> None:
    seen: list[FleetProgress] = []
    async with running() as server:
        progress = await Fleet(settings(server)).run(seen.append)
        assert progress.sessions == 4
        assert (progress.errors, progress.timeouts, progress.queued) == (0, 0, 0)
        assert progress.energy_kwh > 1.0
        assert {csms.version for csms in server.stations.values()} == {OcppVersion.V16, OcppVersion.V201}
        ended = [c.calls("StopTransaction") or c.calls("TransactionEvent")[-1:] for c in server.stations.values()]
        assert all(len(stops) == 1 for stops in ended)
    assert "4/4 connected" in seen[0].line()


async def test_reset_closes_the_socket_and_boots_again() -> None:
    async with running() as server:
        fleet = Fleet(settings(server, stations=1, version="2.0.1", scenario="idle", seconds=60.0))
        run = asyncio.create_task(fleet.run())
        await server.until(lambda: "SIM-0001" in server.stations and bool(server.stations["SIM-0001"].heard))
        await server.order("SIM-0001", "Reset", {"type": "Immediate"})
        csms = server.stations["SIM-0001"]
        await server.until(lambda: len(csms.calls("BootNotification")) == 2)
        assert csms.answers == [{"status": "Accepted"}]
        assert csms.calls("BootNotification")[1]["reason"] == "RemoteReset"
        assert server.connections["SIM-0001"] == 2
        run.cancel()


async def test_a_new_password_is_used_on_the_next_connection() -> None:
    async with running() as server:
        fleet = Fleet(settings(server, stations=1, version="2.0.1", scenario="idle", seconds=60.0))
        run = asyncio.create_task(fleet.run())
        await server.until(lambda: "SIM-0001" in server.stations and bool(server.stations["SIM-0001"].heard))
        variable = {
            "component": {"name": "SecurityCtrlr"},
            "variable": {"name": "BasicAuthPassword"},
            "attributeValue": "a-new-password-of-24-ch.",
        }
        await server.order("SIM-0001", "SetVariables", {"setVariableData": [variable]})
        fleet.clients[0].station.variables.put(variables.HEARTBEAT_INTERVAL, "60")
        await server.until(lambda: server.connections["SIM-0001"] == 2)
        request = server.sockets["SIM-0001"].request
        assert request is not None
        assert request.headers["Authorization"].startswith("Basic ")
        assert len(server.stations["SIM-0001"].calls("BootNotification")) == 1, "a reconnect is no reboot"
        run.cancel()


async def test_a_fleet_that_goes_offline_tells_everything_later() -> None:
    async with running() as server:
        fleet = hurry(Fleet(settings(server, version="2.0.1", offline=(4800.0, 2400.0))))
        progress = await fleet.run()
        assert progress.sessions == 4
        assert sum(server.connections.values()) > 4
        for csms in server.stations.values():
            numbers = [event["seqNo"] for event in csms.calls("TransactionEvent")]
            assert sorted(set(numbers), key=lambda n: int(str(n))) == list(range(len(set(numbers))))
        events = [event for csms in server.stations.values() for event in csms.calls("TransactionEvent")]
        assert any(event.get("offline") for event in events)


async def test_a_bad_network_loses_no_event() -> None:
    rules = tuple(parse_rule(text) for text in ("garbage=0.1", "duplicate=0.2", "delay=0.1:300", "half_open=0.1:600"))
    async with running() as server:
        fleet = Fleet(settings(server, version="2.0.1", faults=rules))
        progress = await fleet.run()
        assert all(client.faults.struck for client in fleet.clients)
        assert progress.sessions == 4
        assert (progress.discarded, progress.queued) == (0, 0)
        for csms in server.stations.values():
            numbers = {int(str(event["seqNo"])) for event in csms.calls("TransactionEvent")}
            assert numbers == set(range(len(numbers)))


async def test_nobody_connects_says_where_and_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.fleet._FIRST_CONNECTION_S", 0.5)
    async with running() as server:
        address = server.url
    with pytest.raises(NoConnection, match=rf"could connect to {address}: .*refused(.|\n)*Check that the CSMS runs"):
        await Fleet(FleetSettings(to=address, stations=2, start_spread_s=0.0)).run()


@pytest.mark.parametrize(
    ("password", "unknown", "subprotocols", "words"),
    [
        ("secret", set(), ("ocpp2.0.1",), "HTTP 401: the password is wrong or missing"),
        (None, {"SIM-0001"}, ("ocpp2.0.1",), "HTTP 404: the CSMS does not know this station id"),
        (None, set(), ("ocpp1.6",), "does not speak ocpp2.0.1"),
    ],
)
async def test_a_refusal_is_explained(
    password: str | None,
    unknown: set[str],
    subprotocols: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulator.fleet._FIRST_CONNECTION_S", 0.5)
    async with running(subprotocols, password) as server:
        server.unknown = unknown
        with pytest.raises(NoConnection, match=words):
            await Fleet(FleetSettings(to=server.url, stations=1, start_spread_s=0.0)).run()


async def test_a_single_station_may_have_a_plain_name() -> None:
    async with running() as server:
        settings = FleetSettings(to=server.url, stations=1, id_pattern="CP-7", scenario="once", speed=6000.0)
        await Fleet(settings).run()
        assert list(server.stations) == ["CP-7"]


async def test_the_command_prints_progress_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    async with running() as server:
        arguments = ["--to", server.url, "--stations", "2", "--scenario", "once", "--speed", "6000"]
        code = await asyncio.to_thread(cli.main, arguments)
    out = capsys.readouterr().out
    assert code == 0
    assert "2/2 connected" in out
    assert "done: 2/2 connected, 0 charging" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "http://x"], "must look like ws://host:9000/ocpp"),
        (["--to", "ws://x/ocpp", "--id-pattern", "SIM"], "needs one number"),
        (["--to", "ws://x/ocpp", "--id-pattern", "SIM-%d-%d"], "may hold one number"),
        (["--to", "ws://x/ocpp", "--lean", "--version", "1.6"], "--lean speaks 2.0.1 only"),
        (["--to", "ws://x/ocpp", "--speed", "0"], "must be above 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("rule", ["drop", "drop=2", "explode=1", "delay=0.5:x"])
def test_a_wrong_fault_rule_is_refused(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--to", "ws://x/ocpp", "--fault", rule])
    assert "--fault" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "half_open" in out
