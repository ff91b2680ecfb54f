"""Boot, registration and sockets (B01-B03; 1.6 4.2; part 4, 5.4). Acceptance items and their tests:

6  the newest socket: test_the_newest_socket_wins, test_a_late_close_of_an_older_socket_changes_nothing,
   test_frames_of_an_older_socket_change_nothing
7  registration belongs to the station: test_registration_outlives_sockets_and_restarts
8  any message is a sign of life: test_any_message_is_a_sign_of_life_and_few_are_written
16 pending and rejected: test_before_it_is_accepted_a_station_is_heard_only..., test_a_rejected_station_is_sent_nothing,
   test_a_pending_station_starts_no_transaction
17 no boot needed: test_messages_beside_and_without_a_boot_are_taken
"""

from __future__ import annotations

import msgspec
import pytest

from actors.charger import Refusal
from actors.domain.events import StationBooted, StationDisconnected
from actors.domain.moment import wire_time
from actors.ocpp.frames import OcppVersion
from actors.turn import Rules
from tests.actors.stations import Refused, Station, Station16
from tests.actors.world import OPEN_RULES, World

WAITING = Rules(accept_unknown_stations=True, accept_boot=False, retry_interval_s=90)
RESET = {"type": "OnIdle"}
TRIGGER_HEARTBEAT = {"requestedMessage": "Heartbeat"}
FULL_REPORT = {"requestId": 7, "reportBase": "FullInventory"}


@pytest.fixture
def world() -> World:
    return World()


def admit(world: World, admission: str | None, station_id: str = "CP-1") -> None:
    """Let an admin decide on a station; its charger reads it when it wakes up."""
    stations = world.database.stations
    stations[station_id] = msgspec.structs.replace(stations[station_id], admission=admission)
    world.crash()


def code(error: pytest.ExceptionInfo[Refused]) -> str:
    return error.value.code


def test_a_boot_is_accepted_with_the_clock_and_the_heartbeat_interval(world: World) -> None:
    """B01.FR.02, B01.FR.04."""
    answer = Station(world).boot()
    assert answer == {"currentTime": "2026-05-04T12:00:00.200Z", "interval": 300, "status": "Accepted"}
    stored = world.stored_station()
    assert (stored.vendor_name, stored.model, stored.registration) == ("ACME", "Fast", "Accepted")
    assert [told.registration for told in world.told(StationBooted)] == ["Accepted"]


def test_a_station_that_must_wait_is_told_when_to_come_again() -> None:
    """B02.FR.01, B02.FR.06: the interval is the wait before the next boot."""
    world = World(WAITING)
    station = Station(world)
    assert (station.boot()["status"], station.boot()["interval"]) == ("Pending", 90)
    admit(world, "Accepted")
    assert station.boot()["status"] == "Accepted"
    assert station.heartbeat()


def test_an_admin_may_reject_a_station(world: World) -> None:
    """B03."""
    station = Station(world)
    admit(world, "Rejected")
    assert station.boot()["status"] == "Rejected"
    with pytest.raises(Refused) as refused:
        station.heartbeat()
    assert code(refused) == "SecurityError"


def test_before_it_is_accepted_a_station_is_heard_only_with_what_it_was_asked_for() -> None:
    """B01.FR.10, B02.FR.09: SecurityError to all but the boot and what the platform has triggered."""
    world = World(WAITING)
    station = Station(world)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            station.heartbeat()
        assert code(refused) == "SecurityError"
        station.boot()
    world.command("TriggerMessage", TRIGGER_HEARTBEAT)
    station.reply(station.asked()[0], status="Accepted")
    assert station.heartbeat()
    report = {"requestId": 7, "generatedAt": station.time(None), "seqNo": 0}
    with pytest.raises(Refused) as refused:
        station.call("NotifyReport", report)
    assert code(refused) == "SecurityError"
    world.command("GetBaseReport", FULL_REPORT)
    station.reply(station.asked()[0], status="Accepted")
    assert station.call("NotifyReport", report) == {}


@pytest.mark.parametrize("station_class", [Station, Station16])
def test_a_pending_station_starts_no_transaction(station_class: type[Station | Station16]) -> None:
    """B02.FR.05; 1.6 4.2: no RemoteStart to a station that is not accepted; it goes when it is."""
    world = World(WAITING)
    station = station_class(world)
    station.boot()
    start = world.command(
        "RequestStartTransaction", {"evseId": 1, "idToken": {"idToken": "anna", "type": "Central"}, "remoteStartId": 1}
    )
    reset = world.command("Reset", RESET)
    (asked,) = station.asked()
    assert asked.message_id == reset
    station.reply(asked, status="Accepted")
    assert world.stored_command(start).status == "queued"
    admit(world, "Accepted")
    station.boot()
    assert [asked.message_id for asked in station.asked()] == [start]


def test_a_rejected_station_is_sent_nothing_but_the_wish_for_a_boot(world: World) -> None:
    """B03.FR.03; TriggerMessage(BootNotification) is the tolerated exception."""
    station = Station(world)
    admit(world, "Rejected")
    station.boot()
    reset = world.command("Reset", RESET)
    world.command("TriggerMessage", TRIGGER_HEARTBEAT)
    assert station.asked() == []
    trigger = world.command("TriggerMessage", {"requestedMessage": "BootNotification"})
    assert [asked.message_id for asked in station.asked()] == [trigger]
    assert world.stored_command(reset).status == "queued"


