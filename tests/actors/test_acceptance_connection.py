"""The conversation with a station, as a CSMS must hold it. Acceptance items and the tests that prove them:

9   one CALL out at a time, both ways at once: one_command_is_out..., a_station_is_answered_while_the_platform_waits...
10  time-outs and late answers: a_command_without_answer..., a_late_answer_is_dropped..., an_answer_to_nothing...
11  repeats: the_same_message_again..., a_message_id_used_again..., a_repeat_over_a_new_connection...
12  who is answered with what: only_a_call..., an_unreadable_call..., a_send_is_never..., an_answer_that_breaks...
13  error codes by version: the_error_code_says..., a_1_6_station_gets_the_codes_of_1_6
14  tolerance: harmless_violations..., absent_fields...
15  a CALLERROR asks for a repeat: only_a_failed_commit..., an_answer_never_leaves...
16, 17  are in test_acceptance_registration.py, the rest of 9 and 10 in test_command_queue.py
"""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from tests.actors.stations import Refused, Station, Station16, Station21
from tests.actors.world import NOON, Lost, World

RESET = {"type": "OnIdle"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def station(world: World) -> Station:
    station = Station(world)
    station.boot()
    return station


def test_one_command_is_out_at_a_time_and_in_order(world: World, station: Station) -> None:
    """2.1 part 4, 4.1.1."""
    first, second = (
        world.command("Reset", RESET),
        world.command("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}),
    )
    (asked,) = station.asked()
    assert (asked.message_id, asked.action, asked.payload) == (first, "Reset", RESET)
    assert [world.stored_command(c).status for c in (first, second)] == ["sent", "queued"]

    station.reply(asked, status="Accepted")
    (asked,) = station.asked()
    assert (asked.message_id, asked.action) == (second, "GetBaseReport")
    assert [world.stored_command(c).status for c in (first, second)] == ["accepted", "sent"]


def test_a_station_is_answered_while_the_platform_waits_for_it(world: World, station: Station) -> None:
    """Part 4, 4.1.1: the two directions share nothing."""
    command = world.command("Reset", RESET)
    (asked,) = station.asked()
    assert station.heartbeat()["currentTime"].startswith("2026-05-04T12:00:")
    assert station.started(wh=100) == {}
    station.reply(asked, status="Accepted")
    assert world.stored_command(command).status == "accepted"


def test_a_command_without_answer_times_out_and_frees_the_line(world: World, station: Station) -> None:
    silent, next_one = world.command("Reset", RESET), world.command("Reset", {"type": "Immediate"})
    world.wait(29)
    assert world.stored_command(silent).status == "sent"
    world.wait(1)
    assert world.stored_command(silent).status == "timed out"
    assert world.stored_command(next_one).status == "sent"


def test_a_late_answer_is_dropped_and_not_taken_for_the_next_command(world: World, station: Station) -> None:
    silent, next_one = world.command("Reset", RESET), world.command("Reset", {"type": "Immediate"})
    (late, *_) = station.asked()
    world.wait(31)
    assert station.reply(late, status="Rejected") == []
    assert world.stored_command(silent).status == "timed out"
    assert world.stored_command(next_one).status == "sent"
    station.reply(station.asked()[0], status="Accepted")
    assert world.stored_command(next_one).status == "accepted"


def test_an_answer_to_nothing_is_dropped(world: World, station: Station) -> None:
    written = world.rows_written
    assert station.send([3, "never-asked", {"status": "Accepted"}]) == []
    assert station.send([4, "never-asked", "GenericError", "", {}]) == []
    assert world.rows_written == written


def test_the_same_message_again_gets_the_same_answer(world: World, station: Station) -> None:
    """Part 4, 4.1.4: a retry may reuse its id."""
    first = station.call("Heartbeat", {}, "hb-1")
    world.wait(5)
    assert station.call("Heartbeat", {}, "hb-1") == first


def test_a_message_id_used_again_for_other_content_is_a_new_message(world: World, station: Station) -> None:
    station.call("Heartbeat", {}, "1")
    station.call("TransactionEvent", station.event_payload("Started", "tx-1", 0, at=NOON), "1")
    station.call("TransactionEvent", station.event_payload("Updated", "tx-1", 1, at=NOON), "1")
    assert [event.seq_no for event in world.events("tx-1")] == [0, 1]


def test_a_repeat_over_a_new_connection_is_known_by_its_content(world: World, station: Station) -> None:
    """Real stations give a retry a new message id."""
    world.add_token("anna", group_id="family")
    payload = station.event_payload("Started", "tx-1", 0, wh=100, token="anna")
    first = station.call("TransactionEvent", payload)
    station.connect()
    assert station.call("TransactionEvent", payload) == first
    assert len(world.events("tx-1")) == 1


def test_only_a_call_is_answered_with_a_callerror(station: Station) -> None:
    """Part 4, 4.2.3."""
    assert station.send([3, "x", "no object"]) == []
    assert station.send([4, "x"]) == []
    ((kind, message_id, code, *_),) = station.send([2, "x", "Heartbeat", "no object"])
    assert (kind, message_id, code) == (4, "x", "FormatViolation")


def test_an_unreadable_call_is_answered_with_id_minus_one(station: Station) -> None:
    ((kind, message_id, code, *_),) = station.send(b"{not json")
    assert (kind, message_id, code) == (4, "-1", "RpcFrameworkError")
    assert station.heartbeat()  # and the conversation goes on


@pytest.mark.parametrize("station_class", [Station, Station21])
def test_a_send_is_never_answered(station_class: type[Station]) -> None:
    """N15.FR.02; a version without SEND does not know the message type."""
    station = station_class(World())
    answers = station.send([6, "x", "NotifyPeriodicEventStream", {"id": 1}])
    assert [(a[0], a[2]) for a in answers] == ([] if station_class is Station21 else [(4, "MessageTypeNotSupported")])


@pytest.mark.parametrize(
    ("station_class", "told"), [(Station, []), (Station21, [[5, "OccurrenceConstraintViolation"]])]
)
def test_an_answer_that_breaks_the_standard_fails_the_command_and_2_1_is_told(
    station_class: type[Station], told: list[list[object]]
) -> None:
    """2.1 part 4, 4.2.4: CALLRESULTERROR; older versions have nothing to say it with."""
    world = World()
    station = station_class(world)
    station.boot()
    command = world.command("Reset", RESET)
    (asked,) = station.asked()
    answers = station.reply(asked)
    assert [[answer[0], answer[2]] for answer in answers] == told
    assert all(answer[1] == asked.message_id for answer in answers)
    stored = world.stored_command(command)
    assert stored.status == "failed"
    assert "status" in (stored.error or "")


def test_a_refused_command_says_why(world: World, station: Station) -> None:
    command = world.command("Reset", RESET)
    station.send([4, station.asked()[0].message_id, "NotSupported", "no reset here", {}])
    stored = world.stored_command(command)
    assert (stored.status, stored.error) == ("failed", "the station refused: NotSupported no reset here")


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Dance", {}, "NotImplemented"),
        ("LogStatusNotification", {"status": "Idle"}, "NotSupported"),
        ("Heartbeat", [1], "FormatViolation"),
        ("Authorize", {}, "OccurrenceConstraintViolation"),
        ("Authorize", {"idToken": "anna"}, "TypeConstraintViolation"),
        (
            "StatusNotification",
            {"timestamp": "soon", "connectorStatus": "Available", "evseId": 1, "connectorId": 1},
            "PropertyConstraintViolation",
        ),
    ],
)
def test_the_error_code_says_what_was_wrong(station: Station, action: str, payload: object, code: str) -> None:
    """2.1 part 4, table of error codes."""
    ((kind, _, told, *_),) = station.send([2, "x", action, payload])
    assert (kind, told) == (4, code)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ([2, "x", "Heartbeat", [1]], "FormationViolation"),
        ([2, "x", "Authorize", {}], "OccurenceConstraintViolation"),
        ([9, "x", "Heartbeat", {}], "ProtocolError"),
    ],
)
def test_a_1_6_station_gets_the_codes_of_1_6(frame: list[object], code: str) -> None:
    """OCPP-J 1.6 errata 5.1, 5.2: two codes keep their spelling."""
    ((kind, _, told, *_),) = Station16(World()).send(frame)
    assert (kind, told) == (4, code)


