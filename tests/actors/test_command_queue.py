"""The queue of commands: persisted, in order, with deadlines, through lost connections and restarts.

With the acceptance items 9 and 10 (test_acceptance_connection.py) and 25 (remote start), here.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.domain.command import Command
from actors.domain.events import CommandFinished
from actors.errors import BadRequest, Conflict, NotFound, StationOffline, TooMany
from actors.handlers.commands import COMMANDS
from actors.turn import remote_start_id
from tests.actors.stations import Station, Station16
from tests.actors.world import NOON, OPEN_RULES, Lost, World

RESET = {"type": "OnIdle"}
ANNA = {"idToken": "anna", "type": "Central"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def station(world: World) -> Station:
    station = Station(world)
    station.boot()
    return station


@pytest.fixture
def station16(world: World) -> Station16:
    station = Station16(world)
    station.boot()
    return station


def remote_start(world: World, **payload: Any) -> str:
    return world.command("RequestStartTransaction", {"idToken": ANNA} | payload)


def accept(station: Station | Station16, **answer: Any) -> None:
    """Accept the one command that was sent."""
    (asked,) = station.asked()
    station.reply(asked, **({"status": "Accepted"} | answer))


def test_a_command_is_stored_before_it_is_sent(world: World, station: Station) -> None:
    world.fault = "after the commit"
    with pytest.raises(Lost):
        world.command("Reset", RESET)
    assert station.asked() == []
    assert [c.status for c in world.database.commands.values()] == ["sent"]


@pytest.mark.parametrize(
    ("action", "payload", "answer", "status"),
    [
        ("Reset", RESET, {"status": "Scheduled"}, "accepted"),
        ("Reset", RESET, {"status": "Rejected"}, "rejected"),
        ("UnlockConnector", {"evseId": 1, "connectorId": 1}, {"status": "Unlocked"}, "accepted"),
        ("UnlockConnector", {"evseId": 1, "connectorId": 1}, {"status": "UnlockFailed"}, "rejected"),
        ("ClearChargingProfile", {"chargingProfileId": 1}, {"status": "Unknown"}, "rejected"),
    ],
)
def test_the_answer_says_whether_it_was_accepted(
    world: World, station: Station, action: str, payload: dict[str, Any], answer: dict[str, Any], status: str
) -> None:
    command = world.command(action, payload)
    accept(station, **answer)
    stored = world.stored_command(command)
    assert (stored.status, stored.response) == (status, answer)
    assert stored.error == (None if status == "accepted" else answer["status"])
    assert [told.status for told in world.told(CommandFinished)] == [status]


def test_the_variables_a_station_tells_are_kept(world: World, station: Station) -> None:
    """B06."""
    asked = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    command = world.command("GetVariables", {"getVariableData": [asked]})
    results = [
        {**asked, "attributeStatus": "Accepted", "attributeValue": "300"},
        {"component": {"name": "X"}, "variable": {"name": "Y"}, "attributeStatus": "UnknownComponent"},
    ]
    (question,) = station.asked()
    station.reply(question, getVariableResult=results)
    assert [(v.component, v.variable, v.value) for v in world.database.variables.values()] == [
        ("OCPPCommCtrlr", "HeartbeatInterval", "300")
    ]
    assert world.stored_command(command).status == "accepted"


def test_the_configuration_keys_of_a_1_6_station_are_kept_as_variables(world: World, station16: Station16) -> None:
    """B07, 1.6 5.8: keys that 2.x knows go by its names, the others by their own."""
    keys = [
        {"key": "heartbeatInterval", "readonly": False, "value": "300"},
        {"key": "VendorMagic", "readonly": True},
    ]
    world.command("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"})
    (question,) = station16.asked()
    station16.reply(question, configurationKey=keys)
    assert [(v.component, v.variable, v.value, v.mutability) for v in world.database.variables.values()] == [
        ("OCPPCommCtrlr", "HeartbeatInterval", "300", "ReadWrite"),
        ("OCPP16", "VendorMagic", None, "ReadOnly"),
    ]


@pytest.mark.parametrize(
    ("action", "payload", "complaint"),
    [
        ("Dance", {}, "Dance is no command; choose one of"),
        ("Reset", {"type": "Gently"}, "payload of Reset: type"),
        ("Reset", {}, "payload of Reset"),
        ("TriggerMessage", {"requestedMessage": "StatusNotification"}, "of one connector"),
    ],
)
def test_a_command_that_cannot_be_right_is_refused_and_not_stored(
    world: World, station: Station, action: str, payload: dict[str, Any], complaint: str
) -> None:
    """F06.FR.13: a StatusNotification is asked of a connector."""
    with pytest.raises(BadRequest, match=complaint):
        world.command(action, payload)
    assert world.database.commands == {}
    assert station.asked() == []


def test_1_6_may_be_asked_for_the_status_of_all_connectors(world: World, station16: Station16) -> None:
    world.command("TriggerMessage", {"requestedMessage": "StatusNotification"})
    assert [(a.action, a.payload) for a in station16.asked()] == [
        ("TriggerMessage", {"requestedMessage": "StatusNotification"})
    ]


def test_a_command_to_an_unknown_station_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="CP-9"):
        world.command("Reset", RESET, "CP-9")


def test_what_1_6_cannot_do_fails_and_does_not_block_the_queue(world: World, station16: Station16) -> None:
    impossible = world.command("Reset", RESET | {"evseId": 1})
    possible = world.command("Reset", RESET)
    assert world.stored_command(impossible).status == "failed"
    assert world.stored_command(possible).status == "sent"
    assert [asked.payload for asked in station16.asked()] == [{"type": "Soft"}]


def test_a_command_for_an_offline_station_waits_or_fails_as_its_caller_says(world: World, station: Station) -> None:
    station.disconnect()
    with pytest.raises(StationOffline):
        world.command("Reset", RESET, if_offline="fail")
    waiting = world.command("Reset", RESET)
    assert list(world.database.commands) == [waiting]
    station.connect()
    assert world.stored_command(waiting).status == "queued"
    station.heartbeat()
    assert world.stored_command(waiting).status == "sent"


@pytest.mark.parametrize("crash", [False, True])
def test_what_waited_is_sent_in_its_order(world: World, station: Station, crash: bool) -> None:
    station.disconnect()
    waiting = []
    for _ in range(3):
        waiting.append(world.command("Reset", RESET))
        world.wait(1)
    if crash:
        world.crash()
    station.connect()
    station.heartbeat()
    for command in waiting:
        (asked,) = station.asked()
        assert asked.message_id == command
        station.reply(asked, status="Accepted")


def test_a_silent_new_socket_is_spoken_to_after_a_moment(world: World, station: Station) -> None:
    """Before that its gateway may not have it in its table yet."""
    station.connect()
    command = world.command("Reset", RESET)
    assert world.stored_command(command).status == "queued"
    world.wait(2)
    assert [asked.message_id for asked in station.asked()] == [command]


def test_what_was_not_sent_by_its_deadline_expires(world: World, station: Station) -> None:
    station.disconnect()
    command = world.command("Reset", RESET, deadline_s=10)
    world.wait(9)
    assert world.stored_command(command).status == "queued"
    world.wait(1)
    assert world.stored_command(command).status == "expired"


def test_a_deadline_that_passed_while_the_platform_was_down_is_kept(world: World, station: Station) -> None:
    """A reset of yesterday must not surprise the car of today."""
    station.disconnect()
    command = world.command("Reset", RESET, deadline_s=10)
    world.crash()
    world.now += (NOON - NOON.replace(hour=0)) * 2
    station.connect()
    station.heartbeat()
    assert station.asked() == []
    assert world.stored_command(command).status == "expired"


def test_a_queued_command_can_be_cancelled_and_a_sent_one_cannot(world: World, station: Station) -> None:
    sent, queued = world.command("Reset", RESET), world.command("Reset", RESET)
    world.cancel(queued)
    assert world.stored_command(queued).status == "cancelled"
    with pytest.raises(Conflict, match="sent already"):
        world.cancel(sent)
    with pytest.raises(NotFound):
        world.cancel(queued)
    accept(station)
    assert station.asked() == []


def test_the_queue_is_bounded(world: World) -> None:
    world.rules = msgspec.structs.replace(OPEN_RULES, max_queued_commands=2)
    Station(world)
    world.command("Reset", RESET)
    world.command("Reset", RESET)
    with pytest.raises(TooMany, match="2 commands already wait"):
        world.command("Reset", RESET)
    assert len(world.database.commands) == 2


def test_a_caller_who_repeats_a_command_gets_it_once(world: World, station: Station) -> None:
    first = world.command("Reset", RESET)
    again = msgspec.structs.replace(world.stored_command(first), status="queued", sent_at=None)
    world.act("CP-1", lambda charger, now: charger.submit(again, now))
    assert len(station.asked()) == 1
    assert world.stored_command(first).status == "sent"


@pytest.mark.parametrize("how", ["lost", "replaced"])
def test_a_command_whose_connection_is_lost_is_over(world: World, station: Station, how: str) -> None:
    command, next_one = world.command("Reset", RESET), world.command("Reset", RESET)
    if how == "lost":
        station.disconnect()
    station.connect()
    stored = world.stored_command(command)
    assert (stored.status, stored.error) == (
        "timed out",
        "the connection was lost before the station answered",
    )
    station.heartbeat()
    assert [asked.message_id for asked in station.asked()] == [next_one]


def test_the_answer_to_a_command_finds_it_after_a_restart(world: World, station: Station) -> None:
    command, next_one = world.command("Reset", RESET), world.command("Reset", {"type": "Immediate"})
    world.crash()
    accept(station)
    assert world.stored_command(command).status == "accepted"
    assert world.stored_command(next_one).status == "sent"


def test_after_a_restart_the_time_out_still_counts_from_the_sending(world: World, station: Station) -> None:
    command = world.command("Reset", RESET)
    world.crash()
    station.heartbeat()
    world.wait(31)
    assert world.stored_command(command).status == "timed out"


def test_a_remote_start_is_not_yet_a_transaction(world: World, station: Station) -> None:
    """Item 25: the station's yes is not the start."""
    command = remote_start(world, remoteStartId=7, evseId=1)
    accept(station)
    assert (world.stored_command(command).status, world.stored_command(command).transaction) == ("accepted", None)
    assert world.transactions() == []
    world.wait(301)
    assert not world.charger("CP-1").waiting  # nobody waits for it any longer
    station.started(remote_start_id=7)
    assert world.stored_command(command).transaction is None


