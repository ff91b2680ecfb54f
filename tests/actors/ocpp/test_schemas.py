"""Validation: the harmless is forgiven and recorded, the rest refused with the exact code and without the value."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import FrameFault
from actors.handlers.routes import ROUTES
from actors.ocpp import schemas, v16
from actors.ocpp.frames import OcppVersion, error_code

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
T = "2026-01-01T00:00:00Z"
CARD = "04AABBCC112233"

STATUS: dict[str, Any] = {"timestamp": T, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
BOOT: dict[str, Any] = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
STARTED: dict[str, Any] = {
    "eventType": "Started",
    "timestamp": T,
    "triggerReason": "Authorized",
    "seqNo": 0,
    "transactionInfo": {"transactionId": "t1", "chargingState": "Charging"},
    "evse": {"id": 1, "connectorId": 1},
    "idToken": {"idToken": CARD, "type": "ISO14443"},
    "meterValue": [{"timestamp": T, "sampledValue": [{"value": 1.5, "unitOfMeasure": {"unit": "kWh"}}]}],
}
VALID_2X: dict[str, dict[str, Any]] = {
    "BootNotification": BOOT,
    "Heartbeat": {},
    "StatusNotification": STATUS,
    "Authorize": {"idToken": {"idToken": CARD, "type": "ISO14443"}},
    "TransactionEvent": STARTED,
    "MeterValues": {"evseId": 1, "meterValue": STARTED["meterValue"]},
    "NotifyEvent": {
        "generatedAt": T,
        "seqNo": 0,
        "eventData": [
            {
                "eventId": 1,
                "timestamp": T,
                "trigger": "Delta",
                "actualValue": "x",
                "eventNotificationType": "HardWiredNotification",
                "component": {"name": "EVSE", "evse": {"id": 1}},
                "variable": {"name": "AvailabilityState"},
            }
        ],
    },
    "NotifyReport": {
        "requestId": 1,
        "generatedAt": T,
        "seqNo": 0,
        "reportData": [
            {
                "component": {"name": "EVSE"},
                "variable": {"name": "Power"},
                "variableAttribute": [{"value": "1", "mutability": "ReadOnly"}],
            }
        ],
    },
    "SecurityEventNotification": {"type": "SettingSystemTime", "timestamp": T},
    "DataTransfer": {"vendorId": "Acme", "messageId": "Led", "data": {"led": [1]}},
}
VALID_16: dict[str, dict[str, Any]] = {
    "BootNotification": {"chargePointVendor": "V", "chargePointModel": "M"},
    "Heartbeat": {},
    "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": T},
    "Authorize": {"idTag": CARD},
    "StartTransaction": {"connectorId": 1, "idTag": CARD, "meterStart": 10, "timestamp": T},
    "StopTransaction": {"transactionId": 1, "meterStop": 20, "timestamp": T, "reason": "Local", "idTag": CARD},
    "MeterValues": {
        "connectorId": 1,
        "transactionId": 1,
        "meterValue": [{"timestamp": T, "sampledValue": [{"value": "1.5", "unit": "kWh"}]}],
    },
    "DataTransfer": {"vendorId": "Acme", "data": "x"},
}


def changed(payload: dict[str, Any], path: str, *value: object) -> dict[str, Any]:
    """Return a copy with the value at a slashed `path` replaced, or removed when none is given."""
    result = copy.deepcopy(payload)
    here: Any = result
    *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in parents:
        here = here[step]
    if value:
        here[last] = value[0]
    else:
        del here[last]
    return result


def at(payload: Any, path: str) -> object:
    for step in path.split("/"):
        if isinstance(payload, dict) and step not in payload:
            return None
        payload = payload[int(step) if step.isdigit() else step]
    return payload


def refused(version: OcppVersion, action: str, payload: dict[str, Any], *, strict: bool = False) -> FrameFault:
    with pytest.raises(FrameFault) as caught:
        schemas.check(version, action, payload, strict=strict)
    return caught.value


@pytest.mark.parametrize(("version", "valid"), [(V16, VALID_16), (V201, VALID_2X), (V21, VALID_2X)])
def test_valid_requests_pass_unchanged(version: OcppVersion, valid: dict[str, dict[str, Any]]) -> None:
    for action, payload in valid.items():
        given_payload = copy.deepcopy(payload)
        assert schemas.check(version, action, given_payload, strict=True) == [], action
        assert given_payload == payload


# keyword, version, action, payload, the place of the value afterwards, that value, the code in strict mode
ROWS: list[tuple[str, OcppVersion, str, dict[str, Any], str, object, str]] = [
    (
        "maxLength",
        V201,
        "BootNotification",
        changed(BOOT, "chargingStation/model", "M" * 21),
        "chargingStation/model",
        "M" * 21,
        "PropertyConstraintViolation",
    ),
    (
        "maxItems",
        V201,
        "Authorize",
        {
            **VALID_2X["Authorize"],
            "iso15118CertificateHashData": [
                {
                    "hashAlgorithm": "SHA256",
                    "issuerNameHash": "a",
                    "issuerKeyHash": "b",
                    "serialNumber": "c",
                    "responderURL": "d",
                }
            ]
            * 5,
        },
        "iso15118CertificateHashData/4/serialNumber",
        "c",
        "OccurrenceConstraintViolation",
    ),
    ("additionalProperties", V201, "Heartbeat", {"uptime": 5}, "uptime", 5, "FormatViolation"),
    ("type", V201, "StatusNotification", changed(STATUS, "evseId", " 2 "), "evseId", 2, "TypeConstraintViolation"),
    ("type", V201, "StatusNotification", changed(STATUS, "evseId", 2.4), "evseId", 2, "TypeConstraintViolation"),
    ("type", V201, "TransactionEvent", {**STARTED, "offline": "True"}, "offline", True, "TypeConstraintViolation"),
    (
        "type",
        V201,
        "TransactionEvent",
        changed(STARTED, "meterValue/0/sampledValue/0/value", "7.25"),
        "meterValue/0/sampledValue/0/value",
        7.25,
        "TypeConstraintViolation",
    ),
    (
        "type",
        V201,
        "TransactionEvent",
        {**STARTED, "reservationId": None},
        "reservationId",
        None,
        "TypeConstraintViolation",
    ),
    (
        "type",
        V201,
        "TransactionEvent",
        changed(STARTED, "transactionInfo/transactionId", 12),
        "transactionInfo/transactionId",
        "12",
        "TypeConstraintViolation",
    ),
    (
        "minItems",
        V201,
        "TransactionEvent",
        {**STARTED, "meterValue": []},
        "meterValue",
        None,
        "OccurrenceConstraintViolation",
    ),
    (
        "enum",
        V201,
        "StatusNotification",
        changed(STATUS, "connectorStatus", " available"),
        "connectorStatus",
        "Available",
        "PropertyConstraintViolation",
    ),
    (
        "enum",
        V201,
        "TransactionEvent",
        {**STARTED, "triggerReason": "AcmeButton"},
        "triggerReason",
        "AcmeButton",
        "PropertyConstraintViolation",
    ),
    (
        "required",
        V201,
        "BootNotification",
        changed(BOOT, "reason"),
        "reason",
        "Unknown",
        "OccurrenceConstraintViolation",
    ),
    (
        "required",
        V201,
        "BootNotification",
        changed(BOOT, "chargingStation/vendorName"),
        "chargingStation/vendorName",
        "",
        "OccurrenceConstraintViolation",
    ),
    (
        "required",
        V201,
        "StatusNotification",
        changed(STATUS, "connectorId"),
        "connectorId",
        1,
        "OccurrenceConstraintViolation",
    ),
    (
        "required",
        V16,
        "StatusNotification",
        changed(VALID_16["StatusNotification"], "errorCode"),
        "errorCode",
        "NoError",
        "OccurrenceConstraintViolation",
    ),
    (
        "format",
        V201,
        "StatusNotification",
        changed(STATUS, "timestamp", "2026-01-01 02:00:00"),
        "timestamp",
        "2026-01-01T02:00:00+00:00",
        "PropertyConstraintViolation",
    ),
    (
        "format",
        V16,
        "StatusNotification",
        changed(VALID_16["StatusNotification"], "timestamp", "2026-01-01t00:00:00z"),
        "timestamp",
        "2026-01-01T00:00:00+00:00",
        "PropertyConstraintViolation",
    ),
    ("type", V16, "Authorize", {"idTag": 12345}, "idTag", "12345", "TypeConstraintViolation"),
]


@pytest.mark.parametrize(("keyword", "version", "action", "payload", "place", "value", "code"), ROWS)
def test_a_harmless_violation_is_forgiven_and_recorded_but_refused_in_strict_mode(
    keyword: str, version: OcppVersion, action: str, payload: dict[str, Any], place: str, value: object, code: str
) -> None:
    fault = refused(version, action, copy.deepcopy(payload), strict=True)
    assert fault.code == code

    payload = copy.deepcopy(payload)
    violations = schemas.check(version, action, payload)

    assert keyword in [violation.keyword for violation in violations]
    assert at(payload, place) == value
    assert type(at(payload, place)) is type(value)


def test_more_decimals_than_allowed_are_kept() -> None:
    """The one schema with a step, in an answer of a 1.6 station."""
    period = {"startPeriod": 0, "limit": 7.123}
    answer: dict[str, Any] = {
        "status": "Accepted",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [period]},
    }
    with pytest.raises(FrameFault) as caught:
        schemas.check(V16, "GetCompositeSchedule", answer, answer=True, strict=True)
    assert caught.value.code == "PropertyConstraintViolation"
    assert [v.keyword for v in schemas.check(V16, "GetCompositeSchedule", answer, answer=True)] == ["multipleOf"]
    assert period["limit"] == 7.123


def test_each_row_of_the_table_is_proven() -> None:
    assert {row[0] for row in ROWS} | {"multipleOf"} == set(schemas.HARMLESS)


def test_a_null_word_counts_as_absent() -> None:
    payload = changed(STARTED, "transactionInfo/chargingState", None)
    schemas.check(V201, "TransactionEvent", payload)
    assert "chargingState" not in payload["transactionInfo"]


@pytest.mark.parametrize("custom", [{"acme": 1}, "acme", {"vendorId": 7, "deep": {"er": []}}])
def test_custom_data_never_hurts(custom: object) -> None:
    payload = {**STATUS, "customData": custom}
    assert schemas.check(V201, "StatusNotification", payload)
    msgspec.convert(payload, ROUTES["StatusNotification"].request, strict=False)


def test_several_violations_are_recorded_each_with_its_place() -> None:
    payload = changed(changed(BOOT, "reason", "powerup"), "chargingStation/model", None)
    violations = schemas.check(V201, "BootNotification", payload)
    assert {(v.keyword, v.path) for v in violations} == {
        ("enum", "reason"),
        ("type", "chargingStation/model"),
        ("required", "chargingStation"),
    }
    assert payload == {"reason": "PowerUp", "chargingStation": {"model": "", "vendorName": "V"}}


def test_a_word_that_only_describes_is_kept_when_it_is_unknown() -> None:
    """The event, and the energy in it, must not be lost for a token type or an error code of the vendor's own."""
    event = changed(STARTED, "idToken", {"idToken": "CARD", "type": "Plate"})
    assert [v.path for v in schemas.check(V201, "TransactionEvent", event)] == ["idToken/type"]
    assert event["idToken"]["type"] == "Plate"
    status = {"connectorId": 1, "errorCode": "HouseOnFire", "status": "Faulted"}
    assert [v.path for v in schemas.check(V16, "StatusNotification", status)] == ["errorCode"]


