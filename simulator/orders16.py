"""The orders of an OCPP 1.6-J CSMS: payloads in, payloads out; what they do is in orders.py.

Must not know: how a station talks by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.ocpp.frames import Json
from simulator import orders
from simulator.facts import IdToken
from simulator.fields import optional, required, rfc3339
from simulator.orders201 import profile_of
from simulator.profiles import ChargingProfile
from simulator.station import VirtualStation
from simulator.variables import BASIC_AUTH_PASSWORD

_PURPOSES: Final = {"ChargePointMaxProfile": "ChargingStationMaxProfile"}


def _profile_of(connector_id: int, payload: Json) -> ChargingProfile:
    """Read a 1.6 profile as a 2.x one; without startSchedule it counts from the start of charging."""
    schedule = required(payload, "chargingSchedule", dict)
    purpose, kind = required(payload, "chargingProfilePurpose", str), required(payload, "chargingProfileKind", str)
    if kind == "Absolute" and schedule.get("startSchedule") is None:
        kind = "Relative"
    translated: Json = {
        **payload,
        "id": required(payload, "chargingProfileId", int),
        "chargingProfilePurpose": _PURPOSES.get(purpose, purpose),
        "chargingProfileKind": kind,
        "chargingSchedule": [schedule],
        # The number is the CSMS's; the caller has matched it already.
        "transactionId": None,
    }
    return profile_of(connector_id, translated)


def _remote_start(station: VirtualStation, payload: Json) -> Json:
    connector_id, profile = optional(payload, "connectorId", int), optional(payload, "chargingProfile", dict)
    started = orders.request_start(
        station,
        connector_id,
        IdToken(required(payload, "idTag", str)),
        None,
        _profile_of(connector_id or 0, profile) if profile is not None else None,
    )
    return {"status": "Accepted" if started else "Rejected"}


def _remote_stop(station: VirtualStation, payload: Json) -> Json:
    stopped = orders.request_stop(station, required(payload, "transactionId", int))
    return {"status": "Accepted" if stopped else "Rejected"}


def _get_configuration(station: VirtualStation, payload: Json) -> Json:
    keys = station.variables.keys16()
    wanted = optional(payload, "key", list) or list(keys)
    known: list[Json] = []
    for key in wanted:
        if key in keys:
            value, readonly = keys[key]
            entry: Json = {"key": key, "readonly": readonly}
            known.append(entry if value is None else {**entry, "value": value})
    return {"configurationKey": known, "unknownKey": [key for key in wanted if key not in keys]}


def _change_configuration(station: VirtualStation, payload: Json) -> Json:
    key, value = required(payload, "key", str), required(payload, "value", str)
    name = station.variables.name_of(key)
    if name is None:
        return {"status": "Rejected" if key in station.variables.keys16() else "NotSupported"}
    status = station.variables.set(name, value)
    if name == BASIC_AUTH_PASSWORD and status == "Accepted":
        orders.change_password(station, value)
    return {"status": status}


def _trigger_message(station: VirtualStation, payload: Json) -> Json:
    connector_id = optional(payload, "connectorId", int) or None
    return {"status": orders.trigger(station, required(payload, "requestedMessage", str), connector_id)}


def _reset(station: VirtualStation, payload: Json) -> Json:
    reason = "HardReset" if required(payload, "type", str) == "Hard" else "SoftReset"
    return {"status": orders.reset(station, when_idle=False, evse_id=None, reason=reason)}


def _change_availability(station: VirtualStation, payload: Json) -> Json:
    operative = required(payload, "type", str) == "Operative"
    return {"status": orders.change_availability(station, required(payload, "connectorId", int), operative=operative)}


def _unlock_connector(station: VirtualStation, payload: Json) -> Json:
    """Unlock; in 1.6 that ends a transaction first (1.6 section 5.18)."""
    evse = station.charging.evses.get(required(payload, "connectorId", int))
    if evse is None:
        return {"status": "NotSupported"}
    station.charging.end_transaction(evse, "UnlockCommand", "UnlockCommand")
    return {"status": orders.unlock(station, evse.id)}


def _set_charging_profile(station: VirtualStation, payload: Json) -> Json:
    connector_id, profile = required(payload, "connectorId", int), required(payload, "csChargingProfiles", dict)
    wanted, evse = optional(profile, "transactionId", int), station.charging.evses.get(connector_id)
    ongoing = evse.transaction.csms_id if evse is not None and evse.transaction is not None else None
    if wanted is not None and wanted != ongoing:
        return {"status": "Rejected"}
    problem = orders.set_profile(station, _profile_of(connector_id, profile))
    return {"status": "Accepted" if problem is None else "Rejected"}


def _clear_charging_profile(station: VirtualStation, payload: Json) -> Json:
    purpose = optional(payload, "chargingProfilePurpose", str)
    cleared = station.charging.profiles.clear(
        optional(payload, "id", int),
        evse_id=optional(payload, "connectorId", int),
        purpose=_PURPOSES.get(purpose, purpose) if purpose is not None else None,
        stack_level=optional(payload, "stackLevel", int),
    )
    return {"status": "Accepted" if cleared else "Unknown"}


def _get_composite_schedule(station: VirtualStation, payload: Json) -> Json:
    connector_id, duration_s = required(payload, "connectorId", int), required(payload, "duration", int)
    unit = optional(payload, "chargingRateUnit", str) or "W"
    composite = orders.composite_schedule(station, connector_id, duration_s, unit)
    if composite is None:
        return {"status": "Rejected"}
    start, periods = composite
    return {
        "status": "Accepted",
        "connectorId": connector_id,
        "scheduleStart": rfc3339(start),
        "chargingSchedule": {
            "duration": duration_s,
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [{"startPeriod": at_s, "limit": limit} for at_s, limit in periods],
        },
    }


def _data_transfer(station: VirtualStation, payload: Json) -> Json:
    if required(payload, "vendorId", str) != station.settings.vendor:
        return {"status": "UnknownVendorId"}
    if payload.get("messageId") != "Echo":
        return {"status": "UnknownMessageId"}
    data = optional(payload, "data", str)
    return {"status": "Accepted"} if data is None else {"status": "Accepted", "data": data}


ORDERS: Final[dict[str, Callable[[VirtualStation, Json], Json]]] = {
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "GetConfiguration": _get_configuration,
    "ChangeConfiguration": _change_configuration,
    "TriggerMessage": _trigger_message,
    "Reset": _reset,
    "ChangeAvailability": _change_availability,
    "UnlockConnector": _unlock_connector,
    "SetChargingProfile": _set_charging_profile,
    "ClearChargingProfile": _clear_charging_profile,
    "GetCompositeSchedule": _get_composite_schedule,
    "DataTransfer": _data_transfer,
}