def test_a_remote_start_is_matched_by_its_id(world: World, station: Station) -> None:
    """F01.FR.04; the id may come in a later event (item 25)."""
    other, command = remote_start(world, remoteStartId=6), remote_start(world, remoteStartId=7)
    accept(station)
    accept(station)
    station.started()
    assert world.stored_command(command).transaction is None
    station.updated(remote_start_id=7)
    assert world.stored_command(command).transaction == world.transaction("tx-1").id
    assert world.stored_command(other).transaction is None


def test_a_remote_start_without_an_id_is_given_one(world: World, station: Station) -> None:
    command = remote_start(world)
    (asked,) = station.asked()
    assert asked.payload["remoteStartId"] == remote_start_id(command) > 0


def test_a_transaction_may_begin_before_the_remote_start_is_answered(world: World, station: Station) -> None:
    command = remote_start(world, remoteStartId=7)
    station.started(remote_start_id=7)
    accept(station)
    stored = world.stored_command(command)
    assert (stored.status, stored.transaction) == ("accepted", world.transaction("tx-1").id)


def test_an_offline_event_fulfils_no_remote_start(world: World, station: Station) -> None:
    """Item 22: what happened then must not look like now."""
    command = remote_start(world, remoteStartId=7)
    accept(station)
    station.started(remote_start_id=7, offline=True)
    assert world.stored_command(command).transaction is None


