"""What stations say, typed, in OCPP 2.x words (2.0.1 part 2, section 1 and 2): 1.6 is translated into the same classes.

Only fields that something reads are named; a frame is stored whole beside what is made of it. Wire names are the
camelCase of the field names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Wire(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base of every wire type: camelCase outside, absent instead of null."""


class IdToken(Wire, frozen=True, omit_defaults=False):
    """What a user identifies with; compared case-insensitively. `type` is required wherever one is sent."""

    id_token: str
    type: str = "Central"


class EVSE(Wire, frozen=True):
    """An EVSE, and maybe one of its connectors."""

    id: Int32
    connector_id: Int32 | None = None


class UnitOfMeasure(Wire, frozen=True):
    """Unit and power of ten of a sampled value."""

    unit: str = "Wh"
    multiplier: Int32 = 0


class SampledValue(Wire, frozen=True):
    """One measured value; absent fields mean the standard's defaults. `value` is None when it is not a number."""

    value: float | None
    context: str = "Sample.Periodic"
    measurand: str = "Energy.Active.Import.Register"
    phase: str | None = None
    location: str = "Outlet"
    unit_of_measure: UnitOfMeasure | None = None


class MeterValue(Wire, frozen=True):
    """The values sampled at one moment of the station's clock."""

    timestamp: datetime
    sampled_value: list[SampledValue]


class ChargingStation(Wire, frozen=True):
    """Make and model, as the station says."""

    vendor_name: str = ""
    model: str = ""
    serial_number: str | None = None
    firmware_version: str | None = None


class BootNotification(Wire, frozen=True):
    """A station has started (B01)."""

    charging_station: ChargingStation
    reason: str = "Unknown"


class Heartbeat(Wire, frozen=True):
    """A station is alive and wants the time (G02)."""


class StatusNotification(Wire, frozen=True):
    """A connector's state has changed (G01). `evse_id` 0 is the station as a whole (1.6)."""

    timestamp: datetime | None
    connector_status: str
    evse_id: Int32
    connector_id: Int32
    error_code: str | None = None
    """1.6 only, like `vendor_status`: the state in 1.6's own finer words."""
    vendor_status: str | None = None


class Authorize(Wire, frozen=True):
    """A station asks whether this token may charge (C01)."""

    id_token: IdToken


class Transaction(Wire, frozen=True):
    """The standard's TransactionType. 1.6 asks for an id by leaving `transaction_id` empty."""

    transaction_id: str
    charging_state: str | None = None
    stopped_reason: str | None = None
    remote_start_id: Int32 | None = None


class TransactionEvent(Wire, frozen=True):
    """A transaction starts, goes on or ends (E01-E15). `seq_no` is None only for 1.6, which has none."""

    event_type: Literal["Started", "Updated", "Ended"]
    timestamp: datetime
    trigger_reason: str
    transaction_info: Transaction
    seq_no: Int32 | None = None
    meter_value: list[MeterValue] = []
    offline: bool = False
    evse: EVSE | None = None
    id_token: IdToken | None = None
    reservation_id: Int32 | None = None


class MeterValues(Wire, frozen=True):
    """Readings outside a transaction (J01)."""

    evse_id: Int32
    meter_value: list[MeterValue]


class Component(Wire, frozen=True):
    """A component of the device model."""

    name: str
    instance: str | None = None
    evse: EVSE | None = None


class Variable(Wire, frozen=True):
    """A variable of a component."""

    name: str
    instance: str | None = None


class EventData(Wire, frozen=True):
    """One event of a NotifyEvent (N07)."""

    event_id: int
    timestamp: datetime
    trigger: str
    actual_value: str
    component: Component
    variable: Variable


class NotifyEvent(Wire, frozen=True):
    """Monitored variables have changed (N07)."""

    generated_at: datetime
    seq_no: Int32
    event_data: list[EventData]
    tbc: bool = False


class VariableAttribute(Wire, frozen=True):
    """One attribute of a variable."""

    type: str = "Actual"
    value: str | None = None
    mutability: str = "ReadWrite"


class ReportData(Wire, frozen=True):
    """One variable of a report."""

    component: Component
    variable: Variable
    variable_attribute: list[VariableAttribute]


class NotifyReport(Wire, frozen=True):
    """A part of a report that the platform asked for (B07)."""

    request_id: Int32
    generated_at: datetime
    seq_no: Int32
    report_data: list[ReportData] = []
    tbc: bool = False


class SecurityEventNotification(Wire, frozen=True):
    """Something that concerns security has happened (A04)."""

    type: str
    timestamp: datetime
    tech_info: str | None = None


class DataTransfer(Wire, frozen=True):
    """A vendor's own message (P02)."""

    vendor_id: str
    message_id: str | None = None
    data: object = None


Request = (
    BootNotification
    | Heartbeat
    | StatusNotification
    | Authorize
    | TransactionEvent
    | MeterValues
    | NotifyEvent
    | NotifyReport
    | SecurityEventNotification
    | DataTransfer
)


class BootNotificationResponse(Wire, frozen=True):
    """The verdict; `interval` is the heartbeat interval, or when not Accepted the wait before the next boot, in s."""

    current_time: str
    interval: int
    status: Literal["Accepted", "Pending", "Rejected"]


class HeartbeatResponse(Wire, frozen=True):
    """The platform's clock."""

    current_time: str


class Empty(Wire, frozen=True):
    """Nothing to say but that it was received."""


class IdTokenInfo(Wire, frozen=True):
    """What is known of a token."""

    status: str
    cache_expiry_date_time: datetime | None = None
    group_id_token: IdToken | None = None


class AuthorizeResponse(Wire, frozen=True):
    """The answer to Authorize."""

    id_token_info: IdTokenInfo


class TransactionEventResponse(Wire, frozen=True):
    """The answer to TransactionEvent; `transaction_id` is for the 1.6 translation and never sent to a 2.x station."""

    id_token_info: IdTokenInfo | None = None
    transaction_id: str | None = None


class DataTransferResponse(Wire, frozen=True):
    """The answer to DataTransfer."""

    status: Literal["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"]


Response = (
    BootNotificationResponse
    | HeartbeatResponse
    | Empty
    | AuthorizeResponse
    | TransactionEventResponse
    | DataTransferResponse
)
