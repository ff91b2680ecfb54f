"""Commands for a station in the words of its version: 2.x words in, and answers back in 2.x words.

Requests are valid by the 2.0.1 schema when they come here, answers by the 1.6 schema. EVSE n is connector n, as in
`actors.ocpp.v16`. What only informs (group, token type) is left out for 1.6; what would change the effect is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from actors.errors import BadRequest, FrameFault
from actors.ocpp.frames import Json, OcppVersion
from actors.ocpp.limits import truncated
from actors.ocpp.v16_keys import key_of


def for_version(action: str, payload: Json, version: OcppVersion) -> tuple[str, Json]:
    """Return the action and payload to send to a station of `version`; `payload` is not changed.

    Raises BadRequest when the version has nothing like it.
    """
    if version is OcppVersion.V16:
        return to_call(action, payload)
    profile = payload.get("chargingProfile")
    if isinstance(profile, dict):
        payload = {**payload, "chargingProfile": truncated(profile, version)}
    return action, payload


def to_call(action: str, payload: Json) -> tuple[str, Json]:
    """Translate a command into its 1.6 action and payload.

    Raises BadRequest naming the field or value for which 1.6 has no word.
    """
    translator = _TRANSLATORS.get(action)
    if translator is None:
        raise BadRequest(f"OCPP 1.6 has nothing like {action}")
    return translator.action, translator.request(payload)


def from_result(action: str, payload: Json, request: Json) -> Json:
    """Translate a 1.6 answer to the 2.x `action` whose payload was `request`.

    Raises FrameFault when the answer lacks what its meaning depends on.
    """
    return _TRANSLATORS[action].answer(payload, request)


class _Translator(msgspec.Struct, frozen=True):
    """The 1.6 action of a command, and how its request and its answer are translated."""

    action: str
    request: Callable[[Json], Json]
    answer: Callable[[Json, Json], Json]


def _status(payload: Json, _request: Json) -> Json:
    """Take over a status whose words are the same in 2.x."""
    return {"status": payload["status"]}


def _status_or(substitute: str) -> Callable[[Json, Json], Json]:
    """Take over a status; 2.x has no NotSupported here and says the reason beside `substitute`."""

    def translate(payload: Json, _request: Json) -> Json:
        if payload["status"] == "NotSupported":
            return {"status": substitute, "statusInfo": {"reasonCode": "UnsupportedRequest"}}
        return {"status": payload["status"]}

    return translate


def _start(payload: Json) -> Json:
    id_token: Any = payload["idToken"]
    tag = id_token["idToken"]
    if not 1 <= len(tag) <= 20:
        raise BadRequest(f"idToken.idToken: OCPP 1.6 takes 1 to 20 characters, not {len(tag)}")
    call: Json = {"idTag": tag}
    if "evseId" in payload:
        call["connectorId"] = _connector(payload["evseId"], "evseId", lowest=1)
    profile: Any = payload.get("chargingProfile")
    if profile is not None:
        if profile["chargingProfilePurpose"] != "TxProfile" or "transactionId" in profile:
            raise BadRequest("chargingProfile: a start takes a TxProfile without transactionId")
        call["chargingProfile"] = _profile(profile)
    return call


def _stop(payload: Json) -> Json:
    return {"transactionId": _transaction_id(payload["transactionId"], "transactionId")}


def _get_keys(payload: Json) -> Json:
    asked: Any = payload["getVariableData"]
    return {"key": list(dict.fromkeys(key_of(data) for data in asked))}


def _values(payload: Json, request: Json) -> Json:
    configuration: Any = payload.get("configurationKey", [])
    values = {entry["key"].lower(): entry.get("value", "") for entry in configuration}
    asked: Any = request["getVariableData"]
    return {"getVariableResult": [_value(data, values.get(key_of(data).lower())) for data in asked]}


def _value(data: Json, value: str | None) -> Json:
    result = _copy(data, "component", "variable", "attributeType")
    if value is None:
        return {**result, "attributeStatus": "UnknownVariable"}
    return {**result, "attributeStatus": "Accepted", "attributeValue": value}


def _change_key(payload: Json) -> Json:
    variables: Any = payload["setVariableData"]
    if len(variables) != 1:
        raise BadRequest("setVariableData: OCPP 1.6 sets one key at a time; send one command for each variable")
    value = variables[0]["attributeValue"]
    if len(value) > 500:
        raise BadRequest(f"attributeValue: OCPP 1.6 takes at most 500 characters, not {len(value)}")
    return {"key": key_of(variables[0]), "value": value}


def _changed(payload: Json, request: Json) -> Json:
    asked: Any = request["setVariableData"]
    status = payload["status"]
    result = _copy(asked[0], "component", "variable", "attributeType")
    return {
        "setVariableResult": [{**result, "attributeStatus": "UnknownVariable" if status == "NotSupported" else status}]
    }


def _inventory(payload: Json, _request: Json) -> Json:
    """Keep the keys in customData, because 1.6 answers at once and sends no report after it."""
    keys = payload.get("configurationKey")
    if not keys:
        return {"status": "EmptyResultSet"}
    return {"status": "Accepted", "customData": {"vendorId": "CloudBay", "configurationKey": keys}}


_TRIGGERS: Final = frozenset(
    {"BootNotification", "FirmwareStatusNotification", "Heartbeat", "MeterValues", "StatusNotification"}
)


def _trigger(payload: Json) -> Json:
    message = payload["requestedMessage"]
    if message not in _TRIGGERS:
        raise BadRequest(f"requestedMessage: an OCPP 1.6 station cannot be asked for {message}")
    call: Json = {"requestedMessage": message}
    if "evse" in payload:
        call["connectorId"] = _evse(payload["evse"], lowest=1)
    return call


def _reset(payload: Json) -> Json:
    if "evseId" in payload:
        raise BadRequest("evseId: OCPP 1.6 resets the whole station only")
    return {"type": {"Immediate": "Hard", "OnIdle": "Soft"}[str(payload["type"])]}


def _availability(payload: Json) -> Json:
    connector = _evse(payload["evse"], lowest=0) if "evse" in payload else 0
    return {"connectorId": connector, "type": payload["operationalStatus"]}


def _unlock(payload: Json) -> Json:
    return {"connectorId": _evse({"id": payload["evseId"], "connectorId": payload["connectorId"]}, lowest=1)}


def _set_profile(payload: Json) -> Json:
    profile: Any = payload["chargingProfile"]
    return {"connectorId": _connector(payload["evseId"], "evseId", lowest=0), "csChargingProfiles": _profile(profile)}


def _clear_profile(payload: Json) -> Json:
    criteria: Any = payload.get("chargingProfileCriteria", {})
    call = _copy(criteria, "stackLevel")
    if "chargingProfileId" in payload:
        call["id"] = payload["chargingProfileId"]
    if "evseId" in criteria:
        call["connectorId"] = _connector(criteria["evseId"], "evseId", lowest=0)
    if "chargingProfilePurpose" in criteria:
        call["chargingProfilePurpose"] = _purpose(criteria["chargingProfilePurpose"])
    if not call:
        raise BadRequest("name a chargingProfileId or criteria: without them OCPP 1.6 clears every profile")
    return call


def _composite(payload: Json) -> Json:
    connector = _connector(payload["evseId"], "evseId", lowest=0)
    return {"connectorId": connector, **_copy(payload, "duration", "chargingRateUnit")}


def _schedule(payload: Json, request: Json) -> Json:
    schedule: Any = payload.get("chargingSchedule", {})
    periods = schedule.get("chargingSchedulePeriod")
    if not periods:
        return {"status": payload["status"]}
    start = payload.get("scheduleStart", schedule.get("startSchedule"))
    if start is None:
        raise FrameFault("OccurrenceConstraintViolation", "scheduleStart: a schedule without its start means nothing")
    return {
        "status": payload["status"],
        "schedule": {
            "evseId": request["evseId"],
            "duration": schedule.get("duration", request["duration"]),
            "scheduleStart": start,
            "chargingRateUnit": schedule["chargingRateUnit"],
            "chargingSchedulePeriod": [_copy(p, "startPeriod", "limit", "numberPhases") for p in periods],
        },
    }


def _data(payload: Json) -> Json:
    call = _copy(payload, "vendorId", "messageId")
    data = payload.get("data")
    if data is not None:
        call["data"] = data if isinstance(data, str) else orjson.dumps(data).decode()
    return call


_TRANSLATORS: Final[dict[str, _Translator]] = {
    "RequestStartTransaction": _Translator("RemoteStartTransaction", _start, _status),
    "RequestStopTransaction": _Translator("RemoteStopTransaction", _stop, _status),
    "GetVariables": _Translator("GetConfiguration", _get_keys, _values),
    "SetVariables": _Translator("ChangeConfiguration", _change_key, _changed),
    "GetBaseReport": _Translator("GetConfiguration", lambda _: {}, _inventory),
    "TriggerMessage": _Translator("TriggerMessage", _trigger, _status),
    "Reset": _Translator("Reset", _reset, _status),
    "ChangeAvailability": _Translator("ChangeAvailability", _availability, _status),
    "UnlockConnector": _Translator("UnlockConnector", _unlock, _status_or("UnlockFailed")),
    "SetChargingProfile": _Translator("SetChargingProfile", _set_profile, _status_or("Rejected")),
    "ClearChargingProfile": _Translator("ClearChargingProfile", _clear_profile, _status),
    "GetCompositeSchedule": _Translator("GetCompositeSchedule", _composite, _schedule),
    "DataTransfer": _Translator("DataTransfer", _data, lambda answer, _: _copy(answer, "status", "data")),
}


def _copy(source: Json, *names: str) -> Json:
    return {name: source[name] for name in names if name in source}


def _connector(evse_id: Any, field: str, *, lowest: int) -> int:
    if evse_id < lowest:
        raise BadRequest(f"{field}: must be {lowest} or more, not {evse_id}")
    return int(evse_id)


def _evse(evse: Any, *, lowest: int) -> int:
    if evse.get("connectorId", 1) != 1:
        raise BadRequest(f"connectorId: an EVSE of OCPP 1.6 has connector 1 only, not {evse['connectorId']}")
    return _connector(evse["id"], "evse.id", lowest=lowest)


def _transaction_id(text: Any, field: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise BadRequest(f"{field}: transactions of OCPP 1.6 have whole numbers above 0, not {text}")
    return int(text)


_PURPOSES: Final = {
    "ChargingStationMaxProfile": "ChargePointMaxProfile",
    "TxDefaultProfile": "TxDefaultProfile",
    "TxProfile": "TxProfile",
}


def _purpose(purpose: str) -> str:
    if purpose not in _PURPOSES:
        raise BadRequest(f"chargingProfilePurpose: OCPP 1.6 has no {purpose}")
    return _PURPOSES[purpose]


def _profile(profile: Json) -> Json:
    schedules: Any = truncated(profile, OcppVersion.V16)["chargingSchedule"]
    if len(schedules) != 1:
        raise BadRequest(f"chargingSchedule: OCPP 1.6 takes one schedule, not {len(schedules)}")
    schedule = schedules[0]
    if "salesTariff" in schedule:
        raise BadRequest("salesTariff: OCPP 1.6 has none")
    if any("phaseToUse" in period for period in schedule["chargingSchedulePeriod"]):
        raise BadRequest("phaseToUse: OCPP 1.6 cannot choose a phase")
    call = _copy(profile, "stackLevel", "chargingProfileKind", "recurrencyKind", "validFrom", "validTo")
    call["chargingProfileId"] = profile["id"]
    call["chargingProfilePurpose"] = _purpose(str(profile["chargingProfilePurpose"]))
    if "transactionId" in profile:
        call["transactionId"] = _transaction_id(profile["transactionId"], "chargingProfile.transactionId")
    call["chargingSchedule"] = {
        **_copy(schedule, "startSchedule", "duration", "chargingRateUnit", "minChargingRate"),
        "chargingSchedulePeriod": [
            _copy(p, "startPeriod", "limit", "numberPhases") for p in schedule["chargingSchedulePeriod"]
        ],
    }
    return call