@pytest.mark.parametrize(
    ("version", "action", "payload", "code", "place"),
    [
        (V201, "BootNotification", {}, "OccurrenceConstraintViolation", "payload"),
        (V201, "StatusNotification", changed(STATUS, "evseId", True), "TypeConstraintViolation", "evseId"),
        (V201, "StatusNotification", changed(STATUS, "evseId", "one"), "TypeConstraintViolation", "evseId"),
        (V201, "StatusNotification", changed(STATUS, "evseId", "inf"), "TypeConstraintViolation", "evseId"),
        (V201, "StatusNotification", changed(STATUS, "evseId", {}), "TypeConstraintViolation", "evseId"),
        (V201, "StatusNotification", changed(STATUS, "evseId", None), "OccurrenceConstraintViolation", "payload"),
        (
            V201,
            "StatusNotification",
            changed(STATUS, "connectorStatus", "Burning"),
            "PropertyConstraintViolation",
            "connectorStatus",
        ),
        (
            V201,
            "StatusNotification",
            changed(STATUS, "timestamp", "yesterday"),
            "PropertyConstraintViolation",
            "timestamp",
        ),
        (
            V201,
            "TransactionEvent",
            changed(STARTED, "transactionInfo/transactionId", "t" * (schemas.MAX_KEPT_TEXT + 1)),
            "PropertyConstraintViolation",
            "transactionInfo/transactionId",
        ),
        (V201, "TransactionEvent", changed(STARTED, "seqNo"), "OccurrenceConstraintViolation", "payload"),
        (V201, "MeterValues", {"evseId": 1, "meterValue": []}, "OccurrenceConstraintViolation", "payload"),
        (V201, "MeterValues", {"evseId": 1, "meterValue": [None]}, "TypeConstraintViolation", "meterValue/0"),
        (V16, "MeterValues", {"connectorId": 1, "meterValue": []}, "OccurrenceConstraintViolation", "payload"),
        (V16, "StartTransaction", {}, "OccurrenceConstraintViolation", "payload"),
    ],
)
def test_what_is_not_harmless_is_refused_with_its_code_and_place(
    version: OcppVersion, action: str, payload: dict[str, Any], code: str, place: str
) -> None:
    fault = refused(version, action, copy.deepcopy(payload))
    assert (fault.code, fault.description.partition(":")[0]) == (code, place)


