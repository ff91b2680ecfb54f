"""The station's words in OCPP 1.6-J: connectors are EVSEs, the CSMS numbers the transactions.

Must not know: when anything is said; the station decides that.
"""

from __future__ import annotations

from typing import Final, assert_never

from actors.ocpp.frames import Call, Json, OcppVersion
from simulator.evse import Evse
from simulator.facts import (
    Alive,
    Booted,
    Fact,
    Metered,
    Reply,
    Reported,
    Sample,
    StatusChanged,
    TokenPresented,
    Transaction,
    TransactionChanged,
)
from simulator.fields import Refused, rfc3339
from simulator.orders16 import ORDERS
from simulator.station import VirtualStation

_NO_TRANSACTION: Final = -1
"""Stands for the id of a transaction whose StartTransaction was never answered."""


class Dialect16:
    """OCPP 1.6-J; see dialect.Dialect."""

    version = OcppVersion.V16

    def call(self, station: VirtualStation, fact: Fact) -> tuple[str, Json] | None:
        """Return action and payload for a fact; state changes of a transaction are told by StatusNotification alone."""
        match fact:
            case Booted():
                return "BootNotification", _boot(station)
            case Alive():
                return "Heartbeat", {}
            case StatusChanged(at=at, evse_id=evse_id, status=status):
                return "StatusNotification", {
                    "connectorId": evse_id,
                    "errorCode": "NoError",
                    "status": status,
                    "timestamp": rfc3339(at),
                }
            case TokenPresented(id_token=id_token):
                return "Authorize", {"idTag": id_token.text[:20]}
            case TransactionChanged():
                return _transaction(fact)
            case Metered(evse_id=evse_id, sample=sample, transaction=transaction):
                return _meter_values(evse_id, sample, transaction)
            case Reported():
                return None
        assert_never(fact)

    def reply(self, fact: Fact, payload: Json) -> Reply:
        """Read the answer to the CALL made of `fact`."""
        match fact:
            case Booted():
                interval = payload.get("interval")
                return Reply(str(payload.get("status")), interval if isinstance(interval, int) else 0)
            case TokenPresented() | TransactionChanged():
                info = payload.get("idTagInfo")
                csms_id = payload.get("transactionId")
                status = str(info.get("status")) if isinstance(info, dict) else "Accepted"
                return Reply(status, csms_id=csms_id if isinstance(csms_id, int) else None)
        return Reply()

    def handle(self, station: VirtualStation, call: Call) -> Json:
        """Carry out an order of the CSMS and return the answer; raises Refused."""
        handler = ORDERS.get(call.action)
        if handler is None:
            raise Refused("NotImplemented", f"this station does not know {call.action}")
        return handler(station, call.payload)

    def status(self, evse: Evse) -> str:
        """Return the connector status (1.6 part 4.9)."""
        if evse.transaction is not None:
            state = evse.transaction.charging_state
            return state if state in ("Charging", "SuspendedEV", "SuspendedEVSE") else "Preparing"
        if not evse.operative:
            return "Unavailable"
        if evse.finished:
            return "Finishing"
        return "Available" if evse.car is None and evse.authorized is None else "Preparing"


def _boot(station: VirtualStation) -> Json:
    settings = station.settings
    return {
        "chargePointVendor": settings.vendor[:20],
        "chargePointModel": settings.model[:20],
        "chargePointSerialNumber": settings.id[:25],
        "firmwareVersion": settings.firmware,
    }


def _transaction(fact: TransactionChanged) -> tuple[str, Json] | None:
    transaction = fact.transaction
    match fact.kind, fact.sample:
        case "Started", Sample() as sample:
            return "StartTransaction", {
                "connectorId": transaction.evse_id,
                "idTag": transaction.id_token.text[:20],
                "meterStart": round(sample.energy_wh),
                "timestamp": rfc3339(fact.at),
            }
        case "Ended", Sample() as sample:
            stop: Json = {
                "transactionId": _id_of(transaction),
                "meterStop": round(sample.energy_wh),
                "timestamp": rfc3339(fact.at),
                "reason": fact.stopped_reason,
            }
            if fact.id_token is not None:
                stop["idTag"] = fact.id_token.text[:20]
            return "StopTransaction", stop
        case _, Sample() as sample:
            return _meter_values(transaction.evse_id, sample, transaction)
    return None


def _id_of(transaction: Transaction) -> int:
    return _NO_TRANSACTION if transaction.csms_id is None else transaction.csms_id


def _meter_values(evse_id: int, sample: Sample, transaction: Transaction | None) -> tuple[str, Json]:
    values: Json = {"connectorId": evse_id, "meterValue": [_meter_value(sample)]}
    if transaction is not None:
        values["transactionId"] = _id_of(transaction)
    return "MeterValues", values


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
    sampled: Json = {"value": f"{value:.2f}", "context": sample.context, "measurand": measurand, "unit": unit}
    if phase is not None:
        sampled["phase"] = phase
    return sampled
