"""What 1.6 stations say becomes the same messages as of 2.x stations, and the answers come back in words of 1.6."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from actors.errors import FrameFault
from actors.ocpp import schemas
from actors.ocpp.frames import OcppVersion
from actors.ocpp.messages import (
    EVSE,
    Authorize,
    AuthorizeResponse,
    BootNotification,
    BootNotificationResponse,
    ChargingStation,
    DataTransfer,
    DataTransferResponse,
    Empty,
    Heartbeat,
    HeartbeatResponse,
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
from actors.ocpp.v16 import from_response, to_request

V16 = OcppVersion.V16
T = "2026-01-01T10:00:00Z"
AT = datetime(2026, 1, 1, 10, tzinfo=UTC)
CARD = IdToken("04AABBCC")


def understood(action: str, payload: dict[str, Any]) -> Request:
    """Validate strictly, then translate."""
    assert schemas.check(V16, action, payload, strict=True) == []
    return to_request(action, payload)


def answered(action: str, response: Response) -> dict[str, Any]:
    """Translate an answer, as it goes over the wire, and validate it strictly."""
    wire: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(from_response(action, response)))
    assert schemas.check(V16, action, dict(wire), answer=True, strict=True) == []
    return wire


def register(energy_wh: float, context: str) -> MeterValue:
    return MeterValue(AT, [SampledValue(energy_wh, context=context)])


@pytest.mark.parametrize(
    ("serials", "expected"),
    [
        ({}, None),
        ({"chargeBoxSerialNumber": "box"}, "box"),
        ({"chargeBoxSerialNumber": "box", "chargePointSerialNumber": "point"}, "point"),
        ({"chargeBoxSerialNumber": "box", "chargePointSerialNumber": ""}, "box"),
    ],
)
def test_boot(serials: dict[str, str], expected: str | None) -> None:
    payload = {"chargePointVendor": "Acme", "chargePointModel": "One", "firmwareVersion": "1.2", **serials}
    assert understood("BootNotification", payload) == BootNotification(
        ChargingStation("Acme", "One", serial_number=expected, firmware_version="1.2")
    )
    response = BootNotificationResponse("2026-01-01T10:00:00.000Z", 300, "Accepted")
    assert answered("BootNotification", response) == {
        "currentTime": "2026-01-01T10:00:00.000Z",
        "interval": 300,
        "status": "Accepted",
    }


def test_heartbeat() -> None:
    assert understood("Heartbeat", {}) == Heartbeat()
    assert answered("Heartbeat", HeartbeatResponse("2026-01-01T10:00:00.000Z")) == {
        "currentTime": "2026-01-01T10:00:00.000Z"
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Available", "Available"),
        ("Preparing", "Occupied"),
        ("Charging", "Occupied"),
        ("SuspendedEV", "Occupied"),
        ("SuspendedEVSE", "Occupied"),
        ("Finishing", "Occupied"),
        ("Reserved", "Reserved"),
        ("Unavailable", "Unavailable"),
        ("Faulted", "Faulted"),
    ],
)
def test_status(status: str, expected: str) -> None:
    payload = {"connectorId": 2, "errorCode": "NoError", "status": status, "timestamp": T}
    assert understood("StatusNotification", payload) == StatusNotification(
        AT, expected, evse_id=2, connector_id=1, error_code="NoError", vendor_status=status
    )
    assert answered("StatusNotification", Empty()) == {}


def test_connector_0_is_the_station_and_the_time_may_be_missing() -> None:
    payload = {"connectorId": 0, "errorCode": "GroundFailure", "status": "Faulted"}
    assert understood("StatusNotification", payload) == StatusNotification(
        None, "Faulted", evse_id=0, connector_id=0, error_code="GroundFailure", vendor_status="Faulted"
    )


def test_authorize() -> None:
    assert understood("Authorize", {"idTag": "04AABBCC"}) == Authorize(CARD)
    info = IdTokenInfo("Accepted", cache_expiry_date_time=AT, group_id_token=IdToken("family-of-a-long-name"))
    assert answered("Authorize", AuthorizeResponse(info)) == {
        "idTagInfo": {"status": "Accepted", "parentIdTag": "family-of-a-long-nam", "expiryDate": T}
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Accepted", "Accepted"),
        ("Blocked", "Blocked"),
        ("Expired", "Expired"),
        ("ConcurrentTx", "ConcurrentTx"),
        ("NoCredit", "Blocked"),
        ("Invalid", "Invalid"),
        ("Unknown", "Invalid"),
        ("NotAtThisTime", "Invalid"),
        ("NotAtThisLocation", "Invalid"),
        ("NotAllowedTypeEVSE", "Invalid"),
    ],
)
def test_every_verdict_on_a_token_has_a_word(status: str, expected: str) -> None:
    info = IdTokenInfo(status)
    assert answered("Authorize", AuthorizeResponse(info)) == {"idTagInfo": {"status": expected}}
    response = TransactionEventResponse(info, transaction_id="7")
    assert answered("StartTransaction", response) == {"transactionId": 7, "idTagInfo": {"status": expected}}
    assert answered("StopTransaction", TransactionEventResponse(info)) == {"idTagInfo": {"status": expected}}


def test_start() -> None:
    payload = {"connectorId": 2, "idTag": "04AABBCC", "meterStart": 1200, "timestamp": T, "reservationId": 5}
    assert understood("StartTransaction", payload) == TransactionEvent(
        event_type="Started",
        timestamp=AT,
        trigger_reason="Authorized",
        transaction_info=Transaction(""),
        meter_value=[register(1200.0, "Transaction.Begin")],
        evse=EVSE(2, 1),
        id_token=CARD,
        reservation_id=5,
    )
    assert answered("StartTransaction", TransactionEventResponse(transaction_id="7")) == {
        "transactionId": 7,
        "idTagInfo": {"status": "Accepted"},
    }


@pytest.mark.parametrize(
    ("reason", "stopped", "trigger"),
    [
        (None, "Local", "StopAuthorized"),
        ("Local", "Local", "StopAuthorized"),
        ("Remote", "Remote", "RemoteStop"),
        ("EVDisconnected", "EVDisconnected", "StopAuthorized"),
        ("HardReset", "ImmediateReset", "StopAuthorized"),
        ("SoftReset", "ImmediateReset", "StopAuthorized"),
        ("UnlockCommand", "Other", "StopAuthorized"),
        ("PowerLoss", "PowerLoss", "StopAuthorized"),
    ],
)
def test_stop(reason: str | None, stopped: str, trigger: str) -> None:
    payload: dict[str, Any] = {"transactionId": 7, "meterStop": 9200, "timestamp": T, "idTag": "04AABBCC"}
    if reason is not None:
        payload["reason"] = reason
    assert understood("StopTransaction", payload) == TransactionEvent(
        event_type="Ended",
        timestamp=AT,
        trigger_reason=trigger,
        transaction_info=Transaction("7", stopped_reason=stopped),
        meter_value=[register(9200.0, "Transaction.End")],
        id_token=CARD,
    )
    assert answered("StopTransaction", TransactionEventResponse()) == {}


def test_the_readings_of_a_stop_come_before_its_register() -> None:
    data = [{"timestamp": "2026-01-01T09:00:00Z", "sampledValue": [{"value": "5.5", "unit": "kWh"}]}]
    event = understood(
        "StopTransaction", {"transactionId": 7, "meterStop": 9200, "timestamp": T, "transactionData": data}
    )
    assert isinstance(event, TransactionEvent)
    assert event.id_token is None
    assert event.meter_value == [
        MeterValue(AT - timedelta(hours=1), [SampledValue(5.5, unit_of_measure=UnitOfMeasure("kWh"))]),
        register(9200.0, "Transaction.End"),
    ]


@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, 10**300])
def test_a_stop_of_any_transaction_is_taken(number: int) -> None:
    """1.6 4.10: a stop whose id makes no sense is answered all the same."""
    event = understood("StopTransaction", {"transactionId": number, "meterStop": 1, "timestamp": T})
    assert isinstance(event, TransactionEvent)
    assert event.transaction_info.transaction_id == str(number)[:36]


def meter_values(sample: dict[str, str], **more: object) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": T, "sampledValue": [sample]}], **more}


def test_meter_values_of_a_transaction_are_an_event_of_it() -> None:
    payload = meter_values({"value": "1500"}, transactionId=7)
    assert understood("MeterValues", payload) == TransactionEvent(
        event_type="Updated",
        timestamp=AT,
        trigger_reason="MeterValuePeriodic",
        transaction_info=Transaction("7"),
        meter_value=[MeterValue(AT, [SampledValue(1500.0)])],
        evse=EVSE(1, 1),
    )
    assert answered("MeterValues", TransactionEventResponse()) == {}


def test_meter_values_of_connector_0_name_no_evse() -> None:
    event = understood("MeterValues", meter_values({"value": "1"}, connectorId=0, transactionId=7))
    assert isinstance(event, TransactionEvent)
    assert event.evse is None


@pytest.mark.parametrize("transaction", [{}, {"transactionId": 0}, {"transactionId": -1}])
def test_meter_values_without_a_real_transaction_belong_to_the_connector(transaction: dict[str, int]) -> None:
    assert understood("MeterValues", meter_values({"value": "1500"}, **transaction)) == MeterValues(
        1, [MeterValue(AT, [SampledValue(1500.0)])]
    )
    assert answered("MeterValues", Empty()) == {}


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"value": "1500"}, SampledValue(1500.0)),
        ({"value": " -1.5e3 "}, SampledValue(-1500.0)),
        ({"value": "12,5", "unit": "kWh"}, SampledValue(12.5, unit_of_measure=UnitOfMeasure("kWh"))),
        ({"value": "n/a"}, SampledValue(None)),
        ({"value": "NaN"}, SampledValue(None)),
        ({"value": "inf"}, SampledValue(None)),
        ({"value": "1e300"}, SampledValue(None)),
        ({"value": "4142", "format": "SignedData"}, SampledValue(None)),
        (
            {
                "value": "16.1",
                "format": "Raw",
                "context": "Trigger",
                "measurand": "Current.Import",
                "phase": "L1",
                "location": "Inlet",
                "unit": "A",
            },
            SampledValue(16.1, "Trigger", "Current.Import", "L1", "Inlet", UnitOfMeasure("A")),
        ),
    ],
)
def test_samples_are_text_that_may_be_a_number(sample: dict[str, str], expected: SampledValue) -> None:
    values = understood("MeterValues", meter_values(sample))
    assert isinstance(values, MeterValues)
    assert values.meter_value[0].sampled_value == [expected]


def test_data_transfer() -> None:
    payload = {"vendorId": "Acme", "messageId": "Led", "data": "blue"}
    assert understood("DataTransfer", payload) == DataTransfer("Acme", "Led", "blue")
    assert understood("DataTransfer", {"vendorId": "Acme"}) == DataTransfer("Acme")
    assert answered("DataTransfer", DataTransferResponse("UnknownVendorId")) == {"status": "UnknownVendorId"}


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-01-01T10:00:00.5Z", AT + timedelta(seconds=0.5)),
        ("2026-01-01T12:00:00+02:00", AT),
        ("2026-01-01T10:00:00.123456789Z", AT + timedelta(microseconds=123456)),
    ],
)
def test_times_keep_their_moment(stamp: str, expected: datetime) -> None:
    payload = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": stamp}
    status = understood("StatusNotification", payload)
    assert isinstance(status, StatusNotification)
    assert status.timestamp == expected


def test_an_expiry_of_any_zone_is_written_so_that_1_6_reads_it() -> None:
    expiry = AT.astimezone(timezone(timedelta(hours=2)))
    wire = answered("Authorize", AuthorizeResponse(IdTokenInfo("Accepted", cache_expiry_date_time=expiry)))
    assert datetime.fromisoformat(wire["idTagInfo"]["expiryDate"]) == AT


@pytest.mark.parametrize("connector", [2**31, -(2**31) - 1])
def test_a_number_beyond_32_bits_is_refused(connector: int) -> None:
    payload = {"connectorId": connector, "errorCode": "NoError", "status": "Available"}
    with pytest.raises(FrameFault, match="32 bits") as fault:
        to_request("StatusNotification", payload)
    assert fault.value.code == "PropertyConstraintViolation"


@pytest.mark.parametrize("action", ["Reset", "FirmwareStatusNotification", "SecurityEventNotification"])
def test_an_action_of_1_6_that_is_not_taken_is_not_supported(action: str) -> None:
    with pytest.raises(FrameFault) as fault:
        to_request(action, {})
    assert fault.value.code == "NotSupported"