def test_1_6_spells_the_codes_its_own_way() -> None:
    assert error_code(refused(V16, "StartTransaction", {}).code, V16) == "OccurenceConstraintViolation"
    assert error_code(refused(V16, "Heartbeat", {"a": 1}, strict=True).code, V16) == "FormationViolation"


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z"])
def test_a_moment_that_no_database_holds_is_refused(stamp: str) -> None:
    for version, payload in ((V201, STATUS), (V16, VALID_16["StatusNotification"])):
        fault = refused(version, "StatusNotification", {**payload, "timestamp": stamp})
        assert fault.code == "PropertyConstraintViolation"


@pytest.mark.parametrize("version", OcppVersion)
@pytest.mark.parametrize(
    "action", ["Foo", "", "../BootNotification", "heartbeat", "HeartbeatResponse", "HeartbeatRequest"]
)
def test_an_unknown_action_is_not_implemented(version: OcppVersion, action: str) -> None:
    assert refused(version, action, {}).code == "NotImplemented"
    assert not schemas.known(version, action)


def test_actions_are_known_by_version() -> None:
    assert schemas.known(V16, "StartTransaction")
    assert not schemas.known(V201, "StartTransaction")
    assert schemas.known(V201, "TransactionEvent")
    assert not schemas.known(V201, "NotifySettlement")
    assert schemas.known(V21, "NotifySettlement")