def test_messages_beside_and_without_a_boot_are_taken(world: World) -> None:
    """Item 17: some stations send StatusNotification and Heartbeat in parallel with their boot, or never boot."""
    station = Station(world)
    station.status("Available")
    station.heartbeat()
    assert station.started(wh=1) == {}
    assert world.stored_station().registration is None


def test_registration_outlives_sockets_and_restarts(world: World) -> None:
    """Part 4, 5.4: a station that reconnects does not boot again."""
    world.rules = WAITING
    station = Station(world)
    station.boot()
    admit(world, "Accepted")
    station.boot()
    station.disconnect()
    world.crash()
    station.connect()
    assert station.heartbeat()
    assert world.stored_station().registration == "Accepted"


def test_the_newest_socket_wins(world: World) -> None:
    first = Station(world)
    first.boot()
    old_epoch = first.conn_epoch
    first.connect(gateway_id="g-2")
    assert world.closed == [("g-1", old_epoch)]
    assert first.conn_epoch > old_epoch
    assert (world.stored_station().gateway_id, world.stored_station().conn_epoch) == ("g-2", first.conn_epoch)


def test_a_late_close_of_an_older_socket_changes_nothing(world: World) -> None:
    station = Station(world)
    station.boot()
    old_epoch = station.conn_epoch
    station.connect()
    command = world.command("Reset", RESET)
    station.heartbeat()  # the new socket speaks, so it may be spoken to
    world.disconnect("CP-1", old_epoch)
    assert world.stored_station().connected
    assert world.told(StationDisconnected) == []
    station.reply(station.asked()[0], status="Accepted")
    assert world.stored_command(command).status == "accepted"


def test_frames_of_an_older_socket_change_nothing(world: World) -> None:
    station = Station(world)
    station.boot()
    old_epoch, new_epoch = station.conn_epoch, (station.connect(), station.conn_epoch)[1]
    station.conn_epoch = old_epoch
    assert station.send([2, "x", "TransactionEvent", station.event_payload("Started", "tx-1", 0)]) == []
    assert world.transactions() == []
    station.conn_epoch = new_epoch
    assert station.started() == {}


@pytest.mark.parametrize("crash", [False, True])
def test_the_epoch_of_a_socket_never_comes_again(world: World, crash: bool) -> None:
    station = Station(world)
    epochs = [station.conn_epoch]
    for _ in range(3):
        if crash:
            world.crash()
        station.connect()
        epochs.append(station.conn_epoch)
    assert epochs == sorted(set(epochs))


def test_a_closed_socket_is_told_once(world: World) -> None:
    station = Station(world)
    station.disconnect()
    station.disconnect()
    assert not world.stored_station().connected
    assert len(world.told(StationDisconnected)) == 1
    assert [event.kind for event in world.live] == ["StationConnected", "StationDisconnected"]


def test_a_station_may_change_its_version_with_its_socket(world: World) -> None:
    Station(world).boot()
    old = Station16(world)
    assert old.boot()["status"] == "Accepted"
    world.crash()
    assert "transactionId" in old.start()
    assert world.stored_station().ocpp_version == OcppVersion.V16


def test_any_message_is_a_sign_of_life_and_few_are_written(world: World) -> None:
    """G02.FR.04."""
    station = Station(world)
    station.boot()
    written = world.rows_written
    for _ in range(5):
        station.heartbeat()
    assert world.rows_written == written
    assert world.charger("CP-1").station.last_seen_at == world.now
    world.wait(world.rules.seen_write_interval_s)
    assert station.heartbeat()["currentTime"] == wire_time(world.now)
    assert world.stored_station().last_seen_at == world.now


def test_an_unknown_station_is_not_admitted() -> None:
    world = World(Rules())
    station = Station(world, connected=False)
    assert station.connect() == Refusal(404, "this station is not known here")
    assert world.database.stations == {}


@pytest.mark.parametrize(("given", "admitted"), [("right", True), ("wrong", False), (None, False)])
def test_a_station_with_a_password_must_give_it(world: World, given: str | None, admitted: bool) -> None:
    """A00.FR.204-207."""
    station = Station(world)
    world.database.stations["CP-1"].password_digest = "right"
    world.crash()
    refusal = station.connect(password_digest=given)
    assert (refusal is None) == admitted
    assert refusal is None or refusal.status == 401


def test_where_passwords_are_required_a_station_without_one_is_refused() -> None:
    world = World(msgspec.structs.replace(OPEN_RULES, require_password=True))
    refusal = Station(world, connected=False).connect()
    assert refusal is not None
    assert refusal.status == 401


def test_a_charger_without_socket_and_commands_may_sleep(world: World) -> None:
    station = Station(world)
    assert not world.charger("CP-1").idle
    station.disconnect()
    assert world.charger("CP-1").idle
    world.command("Reset", RESET)
    assert not world.charger("CP-1").idle
