"""The station's words in OCPP 2.0.1.

Must not know: when anything is said; the station decides that.
"""

from __future__ import annotations

from typing import assert_never

from actors.ocpp.frames import Call, Json, OcppVersion
from simulator.evse import Evse
from simulator.facts import (
    Alive,
    Booted,
    Fact,
    IdToken,
    Metered,
    Reply,
    Reported,
    Row,
    Sample,
    StatusChanged,
    TokenPresented,
    TransactionChanged,
)
from simulator.fields import Refused, rfc3339
from simulator.orders201 import ORDERS
from simulator.station import VirtualStation


class Dialect201:
    """OCPP 2.0.1; see dialect.Dialect."""

    version = OcppVersion.V201

    def call(self, station: VirtualStation, fact: Fact) -> tuple[str, Json] | None:
        """Return action and payload for a fact."""
        match fact:
            case Booted(reason=reason):
                return "BootNotification", _boot(station, reason)
            case Alive():
                return "Heartbeat", {}
            case StatusChanged(evse_id=0):
                return None
            case StatusChanged(at=at, evse_id=evse_id, status=status):
                return "StatusNotification", {
                    "timestamp": rfc3339(at),
                    "connectorStatus": status,
                    "evseId": evse_id,
                    "connectorId": 1,
                }
            case TokenPresented(id_token=id_token):
                return "Authorize", {"idToken": _id_token(id_token)}
            case TransactionChanged():
                return "TransactionEvent", _transaction_event(fact)
            case Metered(evse_id=evse_id, sample=sample):
                return "MeterValues", {"evseId": evse_id, "meterValue": [_meter_value(sample)]}
            case Reported():
                return "NotifyReport", _report(fact)
        assert_never(fact)

    def reply(self, fact: Fact, payload: Json) -> Reply:
        """Read the answer to the CALL made of `fact`."""
        match fact:
            case Booted():
                interval = payload.get("interval")
                return Reply(str(payload.get("status")), interval if isinstance(interval, int) else 0)
            case TokenPresented() | TransactionChanged():
                info = payload.get("idTokenInfo")
                return Reply(str(info.get("status"))) if isinstance(info, dict) else Reply()
        return Reply()

    def handle(self, station: VirtualStation, call: Call) -> Json:
        """Carry out an order of the CSMS and return the answer; raises Refused."""
        handler = ORDERS.get(call.action)
        if handler is None:
            raise Refused("NotImplemented", f"this station does not know {call.action}")
        return handler(station, call.payload)

    def status(self, evse: Evse) -> str:
        """Return the connector status; a free connector of an EVSE out of service is Unavailable."""
        if not evse.operative:
            return "Unavailable"
        return "Available" if evse.car is None else "Occupied"


def _boot(station: VirtualStation, reason: str) -> Json:
    settings = station.settings
    return {
        "reason": reason,
        "chargingStation": {
            "vendorName": settings.vendor,
            "model": settings.model,
            "serialNumber": settings.id[:25],
            "firmwareVersion": settings.firmware,
        },
    }


def _id_token(id_token: IdToken) -> Json:
    return {"idToken": id_token.text, "type": id_token.type}


def _transaction_event(fact: TransactionChanged) -> Json:
    transaction = fact.transaction
    info: Json = {"transactionId": transaction.id, "chargingState": fact.charging_state}
    if fact.stopped_reason is not None:
        info["stoppedReason"] = fact.stopped_reason
    if transaction.remote_start_id is not None:
        info["remoteStartId"] = transaction.remote_start_id
    event: Json = {
        "eventType": fact.kind,
        "timestamp": rfc3339(fact.at),
        "triggerReason": fact.trigger,
        "seqNo": fact.seq_no,
        "transactionInfo": info,
        "evse": {"id": transaction.evse_id, "connectorId": 1},
    }
    if fact.offline:
        event["offline"] = True
    if fact.sample is not None:
        event["meterValue"] = [_meter_value(fact.sample)]
        event["numberOfPhasesUsed"] = fact.sample.phases
    if fact.id_token is not None:
        event["idToken"] = _id_token(fact.id_token)
    return event


def _meter_value(sample: Sample) -> Json:
    values = [
        _value(sample, sample.energy_wh, "Energy.Active.Import.Register", "Wh"),
        _value(sample, sample.power_w, "Power.Active.Import", "W"),
    ]
    for n in range(1, sample.phases + 1):
        values.append(_value(sample, sample.current_a, "Current.Import", "A", f"L{n}"))
        values.append(_value(sample, sample.voltage_v, "Voltage", "V", f"L{n}-N"))
    if sample.soc_percent is not None:
        values.append({**_value(sample, sample.soc_percent, "SoC", "Percent"), "location": "EV"})
    return {"timestamp": rfc3339(sample.at), "sampledValue": values}


def _value(sample: Sample, value: float, measurand: str, unit: str, phase: str | None = None) -> Json:
    sampled: Json = {
        "value": round(value, 2),
        "context": sample.context,
        "measurand": measurand,
        "unitOfMeasure": {"unit": unit},
    }
    if phase is not None:
        sampled["phase"] = phase
    return sampled


def _report(fact: Reported) -> Json:
    return {
        "requestId": fact.request_id,
        "generatedAt": rfc3339(fact.at),
        "seqNo": fact.seq_no,
        "tbc": fact.more,
        "reportData": [_report_row(row) for row in fact.rows],
    }


def _report_row(row: Row) -> Json:
    attribute: Json = {"type": "Actual", "mutability": row.mutability, "persistent": True, "constant": False}
    if row.value is not None:
        attribute["value"] = row.value
    variable: Json = {"name": row.variable}
    if row.instance is not None:
        variable["instance"] = row.instance
    characteristics: Json = {"dataType": row.data_type, "supportsMonitoring": False}
    if row.unit is not None:
        characteristics["unit"] = row.unit
    return {
        "component": {"name": row.component},
        "variable": variable,
        "variableAttribute": [attribute],
        "variableCharacteristics": characteristics,
    }