def test_a_1_6_remote_start_is_matched_by_its_tag(world: World, station16: Station16) -> None:
    command = remote_start(world)
    accept(station16)
    station16.start("bob")
    assert world.stored_command(command).transaction is None
    answer = station16.start("ANNA")
    assert world.stored_command(command).transaction == world.transaction(answer["transactionId"]).id


def test_two_1_6_remote_starts_of_one_tag_are_told_apart_by_connector(world: World, station16: Station16) -> None:
    left, right = remote_start(world, evseId=1), remote_start(world, evseId=2)
    accept(station16)
    accept(station16)
    answer = station16.start("anna", connector=2)
    assert world.stored_command(right).transaction == world.transaction(answer["transactionId"]).id
    assert world.stored_command(left).transaction is None


def test_a_1_6_start_that_waited_in_the_stations_queue_fulfils_no_later_remote_start(
    world: World, station16: Station16
) -> None:
    command = remote_start(world)
    accept(station16)
    station16.start("anna", at=NOON.replace(hour=9))
    assert world.stored_command(command).transaction is None


def test_every_command_of_the_table_reaches_a_2_0_1_station(world: World, station: Station) -> None:
    profile = {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
    }
    schedule = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 7000.0}]}
    key = {"component": {"name": "C"}, "variable": {"name": "V"}}
    payloads: dict[str, dict[str, Any]] = {
        "GetVariables": {"getVariableData": [key]},
        "SetVariables": {"setVariableData": [key | {"attributeValue": "1"}]},
        "GetBaseReport": {"requestId": 1, "reportBase": "FullInventory"},
        "Reset": RESET,
        "RequestStartTransaction": {"idToken": ANNA, "remoteStartId": 1},
        "RequestStopTransaction": {"transactionId": "tx-1"},
        "TriggerMessage": {"requestedMessage": "Heartbeat"},
        "UnlockConnector": {"evseId": 1, "connectorId": 1},
        "ChangeAvailability": {"operationalStatus": "Inoperative"},
        "SetChargingProfile": {"evseId": 1, "chargingProfile": profile | {"chargingSchedule": [schedule]}},
        "ClearChargingProfile": {"chargingProfileId": 1},
        "GetCompositeSchedule": {"duration": 60, "evseId": 1},
        "DataTransfer": {"vendorId": "acme"},
    }
    assert set(payloads) == set(COMMANDS)
    for action, payload in payloads.items():
        world.command(action, payload)
        (asked,) = station.asked()
        assert (asked.action, asked.payload) == (action, payload)
        station.send([4, asked.message_id, "NotSupported", "", {}])


def test_a_remote_start_id_is_positive_and_its_own() -> None:
    """RequestStartTransactionRequest: an int32."""
    ids = [remote_start_id(Command(f"{n:032x}", "CP-1", "", {}, NOON, NOON).id) for n in (0, 1, 2**127)]
    assert len(set(ids)) == 3
    assert all(0 < number < 2**31 for number in ids)
