"""Commands in 2.x words reach a 1.6 station in its own words, and its answers come back in 2.x words."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import BadRequest, FrameFault
from actors.handlers.commands import COMMANDS
from actors.ocpp import schemas
from actors.ocpp.frames import Json, OcppVersion
from actors.ocpp.v16_commands import for_version, from_result, to_call

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
TOKEN = {"idToken": "04AABBCC", "type": "ISO14443"}


def profile(**changes: object) -> dict[str, Any]:
    return {
        "id": 7,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule()],
    } | changes


def schedule(**changes: object) -> dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": 16.0, "numberPhases": 3}, {"startPeriod": 900, "limit": 10.0}]
    fields = {"id": 1, "startSchedule": "2026-01-01T00:00:00Z", "duration": 3600, "chargingRateUnit": "A"}
    return {**fields, "chargingSchedulePeriod": periods} | changes


PROFILE_16 = {
    "chargingProfileId": 7,
    "stackLevel": 1,
    "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {
        "startSchedule": "2026-01-01T00:00:00Z",
        "duration": 3600,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 16.0, "numberPhases": 3},
            {"startPeriod": 900, "limit": 10.0},
        ],
    },
}


def variable(component: str, name: str, instance: str | None = None, **more: object) -> dict[str, Any]:
    named = {"name": name} if instance is None else {"name": name, "instance": instance}
    return {"component": {"name": component}, "variable": named, **more}


HEARTBEAT = variable("OCPPCommCtrlr", "HeartbeatInterval")
VENDOR_KEY = variable("OCPP16", "AcmeLedColour")

# action, 2.x payload, 1.6 action, 1.6 payload
REQUESTS: list[tuple[str, dict[str, Any], str, dict[str, Any] | None]] = [
    (
        "RequestStartTransaction",
        {"idToken": TOKEN, "remoteStartId": 5, "evseId": 2, "groupIdToken": TOKEN},
        "RemoteStartTransaction",
        {"idTag": "04AABBCC", "connectorId": 2},
    ),
    (
        "RequestStartTransaction",
        {"idToken": TOKEN, "remoteStartId": 5, "chargingProfile": profile()},
        "RemoteStartTransaction",
        {"idTag": "04AABBCC", "chargingProfile": PROFILE_16},
    ),
    ("RequestStopTransaction", {"transactionId": "42"}, "RemoteStopTransaction", {"transactionId": 42}),
    (
        "GetVariables",
        {"getVariableData": [HEARTBEAT, VENDOR_KEY, variable("OCPP16", "HeartbeatInterval", attributeType="Actual")]},
        "GetConfiguration",
        {"key": ["HeartbeatInterval", "AcmeLedColour"]},
    ),
    (
        "GetVariables",
        {
            "getVariableData": [
                variable("SampledDataCtrlr", "TxUpdatedInterval"),
                variable("SampledDataCtrlr", "TxUpdatedMeasurands"),
                variable("OCPPCommCtrlr", "MessageAttempts", "TransactionEvent"),
            ]
        },
        "GetConfiguration",
        {"key": ["MeterValueSampleInterval", "MeterValuesSampledData", "TransactionMessageAttempts"]},
    ),
    (
        "SetVariables",
        {"setVariableData": [{**HEARTBEAT, "attributeValue": "300"}]},
        "ChangeConfiguration",
        {"key": "HeartbeatInterval", "value": "300"},
    ),
    ("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}, "GetConfiguration", {}),
    ("TriggerMessage", {"requestedMessage": "BootNotification"}, "TriggerMessage", None),
    (
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "evse": {"id": 2, "connectorId": 1}},
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "connectorId": 2},
    ),
    ("Reset", {"type": "Immediate"}, "Reset", {"type": "Hard"}),
    ("Reset", {"type": "OnIdle"}, "Reset", {"type": "Soft"}),
    (
        "ChangeAvailability",
        {"operationalStatus": "Inoperative"},
        "ChangeAvailability",
        {"connectorId": 0, "type": "Inoperative"},
    ),
    (
        "ChangeAvailability",
        {"operationalStatus": "Operative", "evse": {"id": 3}},
        "ChangeAvailability",
        {"connectorId": 3, "type": "Operative"},
    ),
    ("UnlockConnector", {"evseId": 2, "connectorId": 1}, "UnlockConnector", {"connectorId": 2}),
    (
        "SetChargingProfile",
        {"evseId": 1, "chargingProfile": profile(transactionId="42")},
        "SetChargingProfile",
        {"connectorId": 1, "csChargingProfiles": {**PROFILE_16, "transactionId": 42}},
    ),
    (
        "SetChargingProfile",
        {
            "evseId": 0,
            "chargingProfile": profile(
                chargingProfilePurpose="ChargingStationMaxProfile",
                chargingProfileKind="Recurring",
                recurrencyKind="Daily",
                validFrom="2026-01-01T00:00:00Z",
            ),
        },
        "SetChargingProfile",
        {
            "connectorId": 0,
            "csChargingProfiles": {
                **PROFILE_16,
                "chargingProfilePurpose": "ChargePointMaxProfile",
                "chargingProfileKind": "Recurring",
                "recurrencyKind": "Daily",
                "validFrom": "2026-01-01T00:00:00Z",
            },
        },
    ),
    ("ClearChargingProfile", {"chargingProfileId": 7}, "ClearChargingProfile", {"id": 7}),
    (
        "ClearChargingProfile",
        {
            "chargingProfileCriteria": {
                "evseId": 0,
                "chargingProfilePurpose": "ChargingStationMaxProfile",
                "stackLevel": 2,
            }
        },
        "ClearChargingProfile",
        {"connectorId": 0, "chargingProfilePurpose": "ChargePointMaxProfile", "stackLevel": 2},
    ),
    (
        "GetCompositeSchedule",
        {"evseId": 1, "duration": 600, "chargingRateUnit": "W"},
        "GetCompositeSchedule",
        {"connectorId": 1, "duration": 600, "chargingRateUnit": "W"},
    ),
    ("DataTransfer", {"vendorId": "Acme", "messageId": "Led", "data": "blue"}, "DataTransfer", None),
    (
        "DataTransfer",
        {"vendorId": "Acme", "data": {"led": ["blue"]}},
        "DataTransfer",
        {"vendorId": "Acme", "data": '{"led":["blue"]}'},
    ),
]


@pytest.mark.parametrize(("action", "payload", "action_16", "expected"), REQUESTS)
def test_a_command_reaches_the_station_in_words_of_1_6(
    action: str, payload: Json, action_16: str, expected: Json | None
) -> None:
    assert schemas.check(V201, action, payload, strict=True) == []
    before = copy.deepcopy(payload)

    sent = to_call(action, payload)

    assert sent == (action_16, payload if expected is None else expected)
    assert schemas.check(V16, *sent, strict=True) == []
    assert payload == before
    assert for_version(action, payload, V16) == sent


def test_every_command_has_words_of_1_6() -> None:
    assert {action for action, *_ in REQUESTS} == set(COMMANDS)


# action, 2.x payload, what the message must name
IMPOSSIBLE: list[tuple[str, dict[str, Any], str]] = [
    ("GetLog", {}, "GetLog"),
    ("RequestStartTransaction", {"idToken": {**TOKEN, "idToken": "x" * 21}, "remoteStartId": 1}, "20 characters"),
    (
        "RequestStartTransaction",
        {"idToken": {"idToken": "", "type": "NoAuthorization"}, "remoteStartId": 1},
        r"idToken\.idToken",
    ),
    ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 1, "evseId": 0}, "evseId"),
    (
        "RequestStartTransaction",
        {"idToken": TOKEN, "remoteStartId": 1, "chargingProfile": profile(chargingProfilePurpose="TxDefaultProfile")},
        "TxProfile",
    ),
    ("RequestStopTransaction", {"transactionId": "4f1a"}, "4f1a"),
    ("RequestStopTransaction", {"transactionId": "-1"}, "transactionId"),
    ("RequestStopTransaction", {"transactionId": str(2**31)}, "transactionId"),
    ("GetVariables", {"getVariableData": [variable("TxCtrlr", "TxStartPoint")]}, r"TxCtrlr\.TxStartPoint"),
    ("GetVariables", {"getVariableData": [{**HEARTBEAT, "attributeType": "MaxSet"}]}, "MaxSet"),
    (
        "GetVariables",
        {"getVariableData": [{**HEARTBEAT, "component": {"name": "OCPPCommCtrlr", "evse": {"id": 1}}}]},
        "whole station",
    ),
    (
        "SetVariables",
        {"setVariableData": [{**HEARTBEAT, "attributeValue": "1"}, {**VENDOR_KEY, "attributeValue": "red"}]},
        "one command for each",
    ),
    ("SetVariables", {"setVariableData": [{**HEARTBEAT, "attributeValue": "1" * 501}]}, "attributeValue"),
    ("TriggerMessage", {"requestedMessage": "SignV2GCertificate"}, "SignV2GCertificate"),
    ("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": {"id": 0}}, r"evse\.id"),
    ("Reset", {"type": "OnIdle", "evseId": 1}, "evseId"),
    ("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": -1}}, r"evse\.id"),
    ("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 1, "connectorId": 2}}, "connectorId"),
    ("UnlockConnector", {"evseId": 1, "connectorId": 2}, "connectorId"),
    (
        "SetChargingProfile",
        {"evseId": 1, "chargingProfile": profile(chargingProfilePurpose="ChargingStationExternalConstraints")},
        "ChargingStationExternalConstraints",
    ),
    (
        "SetChargingProfile",
        {"evseId": 1, "chargingProfile": profile(chargingSchedule=[schedule(), schedule(id=2)])},
        "one schedule, not 2",
    ),
    (
        "SetChargingProfile",
        {
            "evseId": 1,
            "chargingProfile": profile(
                chargingSchedule=[
                    schedule(
                        chargingSchedulePeriod=[{"startPeriod": 0, "limit": 6, "numberPhases": 1, "phaseToUse": 2}]
                    )
                ]
            ),
        },
        "phaseToUse",
    ),
    ("SetChargingProfile", {"evseId": 1, "chargingProfile": profile(transactionId="a-b")}, "a-b"),
    ("ClearChargingProfile", {}, "chargingProfileId"),
    ("ClearChargingProfile", {"chargingProfileCriteria": {}}, "criteria"),
]


@pytest.mark.parametrize(("action", "payload", "named"), IMPOSSIBLE)
def test_what_1_6_has_no_word_for_is_refused_by_name(action: str, payload: Json, named: str) -> None:
    with pytest.raises(BadRequest, match=named):
        to_call(action, payload)


STATUS_WORDS = [
    ("RequestStartTransaction", "RemoteStartTransaction", ["Accepted", "Rejected"]),
    ("RequestStopTransaction", "RemoteStopTransaction", ["Accepted", "Rejected"]),
    ("TriggerMessage", "TriggerMessage", ["Accepted", "Rejected", "NotImplemented"]),
    ("Reset", "Reset", ["Accepted", "Rejected"]),
    ("ChangeAvailability", "ChangeAvailability", ["Accepted", "Rejected", "Scheduled"]),
    ("UnlockConnector", "UnlockConnector", ["Unlocked", "UnlockFailed"]),
    ("SetChargingProfile", "SetChargingProfile", ["Accepted", "Rejected"]),
    ("ClearChargingProfile", "ClearChargingProfile", ["Accepted", "Unknown"]),
    ("GetCompositeSchedule", "GetCompositeSchedule", ["Accepted", "Rejected"]),
    ("DataTransfer", "DataTransfer", ["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"]),
]


def result(action: str, answer: dict[str, Any], request: dict[str, Any], action_16: str | None = None) -> Json:
    """Check the answer, translate it, and check what it became."""
    assert schemas.check(V16, action_16 or action, answer, answer=True, strict=True) == []
    translated = from_result(action, answer, request)
    assert schemas.check(V201, action, translated, answer=True, strict=True) == []
    return translated


@pytest.mark.parametrize(("action", "action_16", "words"), STATUS_WORDS)
def test_a_status_known_to_both_comes_back_as_it_is(action: str, action_16: str, words: list[str]) -> None:
    for word in words:
        assert result(action, {"status": word}, {}, action_16) == {"status": word}


@pytest.mark.parametrize(
    ("action", "status"), [("UnlockConnector", "UnlockFailed"), ("SetChargingProfile", "Rejected")]
)
def test_not_supported_is_told_as_the_reason(action: str, status: str) -> None:
    answer = result(action, {"status": "NotSupported"}, {})
    assert answer == {"status": status, "statusInfo": {"reasonCode": "UnsupportedRequest"}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Accepted", "Accepted"),
        ("Rejected", "Rejected"),
        ("RebootRequired", "RebootRequired"),
        ("NotSupported", "UnknownVariable"),
    ],
)
def test_a_changed_key_answers_for_the_variable_that_was_set(status: str, expected: str) -> None:
    request = {"setVariableData": [{**HEARTBEAT, "attributeValue": "300"}]}
    answer = result("SetVariables", {"status": status}, request, "ChangeConfiguration")
    assert answer == {"setVariableResult": [{**HEARTBEAT, "attributeStatus": expected}]}


def test_keys_answer_for_the_variables_that_were_asked() -> None:
    unset, unknown = variable("OCPP16", "AuthorizationKey"), variable("OCPP16", "Nonsense")
    request = {"getVariableData": [HEARTBEAT, unset, unknown, variable("OCPP16", "HeartbeatInterval")]}
    answer: dict[str, Any] = {
        "configurationKey": [
            {"key": "AuthorizationKey", "readonly": False},
            {"key": "heartbeatinterval", "readonly": False, "value": "300"},
        ],
        "unknownKey": ["Nonsense"],
    }
    assert result("GetVariables", answer, request, "GetConfiguration") == {
        "getVariableResult": [
            {**HEARTBEAT, "attributeStatus": "Accepted", "attributeValue": "300"},
            {**unset, "attributeStatus": "Accepted", "attributeValue": ""},
            {**unknown, "attributeStatus": "UnknownVariable"},
            {**variable("OCPP16", "HeartbeatInterval"), "attributeStatus": "Accepted", "attributeValue": "300"},
        ]
    }


def test_a_base_report_brings_all_keys_in_its_answer() -> None:
    keys = [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}]
    answer = result("GetBaseReport", {"configurationKey": keys}, {}, "GetConfiguration")
    assert answer == {"status": "Accepted", "customData": {"vendorId": "CloudBay", "configurationKey": keys}}
    assert result("GetBaseReport", {}, {}, "GetConfiguration") == {"status": "EmptyResultSet"}


COMPOSITE: dict[str, Any] = {"evseId": 2, "duration": 600}


def test_a_composite_schedule_comes_back_whole() -> None:
    schedule_16 = {
        "chargingRateUnit": "W",
        "minChargingRate": 1.5,
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 7400.5, "numberPhases": 1}],
    }
    answer: dict[str, Any] = {
        "status": "Accepted",
        "connectorId": 2,
        "scheduleStart": "2026-01-01T00:00:00Z",
        "chargingSchedule": schedule_16,
    }
    assert result("GetCompositeSchedule", answer, COMPOSITE) == {
        "status": "Accepted",
        "schedule": {
            "evseId": 2,
            "duration": 600,
            "scheduleStart": "2026-01-01T00:00:00Z",
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 7400.5, "numberPhases": 1}],
        },
    }


def test_a_composite_schedule_without_its_start_is_a_fault() -> None:
    answer: dict[str, Any] = {
        "status": "Accepted",
        "chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1}]},
    }
    with pytest.raises(FrameFault, match="scheduleStart") as fault:
        from_result("GetCompositeSchedule", answer, COMPOSITE)
    assert fault.value.code == "OccurrenceConstraintViolation"


def test_the_data_of_a_vendor_comes_back() -> None:
    assert result("DataTransfer", {"status": "Accepted", "data": "ok"}, {}) == {"status": "Accepted", "data": "ok"}


LIMITS = st.floats(min_value=0, max_value=1e9) | st.integers(min_value=0, max_value=10**9)


def with_limit(limit: float) -> dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": limit}]
    return profile(chargingSchedule=[schedule(chargingSchedulePeriod=periods, minChargingRate=limit)])


def limit_of(charging_profile: Any) -> float:
    schedules = charging_profile["chargingSchedule"]
    only = schedules[0] if isinstance(schedules, list) else schedules
    assert only["minChargingRate"] == only["chargingSchedulePeriod"][0]["limit"]
    return float(only["minChargingRate"])


@given(LIMITS)
def test_a_limit_is_cut_to_one_decimal_and_never_grows(limit: float) -> None:
    payload = {"evseId": 1, "chargingProfile": with_limit(limit)}

    action, call = for_version("SetChargingProfile", payload, V16)
    _, passed = for_version("SetChargingProfile", payload, V201)

    assert schemas.check(V16, action, call, strict=True) == []
    sent = limit_of(call["csChargingProfiles"])
    assert sent == limit_of(passed["chargingProfile"]) == round(sent, 1)
    assert limit - 0.1 - 1e-6 < sent <= limit + 1e-6
    assert limit_of(payload["chargingProfile"]) == limit


@pytest.mark.parametrize(
    ("limit", "version", "sent"),
    [
        (32.99, V201, 32.9),
        (64.1, V201, 64.1),
        (1e308, V201, 1e308),
        (-3.29, V201, -3.2),
        (16, V201, 16),
        (32.99, V21, 32.99),
        (0.000249, V21, 0.000249),
        (1.23456789, V21, 1.234567),
    ],
)
def test_limits_have_the_decimals_of_the_version(limit: float, version: OcppVersion, sent: float) -> None:
    for action in ("SetChargingProfile", "RequestStartTransaction"):
        name, payload = for_version(action, {"chargingProfile": with_limit(limit)}, version)
        assert (name, limit_of(payload["chargingProfile"])) == (action, sent)


def test_2_x_stations_get_other_commands_as_they_are() -> None:
    payload: Json = {"type": "OnIdle"}
    assert for_version("Reset", payload, V201) == ("Reset", payload)
