"""Blocks A, N and P: what stations report and the platform keeps as it is (A04, N07, P02)."""

from __future__ import annotations

from datetime import datetime

from actors.domain.events import SecurityEvent
from actors.domain.moment import believable
from actors.domain.records import Notice
from actors.handlers.availability import set_status
from actors.ocpp.messages import (
    DataTransfer,
    DataTransferResponse,
    Empty,
    EventData,
    NotifyEvent,
    SecurityEventNotification,
)
from actors.turn import Turn


def security_event(turn: Turn, request: SecurityEventNotification) -> Empty:
    """Keep a security event and tell it on."""
    _keep(turn, "SecurityEventNotification", request.timestamp)
    turn.tell(SecurityEvent(request.type, request.timestamp))
    return Empty()


def event(turn: Turn, request: NotifyEvent) -> Empty:
    """Keep the events; AvailabilityState is also a connector's state (2.1 prefers it to StatusNotification)."""
    _keep(turn, "NotifyEvent", request.generated_at)
    for data in request.event_data:
        _availability(turn, data)
    return Empty()


def data_transfer(turn: Turn, request: DataTransfer) -> DataTransferResponse:
    """Keep a vendor's message; no vendor is known yet, and the station is told so (P02.FR.06)."""
    _keep(turn, f"DataTransfer/{request.vendor_id}"[:100], turn.now)
    return DataTransferResponse("UnknownVendorId")


def _availability(turn: Turn, data: EventData) -> None:
    evse = data.component.evse
    if data.variable.name == "AvailabilityState" and evse is not None:
        at = data.timestamp if believable(data.timestamp, turn.now) else turn.now
        set_status(turn, evse.id, evse.connector_id or 0, data.actual_value, at)


def _keep(turn: Turn, kind: str, at: datetime) -> None:
    turn.save(Notice(turn.station.station_id, kind, at, turn.now, turn.digest, turn.payload))