def test_made_up_actions_fill_no_cache() -> None:
    compiled = schemas._compiled.cache_info().currsize
    for number in range(50):
        refused(V201, f"Foo{number}", {})
    assert schemas._compiled.cache_info().currsize == compiled


@pytest.mark.parametrize(
    ("version", "action", "payload"),
    [
        (V16, "Authorize", {"idTag": [CARD]}),
        (V16, "Authorize", {"idTag": {"id": CARD}}),
        (V16, "Authorize", {"idTag": CARD * 2}),
        (V16, "StartTransaction", {**VALID_16["StartTransaction"], "meterStart": CARD}),
        (V16, "StartTransaction", {**VALID_16["StartTransaction"], "timestamp": CARD}),
        (V201, "Authorize", {"idToken": CARD}),
        (V201, "Authorize", {"idToken": {"idToken": CARD, "type": CARD}}),
        (V201, "Authorize", {"idToken": {"idToken": CARD * 9, "type": "Central"}}),
        (V201, "TransactionEvent", {**STARTED, "eventType": CARD}),
        (V201, "TransactionEvent", {**STARTED, "idToken": [{"idToken": CARD}]}),
    ],
)
def test_the_text_of_a_fault_never_holds_a_card_number(
    version: OcppVersion, action: str, payload: dict[str, Any]
) -> None:
    assert CARD not in refused(version, action, copy.deepcopy(payload), strict=True).description
    try:
        recorded = schemas.check(version, action, copy.deepcopy(payload))
    except FrameFault as fault:
        recorded = [schemas.Violation(fault.code, "", fault.description)]
    assert CARD not in str(recorded)


