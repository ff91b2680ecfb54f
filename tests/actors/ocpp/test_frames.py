"""Frames: whatever a station sends is read or refused with the exact code, and nothing else ever happens."""

import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import FrameFault
from actors.ocpp.frames import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    OcppVersion,
    Send,
    error_code,
    pack_call,
    pack_error,
    pack_result,
    pack_result_error,
    parse,
)

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
VERSIONS = st.sampled_from(OcppVersion)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.dictionaries(TEXT, JSON, max_size=4)
IDS = TEXT.filter(bool)


def fault(data: bytes, version: OcppVersion = V201, max_nesting: int = 64) -> FrameFault:
    with pytest.raises(FrameFault) as caught:
        parse(data, version, max_nesting)
    return caught.value


@given(st.binary() | st.binary().map(lambda noise: b'[2,"1","Heartbeat",' + noise), VERSIONS)
def test_noise_is_read_or_refused(data: bytes, version: OcppVersion) -> None:
    with suppress(FrameFault):
        parse(data, version)


@given(st.lists(JSON, max_size=7) | JSON, VERSIONS)
def test_json_that_is_no_frame_is_read_or_refused(frame: object, version: OcppVersion) -> None:
    with suppress(FrameFault):
        assert isinstance(parse(orjson.dumps(frame), version).message_id, str)


@given(IDS, TEXT, PAYLOADS, VERSIONS)
def test_what_is_written_is_read_back(
    message_id: str, action: str, payload: dict[str, object], version: OcppVersion
) -> None:
    assert parse(pack_call(message_id, action, payload), version) == Call(message_id, action, payload)
    assert parse(pack_result(message_id, payload), version) == CallResult(message_id, payload)


@given(IDS, TEXT)
def test_refusals_are_read_back_with_a_description_of_at_most_255(message_id: str, words: str) -> None:
    description = words * 50
    assert parse(pack_error(message_id, "GenericError", description, V201), V201) == CallError(
        message_id, "GenericError", description[:255], {}
    )
    assert parse(pack_result_error(message_id, "GenericError", description), V21) == CallResultError(
        message_id, "GenericError", description[:255], {}
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Hello",
        b'[2,"1","Heartbeat",{}',
        b'[2,"1","Heartbeat",{"a":NaN}]',
        b'[2,"1","Heartbeat",{"a":1e999}]',
        b'[2,"1","Heartbeat",{"a":' + b"9" * 400 + b"}]",
        b'[2,"1","Heartbeat",{"a":"\\ud800"}]',
        b'[2,"1","Heartbeat",{"a":"\xed\xa0\x80"}]',
        b'[2,"1","Heartbeat",{"a":"\xff"}]',
        b'[2,"1","Heartbeat",{"a":"\x00"}]',
        b'\xef\xbb\xbf[2,"1","Heartbeat",{}]',
        b"{}",
        b"[]",
        b"[2]",
        b'[2,7,"Heartbeat",{}]',
        b'[2,null,"Heartbeat",{}]',
        b'[2,"","Heartbeat",{}]',
    ],
)
def test_a_frame_whose_id_cannot_be_read_is_answered_under_minus_one(data: bytes) -> None:
    """2.1 part 4, 4.2.3."""
    refused = fault(data)
    assert (refused.code, refused.message_id, refused.answerable) == ("RpcFrameworkError", "-1", True)


@pytest.mark.parametrize("data", [b'[2,"9"]', b'[2,"9",7,{}]', b'[2,"9",null,{}]'])
def test_a_call_without_action_is_answered_under_its_id(data: bytes) -> None:
    refused = fault(data)
    assert (refused.code, refused.message_id, refused.answerable) == ("RpcFrameworkError", "9", True)


@pytest.mark.parametrize("payload", [b"[]", b'"x"', b"7", b"true"])
def test_a_payload_that_is_no_object_is_a_format_violation(payload: bytes) -> None:
    refused = fault(b'[2,"9","Heartbeat",' + payload + b"]")
    assert (refused.code, refused.message_id, refused.answerable) == ("FormatViolation", "9", True)


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b'[9,"9","Heartbeat",{}]', V201),
        (b'["2","9","Heartbeat",{}]', V201),
        (b'[true,"9",{}]', V201),
        (b'[null,"9",{}]', V21),
        (b'[[2],"9",{}]', V16),
        (b'[5,"9","GenericError","",{}]', V16),
        (b'[5,"9","GenericError","",{}]', V201),
        (b'[6,"9","NotifyPeriodicEventStream",{}]', V16),
        (b'[6,"9","NotifyPeriodicEventStream",{}]', V201),
    ],
)
def test_a_message_type_the_version_does_not_have_is_refused(data: bytes, version: OcppVersion) -> None:
    refused = fault(data, version)
    assert (refused.code, refused.message_id, refused.answerable) == ("MessageTypeNotSupported", "9", True)