def test_harmless_violations_are_taken_and_recorded(world: World, station: Station) -> None:
    """A payload of null, over-long text, numbers as text, unknown fields: stations do all of it."""
    ((kind, _, answer),) = station.send([2, "x", "Heartbeat", None])
    assert (kind, list(answer)) == (3, ["currentTime"])
    long_name = {"vendorName": "ACME", "model": "M" * 99, "colour": "red"}
    assert station.boot(chargingStation=long_name)["status"] == "Accepted"
    assert station.started(values=[{"value": "1200"}]) == {}
    assert world.stored_station().model == "M" * 99
    assert sorted(world.stored_station().violations) == [
        "BootNotification chargingStation additionalProperties",
        "BootNotification chargingStation/model maxLength",
        "TransactionEvent meterValue/0/sampledValue/0/value type",
    ]


def test_absent_fields_are_absent_and_never_null(world: World, station: Station) -> None:
    world.add_token("anna")
    station.boot()
    station.started(token="anna")
    station16 = Station16(world, "CP-16")
    station16.start()
    station.send([2, "x", "Heartbeat", {}])
    answers = [station.started(tx="tx-2", token="anna"), station.updated(), station16.start(wh=5)]
    assert b"null" not in orjson.dumps(answers)
    assert station.call("DataTransfer", {"vendorId": "acme"}) == {"status": "UnknownVendorId"}


def test_only_a_failed_commit_asks_for_a_repeat(world: World, station: Station) -> None:
    """E13.FR.01-04, 1.6 3.7.1: the station sends it again; what makes no sense is answered all the same."""
    payload = station.event_payload("Ended", "tx-1", 9, wh=-5, at=NOON - timedelta(days=999), evse=99)
    world.fault = "database down"
    with pytest.raises(Refused, match="InternalError"):
        station.call("TransactionEvent", payload)
    assert world.events("tx-1") == []
    assert station.call("TransactionEvent", payload) == {}
    assert len(world.events("tx-1")) == 1


def test_an_answer_never_leaves_before_its_rows_are_stored(world: World, station: Station) -> None:
    world.fault = "before the commit"
    with pytest.raises(Lost):
        station.started()
    assert world.transactions() == []
    world.fault = "after the commit"
    with pytest.raises(Lost):
        station.started()
    assert len(world.transactions()) == 1
