"""The station by itself: registration, offline periods, repeats, time-outs, authorization."""

import pytest

from actors.ocpp.frames import Json, OcppVersion
from simulator.battery import Battery
from tests.simulator.world import BEGIN, World

pytestmark = pytest.mark.pure
V16, V201 = OcppVersion.V16, OcppVersion.V201
both = pytest.mark.parametrize("version", [V16, V201])


def numbers(world: World) -> list[int]:
    return [int(str(event["seqNo"])) for event in world.csms.calls("TransactionEvent")]


@both
@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_nothing_but_boot_before_it_is_accepted(version: OcppVersion, status: str) -> None:
    """B02.FR.01, B03.FR.02; boot is repeated after the interval."""
    world = World(version)
    world.csms.boot_status, world.csms.boot_interval_s = status, 100
    world.connect()
    world.wait(330)
    assert {call.action for call in world.csms.heard} == {"BootNotification"}
    assert len(world.csms.heard) == 4
    world.csms.boot_status = "Accepted"
    world.wait(100)
    assert world.csms.calls("StatusNotification")


@both
def test_heartbeats_keep_the_interval_of_the_csms(version: OcppVersion) -> None:
    world = World(version)
    world.csms.boot_interval_s = 60
    world.connect()
    world.wait(610)
    assert len(world.csms.calls("Heartbeat")) == 10


def test_a_transaction_that_happened_offline_is_told_later_marked_offline() -> None:
    """E04.FR.03."""
    world = World(V201)
    world.connect()
    world.disconnect()
    world.plug_in()
    world.show_card()
    world.wait(300)
    world.unplug()
    assert world.csms.calls("TransactionEvent") == []
    world.connect()
    events = world.csms.calls("TransactionEvent")
    assert numbers(world) == list(range(len(events)))
    assert all(event["offline"] for event in events)
    assert str(events[0]["timestamp"]) == "2026-03-02T06:00:00.000Z"
    assert len(world.csms.calls("BootNotification")) == 1, "a reconnect is no boot (2.0.1 part 4, 5.4)"


def test_a_1_6_transaction_that_happened_offline_gets_its_id_later() -> None:
    world = World(V16)
    world.connect()
    world.disconnect()
    world.plug_in()
    world.show_card()
    world.wait(130)
    world.unplug()
    world.connect()
    actions = [call.action for call in world.csms.heard if call.action.startswith(("Start", "Stop", "Meter"))]
    assert actions == ["StartTransaction", "MeterValues", "MeterValues", "StopTransaction"]
    assert world.csms.calls("StopTransaction")[0]["transactionId"] == 1


def test_an_offline_period_inside_a_transaction_leaves_no_gap() -> None:
    world = World(V201)
    world.charge()
    world.wait(120)
    world.disconnect()
    world.wait(300)
    world.connect()
    world.wait(120)
    events = world.csms.calls("TransactionEvent")
    assert numbers(world) == list(range(len(events)))
    marks = [event.get("offline", False) for event in events]
    assert marks.count(True) == 5
    assert marks[0] is marks[-1] is False


def test_a_refused_event_is_repeated_with_its_seq_no_then_given_up() -> None:
    """E13.FR.02-04: three attempts, 10 s and 20 s apart, then the next event."""
    world = World(V201)
    world.connect()
    world.csms.refuse = {"TransactionEvent"}
    world.plug_in()
    world.show_card()
    for at_s, attempts in [(5, 1), (10, 2), (25, 2), (30, 3)]:
        world.wait((BEGIN - world.now).total_seconds() + at_s, step_s=5)
        assert numbers(world).count(0) == attempts
    world.csms.refuse = set()
    world.wait(60)
    assert world.station.outbox.discarded == 1
    assert numbers(world) == [0, 0, 0, 1, 1, 2], "event 1 was refused once, when 0 had been given up"


def test_silence_is_a_failure_too_and_a_late_answer_changes_nothing() -> None:
    world = World(V201)
    world.connect()
    world.csms.silent_about = {"TransactionEvent"}
    world.plug_in()
    world.show_card()
    world.wait(25)
    assert numbers(world) == [0]
    world.csms.silent_about = set()
    world.wait(30)
    assert world.station.timeouts == 1
    assert numbers(world)[:3] == [0, 0, 1]


def test_an_unanswered_event_is_sent_again_after_a_reconnect() -> None:
    world = World(V201)
    world.connect()
    world.csms.silent_about = {"TransactionEvent"}
    world.plug_in()
    world.show_card()
    world.disconnect()
    world.csms.silent_about = set()
    world.connect()
    assert numbers(world)[:2] == [0, 0]
    assert world.station.errors == world.station.timeouts == 0


@both
def test_a_card_that_is_not_accepted_charges_nothing(version: OcppVersion) -> None:
    world = World(version)
    world.csms.token_status = "Invalid"
    world.connect()
    world.plug_in()
    world.show_card()
    world.wait(60)
    assert world.evse.transaction is None
    assert world.evse.meter_wh == 0


@both
def test_a_card_found_invalid_after_an_offline_start_stops_the_power(version: OcppVersion) -> None:
    """E05, 1.6 section 4.8."""
    world = World(version)
    world.connect()
    world.disconnect()
    world.plug_in()
    world.show_card()
    world.csms.token_status = "Invalid"
    world.wait(60)
    world.connect()
    assert world.evse.transaction is None
    stop: Json = (world.csms.calls("StopTransaction") or world.csms.calls("TransactionEvent"))[-1]
    info = stop.get("transactionInfo")
    assert (info["stoppedReason"] if isinstance(info, dict) else stop["reason"]) == "DeAuthorized"


def test_a_full_battery_suspends_the_ev() -> None:
    world = World(V201)
    world.connect()
    world.plug_in(Battery(capacity_wh=5000, soc=0.99))
    world.show_card()
    world.wait(3600)
    states = [event["transactionInfo"] for event in world.csms.calls("TransactionEvent")]
    assert isinstance(states[-1], dict)
    assert states[-1]["chargingState"] == "SuspendedEV"


def test_an_authorization_nobody_uses_ends_after_the_connection_timeout() -> None:
    world = World(V201)
    world.connect()
    world.show_card()
    assert world.evse.authorized is not None
    world.wait(120)
    world.plug_in()
    assert world.evse.transaction is None


def test_bytes_that_are_no_ocpp_change_nothing() -> None:
    world = World(V201)
    world.charge()
    for data in (b"", b"[", b"{}", b"[2]", b"\xff", b"[3,1]", b'[3,"unknown",{}]', b'[2,"a","Reset",[]]'):
        world.station.receive(data, world.now)
    world.exchange()
    world.wait(60)
    assert world.evse.transaction is not None