@pytest.mark.parametrize(
    "data", [b"[3,7,{}]", b'[3,"9",[]]', b'[3,"9",7]', b'[4,7,"GenericError"]', b'[6,"9",7]', b'[6,"9","A",7]']
)
def test_only_a_call_may_be_answered_with_a_callerror(data: bytes) -> None:
    assert not fault(data, V21).answerable


def test_types_5_and_6_exist_in_2_1() -> None:
    assert parse(b'[5,"9","FormatViolation","why",{"a":1}]', V21) == CallResultError(
        "9", "FormatViolation", "why", {"a": 1}
    )
    assert parse(b'[6,"9","NotifyPeriodicEventStream",{"id":1}]', V21) == Send(
        "9", "NotifyPeriodicEventStream", {"id": 1}
    )


@pytest.mark.parametrize("version", OcppVersion)
def test_a_payload_of_null_or_none_is_an_empty_one(version: OcppVersion) -> None:
    assert (
        parse(b'[2,"9","Heartbeat",null]', version)
        == parse(b'[2,"9","Heartbeat"]', version)
        == Call("9", "Heartbeat", {})
    )
    assert parse(b'[3,"9",null]', version) == parse(b'[3,"9"]', version) == CallResult("9", {})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'[4,"9"]', CallError("9", "GenericError", "", {})),
        (b'[4,"9",null,null,null]', CallError("9", "GenericError", "", {})),
        (b'[4,"9",7,{},"x"]', CallError("9", "7", "", {})),
        (b'[4,"9","OccurenceConstraintViolation","no"]', CallError("9", "OccurenceConstraintViolation", "no", {})),
        (b'[4,"9","A","B",{"c":1},"more"]', CallError("9", "A", "B", {"c": 1})),
    ],
)
def test_a_sloppy_callerror_is_still_one(data: bytes, expected: CallError) -> None:
    assert parse(data, V16) == expected


def nested(depth: int) -> bytes:
    return b'[2,"9","DataTransfer",{"data":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}]"


@pytest.mark.parametrize("version", OcppVersion)
def test_nesting_is_capped(version: OcppVersion) -> None:
    assert parse(nested(8), version, max_nesting=8)
    refused = fault(nested(9), version, max_nesting=8)
    assert (refused.code, refused.message_id) == ("RpcFrameworkError", "-1")
    assert fault(b"[" * 1_000_000, version).code == "RpcFrameworkError"


def test_brackets_in_text_do_not_nest() -> None:
    text = '"\\' + "[{" * 40
    frame = json.dumps([2, "9", "DataTransfer", {"data": [text, {}, [], text]}]).encode()
    assert parse(frame, V201, max_nesting=4) == Call("9", "DataTransfer", {"data": [text, {}, [], text]})
    assert fault(frame, V201, max_nesting=3).code == "RpcFrameworkError"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (b"a\\u0000b", "a\ufffdb"),
        (b"\\\\\\u0000", "\\\ufffd"),
        (b"\\\\u0000", "\\u0000"),
        (b"\\\\\\\\u0000\\u0000", "\\\\u0000\ufffd"),
    ],
)
def test_a_nul_is_replaced_because_no_database_keeps_one(escaped: bytes, text: str) -> None:
    assert parse(b'[2,"9","DataTransfer",{"data":"' + escaped + b'"}]', V201) == Call(
        "9", "DataTransfer", {"data": text}
    )


@given(st.text())
def test_no_nul_ever_comes_in(text: str) -> None:
    try:
        message = parse(json.dumps([2, "9", "DataTransfer", {"data": text}]).encode(), V201)
    except FrameFault:
        assert any("\ud800" <= letter <= "\udfff" for letter in text)
    else:
        assert isinstance(message, Call)
        assert message.payload["data"] == text.replace("\0", "\ufffd")


def test_huge_whole_numbers_are_read_as_numbers() -> None:
    message = parse(b'[2,"9","DataTransfer",{"data":123456789012345678901234567890}]', V201)
    assert message == Call("9", "DataTransfer", {"data": 1.2345678901234568e29})


@pytest.mark.parametrize(
    ("code", "code_16"),
    [
        ("FormatViolation", "FormationViolation"),
        ("OccurrenceConstraintViolation", "OccurenceConstraintViolation"),
        ("MessageTypeNotSupported", "ProtocolError"),
        ("RpcFrameworkError", "FormationViolation"),
        ("NotImplemented", "NotImplemented"),
        ("NotSupported", "NotSupported"),
        ("InternalError", "InternalError"),
        ("PropertyConstraintViolation", "PropertyConstraintViolation"),
        ("TypeConstraintViolation", "TypeConstraintViolation"),
        ("SecurityError", "SecurityError"),
    ],
)
def test_codes_are_spelt_as_the_version_does(code: str, code_16: str) -> None:
    """OCPP-J 1.6 table 7 and errata; 2.1 part 4, table 9."""
    assert error_code(code, V16) == code_16
    assert error_code(code, V201) == error_code(code, V21) == code
    assert orjson.loads(pack_error("9", code, "", V16))[2] == code_16
