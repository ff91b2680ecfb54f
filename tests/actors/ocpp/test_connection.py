"""One conversation: one outstanding CALL each way, the two ways apart, and repeats answered as before."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from actors.errors import Conflict
from actors.ocpp.connection import (
    Answered,
    CallReceived,
    Connection,
    Dropped,
    Event,
    Failed,
    Malformed,
    Outstanding,
    Repeated,
    SendReceived,
)
from actors.ocpp.frames import Call, OcppVersion, Send, pack_call

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE = NOW + timedelta(seconds=30)
KEPT = timedelta(seconds=60)
HEARTBEAT = b'[2,"s1","Heartbeat",{}]'


@pytest.fixture(params=list(OcppVersion))
def connection(request: pytest.FixtureRequest) -> Connection:
    return Connection(request.param, answers_kept=2, keep_answers=KEPT)


def received(event: Event) -> Call:
    assert isinstance(event, CallReceived)
    return event.call


def test_an_own_call_waits_for_its_answer(connection: Connection) -> None:
    frame = connection.call("c1", "Reset", {"type": "OnIdle"}, DEADLINE)
    assert orjson.loads(frame) == [2, "c1", "Reset", {"type": "OnIdle"}]

    event = connection.receive(b'[3,"c1",{"status":"Accepted"}]', NOW)

    assert event == Answered(Outstanding("c1", "Reset", DEADLINE), {"status": "Accepted"})
    assert connection.outstanding is None


def test_only_one_own_call_is_outstanding(connection: Connection) -> None:
    """Item FR.01 of 2.1 part 4, 4.1.1."""
    connection.call("c1", "Reset", {}, DEADLINE)
    with pytest.raises(Conflict, match="Reset is still outstanding"):
        connection.call("c2", "UnlockConnector", {}, DEADLINE)
    assert connection.outstanding == Outstanding("c1", "Reset", DEADLINE)


def test_calls_cross(connection: Connection) -> None:
    """The station is answered while its own answer is waited for, and may even use the same message id."""
    connection.call("same", "Reset", {}, DEADLINE)

    call = received(connection.receive(b'[2,"same","Heartbeat",{}]', NOW))
    assert orjson.loads(connection.answer(call, {"currentTime": "t"}, NOW)) == [3, "same", {"currentTime": "t"}]
    assert connection.outstanding is not None

    assert isinstance(connection.receive(b'[3,"same",{}]', NOW), Answered)


def test_an_own_call_goes_out_while_the_station_waits(connection: Connection) -> None:
    call = received(connection.receive(HEARTBEAT, NOW))
    connection.call("c1", "Reset", {}, DEADLINE)
    assert isinstance(connection.receive(b'[3,"c1",{}]', NOW), Answered)
    assert orjson.loads(connection.answer(call, {}, NOW))[1] == "s1"


def test_a_refused_call_frees_the_slot(connection: Connection) -> None:
    connection.call("c1", "Reset", {}, DEADLINE)
    event = connection.receive(b'[4,"c1","NotSupported","no reset here",{}]', NOW)
    assert event == Failed(Outstanding("c1", "Reset", DEADLINE), "NotSupported", "no reset here")
    assert connection.outstanding is None


def test_an_answer_that_cannot_be_read_frees_the_slot_and_is_not_answered(connection: Connection) -> None:
    connection.call("c1", "Reset", {}, DEADLINE)
    event = connection.receive(b'[3,"c1",["Accepted"]]', NOW)
    assert isinstance(event, Failed)
    assert (event.call.message_id, event.code) == ("c1", "FormatViolation")
    assert connection.outstanding is None


def test_a_call_times_out_at_its_deadline(connection: Connection) -> None:
    connection.call("c1", "Reset", {}, DEADLINE)
    assert connection.expire(DEADLINE - timedelta(microseconds=1)) is None
    assert connection.expire(DEADLINE) == Failed(Outstanding("c1", "Reset", DEADLINE), "TimedOut", "no answer to Reset")
    assert connection.expire(DEADLINE) is None


@pytest.mark.parametrize("late", [b'[3,"c1",{"status":"Accepted"}]', b'[4,"c1","GenericError","",{}]', b'[3,"c1",[]]'])
def test_a_late_answer_is_dropped_and_not_taken_for_the_next_call(connection: Connection, late: bytes) -> None:
    connection.call("c1", "Reset", {}, DEADLINE)
    connection.expire(DEADLINE)
    connection.call("c2", "UnlockConnector", {}, DEADLINE + KEPT)

    assert isinstance(connection.receive(late, DEADLINE), Dropped)

    assert isinstance(connection.receive(b'[3,"c2",{"status":"Unlocked"}]', DEADLINE), Answered)


def test_an_answer_to_nothing_is_dropped(connection: Connection) -> None:
    assert isinstance(connection.receive(b'[3,"c1",{}]', NOW), Dropped)
    assert isinstance(connection.receive(b'[4,"-1","GenericError","",{}]', NOW), Dropped)


def test_a_repeat_to_the_letter_gets_the_same_answer(connection: Connection) -> None:
    """2.1 part 4, 4.1.4: a retry may reuse the message id."""
    answer = connection.answer(received(connection.receive(HEARTBEAT, NOW)), {"currentTime": "t"}, NOW)
    assert connection.receive(HEARTBEAT, NOW + KEPT) == Repeated(answer)


def test_the_same_id_with_other_content_is_a_new_call(connection: Connection) -> None:
    """Some stations use one message id for everything."""
    connection.answer(received(connection.receive(HEARTBEAT, NOW)), {"currentTime": "t"}, NOW)
    call = received(connection.receive(b'[2,"s1","Heartbeat",{ }]', NOW))
    second = connection.answer(call, {"currentTime": "u"}, NOW)
    assert connection.receive(b'[2,"s1","Heartbeat",{ }]', NOW) == Repeated(second)


def test_a_repeat_after_an_error_is_tried_anew(connection: Connection) -> None:
    """E13.FR.01: the station repeats what could not be processed."""
    call = received(connection.receive(HEARTBEAT, NOW))
    assert orjson.loads(connection.refuse(call, "InternalError", "database down")) == [
        4,
        "s1",
        "InternalError",
        "database down",
        {},
    ]
    assert received(connection.receive(HEARTBEAT, NOW)) == call


def test_a_repeat_before_the_answer_is_handed_on(connection: Connection) -> None:
    received(connection.receive(HEARTBEAT, NOW))
    received(connection.receive(HEARTBEAT, NOW))


def test_answers_are_kept_for_a_while_only(connection: Connection) -> None:
    connection.answer(received(connection.receive(HEARTBEAT, NOW)), {}, NOW)
    received(connection.receive(HEARTBEAT, NOW + KEPT + timedelta(microseconds=1)))


def answer_new(connection: Connection, message_id: str) -> bytes:
    frame = pack_call(message_id, "Heartbeat", {"at": message_id})
    connection.answer(received(connection.receive(frame, NOW)), {}, NOW)
    return frame


def test_only_the_newest_answers_are_kept(connection: Connection) -> None:
    first, second, third = (answer_new(connection, message_id) for message_id in ("s1", "s2", "s3"))
    assert isinstance(connection.receive(third, NOW), Repeated)
    assert isinstance(connection.receive(second, NOW), Repeated)
    assert isinstance(connection.receive(first, NOW), CallReceived)


def test_an_id_used_again_counts_as_new(connection: Connection) -> None:
    answer_new(connection, "s1")
    answer_new(connection, "s2")
    again = b'[2,"s1","Heartbeat",{"again":true}]'
    connection.answer(received(connection.receive(again, NOW)), {}, NOW)
    answer_new(connection, "s3")
    assert isinstance(connection.receive(again, NOW), Repeated)


def test_no_answers_are_kept_when_none_are_wanted() -> None:
    connection = Connection(V201, answers_kept=0)
    connection.answer(received(connection.receive(HEARTBEAT, NOW)), {}, NOW)
    received(connection.receive(HEARTBEAT, NOW))


def test_of_overlapping_calls_with_one_id_none_gets_the_answer_of_the_other(connection: Connection) -> None:
    other = b'[2,"s1","Authorize",{"idTag":"A"}]'
    first = received(connection.receive(HEARTBEAT, NOW))
    received(connection.receive(other, NOW))
    connection.answer(first, {"currentTime": "t"}, NOW)
    received(connection.receive(other, NOW))


@pytest.mark.parametrize("frame", [b"[3,7,{}]", b'[3,"x",[]]', b"[3]", b"[4,7]", b'[4,"-1","InternalError"]'])
def test_a_callerror_never_answers_an_answer(connection: Connection, frame: bytes) -> None:
    """2.1 part 4, 4.2.3: CALLERROR answers a CALL only; a frame too short to say what it is may be one."""
    event = connection.receive(frame, NOW)
    assert isinstance(event, Malformed if frame == b"[3]" else Dropped)


def test_a_malformed_call_is_answered_with_the_code_of_the_version(connection: Connection) -> None:
    event = connection.receive(b'[2,"s1","Heartbeat",[]]', NOW)
    assert isinstance(event, Malformed)
    code = "FormationViolation" if connection.version is V16 else "FormatViolation"
    assert orjson.loads(event.reply)[:3] == [4, "s1", code]
    assert event.code == "FormatViolation"


def test_noise_is_answered_under_minus_one(connection: Connection) -> None:
    event = connection.receive(b"\xff", NOW)
    assert isinstance(event, Malformed)
    assert orjson.loads(event.reply)[:2] == [4, "-1"]


def test_a_send_is_taken_without_an_answer_in_2_1() -> None:
    """N15.FR.02."""
    event = Connection(V21).receive(b'[6,"s1","NotifyPeriodicEventStream",{"id":1}]', NOW)
    assert event == SendReceived(Send("s1", "NotifyPeriodicEventStream", {"id": 1}))
    assert isinstance(Connection(V21).receive(b'[6,"s1","NotifyPeriodicEventStream",7]', NOW), Dropped)


def test_a_callresulterror_is_dropped_in_2_1() -> None:
    event = Connection(V21).receive(b'[5,"s1","FormatViolation","tariff",{}]', NOW)
    assert isinstance(event, Dropped)


@pytest.mark.parametrize("version", [V16, V201])
@pytest.mark.parametrize("kind", [5, 6])
def test_types_5_and_6_are_unknown_before_2_1(version: OcppVersion, kind: int) -> None:
    event = Connection(version).receive(orjson.dumps([kind, "s1", "X", {}]), NOW)
    assert isinstance(event, Malformed)
    assert orjson.loads(event.reply)[2] == ("ProtocolError" if version is V16 else "MessageTypeNotSupported")


def test_a_new_socket_starts_afresh_and_tells_what_was_lost(connection: Connection) -> None:
    connection.answer(received(connection.receive(HEARTBEAT, NOW)), {}, NOW)
    connection.call("c1", "Reset", {}, DEADLINE)

    assert connection.reset(V201) == Outstanding("c1", "Reset", DEADLINE)

    assert connection.version is V201
    assert connection.reset(V201) is None
    assert isinstance(connection.receive(b'[3,"c1",{}]', NOW), Dropped)
    received(connection.receive(HEARTBEAT, NOW))


def test_nesting_is_capped_as_told() -> None:
    assert isinstance(Connection(V201, max_nesting=3).receive(b'[2,"s1","A",{"a":[[1]]}]', NOW), Malformed)
    assert isinstance(Connection(V201, max_nesting=4).receive(b'[2,"s1","A",{"a":[[1]]}]', NOW), CallReceived)
