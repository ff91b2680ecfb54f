"""OCPP 1.6-J translated into 2.x words, so that nobody above the wire sees 1.6.

A 1.6 connector n is EVSE n with its connector 1; connector 0 is the station. Payloads are valid by the 1.6 schemas
when they come here. Outgoing commands are in `actors.ocpp.v16_commands`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, cast

from actors.errors import FrameFault
from actors.ocpp.frames import Json
from actors.ocpp.messages import (
    EVSE,
    Authorize,
    AuthorizeResponse,
    BootNotification,
    ChargingStation,
    DataTransfer,
    Heartbeat,
    IdToken,
    IdTokenInfo,
    MeterValue,
    MeterValues,
    Request,
    Response,
    SampledValue,
    StatusNotification,
    Transaction,
    TransactionEvent,
    TransactionEventResponse,
    UnitOfMeasure,
)

# 1.6 status -> 2.x connector status (2.0.1 part 2, 3.16 ConnectorStatusEnumType).
_CONNECTOR_STATUS: Final = {
    "Available": "Available",
    "Preparing": "Occupied",
    "Charging": "Occupied",
    "SuspendedEV": "Occupied",
    "SuspendedEVSE": "Occupied",
    "Finishing": "Occupied",
    "Reserved": "Reserved",
    "Unavailable": "Unavailable",
    "Faulted": "Faulted",
}
_STOPPED_REASON: Final = {"HardReset": "ImmediateReset", "SoftReset": "ImmediateReset", "UnlockCommand": "Other"}
_ID_TAG_STATUS: Final = {
    "Accepted": "Accepted",
    "Blocked": "Blocked",
    "Expired": "Expired",
    "ConcurrentTx": "ConcurrentTx",
    "NoCredit": "Blocked",
}


def to_request(action: str, payload: Json) -> Request:
    """Translate a valid 1.6 request of a station.

    Raises FrameFault NotSupported for an action of 1.6 that this platform does not take.
    """
    translate = _REQUESTS.get(action)
    if translate is None:
        raise FrameFault("NotSupported", f"{action} is not supported")
    return translate(payload)


def from_response(action: str, response: Response) -> object:
    """Translate the answer to a 1.6 request into its 1.6 payload."""
    match response:
        case AuthorizeResponse():
            return {"idTagInfo": _id_tag_info(response.id_token_info)}
        case TransactionEventResponse() if action == "StartTransaction":
            info = response.id_token_info or IdTokenInfo("Accepted")
            return {"transactionId": int(response.transaction_id or 0), "idTagInfo": _id_tag_info(info)}
        case TransactionEventResponse() if action == "StopTransaction" and response.id_token_info is not None:
            return {"idTagInfo": _id_tag_info(response.id_token_info)}
        case TransactionEventResponse():
            return {}
    return response


def _id_tag_info(info: IdTokenInfo) -> Json:
    tag: Json = {"status": _ID_TAG_STATUS.get(info.status, "Invalid")}
    if info.group_id_token is not None:
        tag["parentIdTag"] = info.group_id_token.id_token[:20]
    if info.cache_expiry_date_time is not None:
        tag["expiryDate"] = info.cache_expiry_date_time
    return tag


def _boot(payload: Json) -> BootNotification:
    serial = payload.get("chargePointSerialNumber") or payload.get("chargeBoxSerialNumber")
    return BootNotification(
        ChargingStation(
            vendor_name=_text(payload["chargePointVendor"]),
            model=_text(payload["chargePointModel"]),
            serial_number=_optional_text(serial),
            firmware_version=_optional_text(payload.get("firmwareVersion")),
        )
    )


def _status(payload: Json) -> StatusNotification:
    connector, status = _number(payload["connectorId"]), _text(payload["status"])
    stamp = payload.get("timestamp")
    return StatusNotification(
        timestamp=None if stamp is None else _moment(stamp),
        connector_status=_CONNECTOR_STATUS[status],
        evse_id=connector,
        connector_id=1 if connector else 0,
        error_code=_text(payload["errorCode"]),
        vendor_status=status,
    )


def _start(payload: Json) -> TransactionEvent:
    moment = _moment(payload["timestamp"])
    return TransactionEvent(
        event_type="Started",
        timestamp=moment,
        trigger_reason="Authorized",
        transaction_info=Transaction(transaction_id=""),
        meter_value=[_register(moment, payload["meterStart"], "Transaction.Begin")],
        evse=EVSE(_number(payload["connectorId"]), 1),
        id_token=IdToken(_text(payload["idTag"])),
        reservation_id=cast("int | None", payload.get("reservationId")),
    )


def _stop(payload: Json) -> TransactionEvent:
    moment = _moment(payload["timestamp"])
    reason = _text(payload.get("reason", "Local"))
    tag = payload.get("idTag")
    return TransactionEvent(
        event_type="Ended",
        timestamp=moment,
        trigger_reason="RemoteStop" if reason == "Remote" else "StopAuthorized",
        transaction_info=Transaction(
            transaction_id=_transaction_id(payload["transactionId"]), stopped_reason=_STOPPED_REASON.get(reason, reason)
        ),
        meter_value=[
            *_meter_values(payload.get("transactionData", [])),
            _register(moment, payload["meterStop"], "Transaction.End"),
        ],
        id_token=None if tag is None else IdToken(_text(tag)),
    )


def _meter(payload: Json) -> TransactionEvent | MeterValues:
    connector, values = _number(payload["connectorId"]), _meter_values(payload["meterValue"])
    transaction = payload.get("transactionId")
    if not isinstance(transaction, int) or transaction <= 0:
        return MeterValues(evse_id=connector, meter_value=values)
    return TransactionEvent(
        event_type="Updated",
        timestamp=values[-1].timestamp,
        trigger_reason="MeterValuePeriodic",
        transaction_info=Transaction(transaction_id=_transaction_id(transaction)),
        meter_value=values,
        evse=EVSE(connector, 1) if connector else None,
    )


def _data_transfer(payload: Json) -> DataTransfer:
    return DataTransfer(
        _text(payload["vendorId"]), _optional_text(payload.get("messageId")), _optional_text(payload.get("data"))
    )


_REQUESTS: Final[dict[str, Callable[[Json], Request]]] = {
    "BootNotification": _boot,
    "Heartbeat": lambda _: Heartbeat(),
    "StatusNotification": _status,
    "Authorize": lambda payload: Authorize(IdToken(_text(payload["idTag"]))),
    "StartTransaction": _start,
    "StopTransaction": _stop,
    "MeterValues": _meter,
    "DataTransfer": _data_transfer,
}


def _register(moment: datetime, energy_wh: object, context: str) -> MeterValue:
    return MeterValue(moment, [SampledValue(float(_number(energy_wh)), context=context)])


def _meter_values(values: object) -> list[MeterValue]:
    return [
        MeterValue(
            _moment(value["timestamp"]), [_sample(sample) for sample in cast("list[Json]", value["sampledValue"])]
        )
        for value in cast("list[Json]", values)
    ]


def _sample(sample: Json) -> SampledValue:
    unit = _optional_text(sample.get("unit"))
    signed = sample.get("format") == "SignedData"
    return SampledValue(
        value=None if signed else _decimal(sample["value"]),
        context=_text(sample.get("context", "Sample.Periodic")),
        measurand=_text(sample.get("measurand", "Energy.Active.Import.Register")),
        phase=_optional_text(sample.get("phase")),
        location=_text(sample.get("location", "Outlet")),
        unit_of_measure=None if unit is None else UnitOfMeasure(unit),
    )


def _decimal(value: object) -> float | None:
    """Read a 1.6 value, which is text; what is no finite number is kept in the stored frame only."""
    try:
        number = float(_text(value).replace(",", "."))
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None


def _moment(value: object) -> datetime:
    return datetime.fromisoformat(_text(value))


def _number(value: object) -> int:
    if not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise FrameFault("PropertyConstraintViolation", "a number is out of the range of 32 bits")
    return value


def _transaction_id(value: object) -> str:
    """Write an id within the 36 characters of 2.x; a number that long is none that this platform gave."""
    return str(value)[:36]


def _text(value: object) -> str:
    return str(value)


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)
