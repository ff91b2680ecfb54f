"""The orders of an OCPP 2.0.1 CSMS: payloads in, payloads out; what they do is in orders.py.

Must not know: how a station talks by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.ocpp.frames import Json
from simulator import orders
from simulator.facts import IdToken
from simulator.fields import Refused, instant, number, objects, optional, required, rfc3339
from simulator.profiles import ChargingProfile, Period
from simulator.station import VirtualStation
from simulator.variables import BASIC_AUTH_PASSWORD


def profile_of(evse_id: int, payload: Json) -> ChargingProfile:
    """Read a ChargingProfileType; raises Refused. Of several schedules (ISO 15118) the first counts."""
    schedules = objects(payload, "chargingSchedule")
    if not schedules:
        raise Refused("OccurrenceConstraintViolation", "chargingSchedule is empty")
    schedule = schedules[0]
    periods = tuple(
        Period(required(p, "startPeriod", int), number(p, "limit"), optional(p, "numberPhases", int) or 3)
        for p in objects(schedule, "chargingSchedulePeriod")
    )
    return ChargingProfile(
        id=required(payload, "id", int),
        evse_id=evse_id,
        stack_level=required(payload, "stackLevel", int),
        purpose=required(payload, "chargingProfilePurpose", str),
        kind=required(payload, "chargingProfileKind", str),
        unit=required(schedule, "chargingRateUnit", str),
        periods=periods,
        start=instant(schedule, "startSchedule"),
        duration_s=optional(schedule, "duration", int),
        recurrency=optional(payload, "recurrencyKind", str),
        valid_from=instant(payload, "validFrom"),
        valid_to=instant(payload, "validTo"),
        transaction_id=optional(payload, "transactionId", str),
    )


def _with_reason(status: str, problem: str | None) -> Json:
    if problem is None:
        return {"status": status}
    reason, _, info = problem.partition(": ")
    return {"status": "Rejected", "statusInfo": {"reasonCode": reason, "additionalInfo": info}}


def _request_start(station: VirtualStation, payload: Json) -> Json:
    evse_id, token = optional(payload, "evseId", int), required(payload, "idToken", dict)
    id_token = IdToken(required(token, "idToken", str), required(token, "type", str))
    profile = optional(payload, "chargingProfile", dict)
    started = orders.request_start(
        station,
        evse_id,
        id_token,
        required(payload, "remoteStartId", int),
        profile_of(evse_id or 0, profile) if profile is not None else None,
    )
    return {"status": "Accepted" if started else "Rejected"}


def _request_stop(station: VirtualStation, payload: Json) -> Json:
    stopped = orders.request_stop(station, required(payload, "transactionId", str))
    return {"status": "Accepted" if stopped else "Rejected"}


def _get_variables(station: VirtualStation, payload: Json) -> Json:
    results: list[Json] = []
    for item in objects(payload, "getVariableData"):
        component, variable = required(item, "component", dict), required(item, "variable", dict)
        name = required(component, "name", str), required(variable, "name", str), optional(variable, "instance", str)
        status, value = station.variables.get(name)
        if item.get("attributeType", "Actual") != "Actual":
            status, value = "NotSupportedAttributeType", None
        result: Json = {"attributeStatus": status, "component": component, "variable": variable}
        results.append(result if value is None else {**result, "attributeValue": value})
    return {"getVariableResult": results}


def _set_variables(station: VirtualStation, payload: Json) -> Json:
    results: list[Json] = []
    for item in objects(payload, "setVariableData"):
        component, variable = required(item, "component", dict), required(item, "variable", dict)
        name = required(component, "name", str), required(variable, "name", str), optional(variable, "instance", str)
        value = required(item, "attributeValue", str)
        if item.get("attributeType", "Actual") != "Actual":
            status = "NotSupportedAttributeType"
        else:
            status = station.variables.set(name, value)
        if name == BASIC_AUTH_PASSWORD and status == "Accepted":
            orders.change_password(station, value)
        results.append({"attributeStatus": status, "component": component, "variable": variable})
    return {"setVariableResult": results}


def _get_base_report(station: VirtualStation, payload: Json) -> Json:
    orders.report(station, required(payload, "requestId", int))
    return {"status": "Accepted"}


def _trigger_message(station: VirtualStation, payload: Json) -> Json:
    evse = optional(payload, "evse", dict)
    evse_id = required(evse, "id", int) if evse is not None else None
    return {"status": orders.trigger(station, required(payload, "requestedMessage", str), evse_id)}


def _reset(station: VirtualStation, payload: Json) -> Json:
    when_idle = required(payload, "type", str) == "OnIdle"
    evse_id = optional(payload, "evseId", int)
    return {"status": orders.reset(station, when_idle=when_idle, evse_id=evse_id, reason="ImmediateReset")}


def _change_availability(station: VirtualStation, payload: Json) -> Json:
    evse = optional(payload, "evse", dict)
    evse_id = required(evse, "id", int) if evse is not None else 0
    operative = required(payload, "operationalStatus", str) == "Operative"
    return {"status": orders.change_availability(station, evse_id, operative=operative)}


def _unlock_connector(station: VirtualStation, payload: Json) -> Json:
    return {"status": orders.unlock(station, required(payload, "evseId", int))}


def _set_charging_profile(station: VirtualStation, payload: Json) -> Json:
    profile = profile_of(required(payload, "evseId", int), required(payload, "chargingProfile", dict))
    return _with_reason("Accepted", orders.set_profile(station, profile))


def _clear_charging_profile(station: VirtualStation, payload: Json) -> Json:
    criteria: Json = optional(payload, "chargingProfileCriteria", dict) or {}
    cleared = station.charging.profiles.clear(
        optional(payload, "chargingProfileId", int),
        evse_id=optional(criteria, "evseId", int),
        purpose=optional(criteria, "chargingProfilePurpose", str),
        stack_level=optional(criteria, "stackLevel", int),
    )
    return {"status": "Accepted" if cleared else "Unknown"}


def _get_composite_schedule(station: VirtualStation, payload: Json) -> Json:
    evse_id, duration_s = required(payload, "evseId", int), required(payload, "duration", int)
    unit = optional(payload, "chargingRateUnit", str) or "W"
    composite = orders.composite_schedule(station, evse_id, duration_s, unit)
    if composite is None:
        return {"status": "Rejected"}
    start, periods = composite
    return {
        "status": "Accepted",
        "schedule": {
            "evseId": evse_id,
            "duration": duration_s,
            "scheduleStart": rfc3339(start),
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [{"startPeriod": at_s, "limit": limit} for at_s, limit in periods],
        },
    }


def _data_transfer(station: VirtualStation, payload: Json) -> Json:
    if required(payload, "vendorId", str) != station.settings.vendor:
        return {"status": "UnknownVendorId"}
    if payload.get("messageId") != "Echo":
        return {"status": "UnknownMessageId"}
    return {"status": "Accepted"} if payload.get("data") is None else {"status": "Accepted", "data": payload["data"]}


ORDERS: Final[dict[str, Callable[[VirtualStation, Json], Json]]] = {
    "RequestStartTransaction": _request_start,
    "RequestStopTransaction": _request_stop,
    "GetVariables": _get_variables,
    "SetVariables": _set_variables,
    "GetBaseReport": _get_base_report,
    "TriggerMessage": _trigger_message,
    "Reset": _reset,
    "ChangeAvailability": _change_availability,
    "UnlockConnector": _unlock_connector,
    "SetChargingProfile": _set_charging_profile,
    "ClearChargingProfile": _clear_charging_profile,
    "GetCompositeSchedule": _get_composite_schedule,
    "DataTransfer": _data_transfer,
}