def paths(value: object, prefix: str = "") -> Iterator[str]:
    """Name every place in a payload."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield f"{prefix}{name}"
        yield from paths(inner, f"{prefix}{name}/")


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        ["1", "-1.5", "1e999", "nan", "true", "started", T, "2026-01-01", "2016-12-31T23:59:60Z", "x" * 600]
    ),
    st.datetimes(timezones=st.timezones() | st.none()).map(lambda moment: moment.isoformat()),
    st.sampled_from([[], {}, [None], [[]], {"a": 1}]),
)


@st.composite
def mutated(draw: st.DrawFn, valid: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Draw a valid request with one to three places replaced, removed or added."""
    action = draw(st.sampled_from(sorted(set(valid) - {"Heartbeat"})))
    payload = copy.deepcopy(valid[action])
    for _ in range(draw(st.integers(1, 3))):
        places = sorted(paths(payload))
        if not places:
            break
        place = draw(st.sampled_from(places))
        if place.rpartition("/")[2].isdigit() or draw(st.integers(0, 2)):
            payload = changed(payload, place, copy.deepcopy(draw(ODD)))
        elif draw(st.booleans()):
            payload = changed(payload, place)
        else:
            payload = changed(payload, place + "X", copy.deepcopy(draw(ODD)))
    return action, payload


@given(mutated(VALID_2X), st.sampled_from([V201, V21]), st.booleans())
def test_a_mutated_request_is_refused_or_becomes_a_message(
    request: tuple[str, dict[str, Any]], version: OcppVersion, strict: bool
) -> None:
    action, payload = request
    try:
        schemas.check(version, action, payload, strict=strict)
        message = msgspec.convert(payload, ROUTES[action].request, strict=False)
    except (FrameFault, msgspec.ValidationError):
        return
    msgspec.json.encode(message)


@given(mutated(VALID_16), st.booleans())
def test_a_mutated_request_of_1_6_is_refused_or_becomes_a_message(
    request: tuple[str, dict[str, Any]], strict: bool
) -> None:
    action, payload = request
    try:
        schemas.check(V16, action, payload, strict=strict)
        message = v16.to_request(action, payload)
    except FrameFault:
        return
    encoded = msgspec.json.encode(message)
    assert msgspec.json.decode(encoded, type=type(message)) == message
