"""What a turn leaves behind: rows for the database, business events for the outbox, live events for who watches."""

from __future__ import annotations

from datetime import datetime

import msgspec

from actors.domain.command import Command
from actors.domain.events import Event, Fact
from actors.domain.station import Station
from actors.domain.transaction import ChargingTransaction


class Progress(msgspec.Struct, frozen=True):
    """A stored transaction that has gone on: only its energy, state and end are other. Less to write than all of it."""

    transaction: ChargingTransaction


class StoredEvent(msgspec.Struct, frozen=True):
    """One transaction event, whole. `event_key` is its sequence number, or a digest of its content."""

    station_id: str
    transaction_id: str
    event_key: str
    seq_no: int | None
    event_type: str
    timestamp: datetime
    received_at: datetime
    offline: bool
    payload: bytes
    """The request as received, JSON (1.6 in 1.6 words)."""
    readings: bytes
    """Its readings, reduced (JSON of list[Reading]); empty when there are none."""
    answer: bytes
    """The answer's payload in 2.x words, JSON; empty for {}."""


class StoredReading(msgspec.Struct, frozen=True):
    """Meter values outside a transaction."""

    station_id: str
    evse_id: int
    at: datetime
    received_at: datetime
    digest: str
    payload: bytes


class Notice(msgspec.Struct, frozen=True):
    """Something a station has reported that is kept as it is: NotifyEvent, SecurityEventNotification, DataTransfer."""

    station_id: str
    kind: str
    at: datetime
    received_at: datetime
    digest: str
    payload: bytes


class ReportedVariable(msgspec.Struct, frozen=True):
    """A value of the device model as last reported. Absent parts of the key are empty text."""

    station_id: str
    component: str
    component_instance: str
    evse_id: int
    variable: str
    variable_instance: str
    attribute: str
    value: str | None
    mutability: str
    reported_at: datetime


class BusinessEvent(msgspec.Struct, frozen=True):
    """A fact others act upon; leaves through the outbox, written in the same transaction as what it tells."""

    station_id: str
    at: datetime
    data: Fact

    @property
    def kind(self) -> str:
        """The event's type."""
        return type(self.data).__name__


class LiveEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event for who watches now; may be lost."""

    kind: str
    station_id: str
    site_id: str | None
    at: datetime
    data: Event


Row = (
    Station
    | ChargingTransaction
    | Progress
    | StoredEvent
    | StoredReading
    | Notice
    | ReportedVariable
    | Command
    | BusinessEvent
)
