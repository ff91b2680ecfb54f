"""Every event that leaves the platform, defined once: its type is its class, its fields are its data.

Names are the standard's where it has one; on the wire fields are camelCase. An incompatible change of a type raises its
`schema_version`, which is part of `dataschema`; a new optional field does not.

Must not know: how events are stored, published or delivered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

import msgspec

from actors.domain.command import CommandStatus
from actors.domain.station import Registration

Platform = Annotated[str, msgspec.Meta(description="The platform's id of the transaction, as in the API.")]
Wire = Annotated[str, msgspec.Meta(description="The station's id of the transaction, unique per station only.")]
EvseId = Annotated[int, msgspec.Meta(description="0 stands for the whole station.")]
EnergyWh = Annotated[float, msgspec.Meta(description="Energy since the start of the transaction, in Wh.")]
PowerW = Annotated[float, msgspec.Meta(description="Power drawn from the grid, in W.")]
SocPercent = Annotated[float, msgspec.Meta(description="State of charge of the car, in percent.")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Offline = Annotated[bool, msgspec.Meta(description="The station was offline when it happened and tells it late.")]


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all events."""

    schema_version: ClassVar[int] = 1


class Fact(Event, frozen=True):
    """An event others act upon: stored with what it tells, delivered at least once, and shown live as well."""


class Tick(Event, frozen=True):
    """An event for who watches now; it may be lost."""


class StationRegistered(Fact, frozen=True):
    """An admin has registered the station before its first contact."""


class StationConfigured(Fact, frozen=True):
    """An admin has decided anew about the station."""


class StationConnected(Fact, frozen=True):
    """The station has a new socket, which replaces any older one."""

    conn_epoch: int
    version: Annotated[str, msgspec.Meta(description="The OCPP subprotocol spoken on it.", examples=["ocpp2.0.1"])]


class StationDisconnected(Fact, frozen=True):
    """The station's newest socket is gone."""

    conn_epoch: int


class StationBooted(Fact, frozen=True):
    """The station has sent a BootNotification (B01)."""

    registration: Registration
    reason: str
    firmware_version: str | None


class ConnectorStatusChanged(Fact, frozen=True):
    """A connector has another status than before (G01)."""

    evse_id: EvseId
    connector_id: int
    status: Annotated[str, msgspec.Meta(examples=["Available", "Occupied", "Faulted"])]
    at: Annotated[Moment, msgspec.Meta(description="Since when, by the station's clock where it can be believed.")]


class TransactionStarted(Fact, frozen=True):
    """The start of a transaction is known (E01, E02); other events of it may have come before."""

    transaction: Platform
    transaction_id: Wire
    offline: Offline
    evse_id: EvseId | None
    connector_id: int | None
    started_at: Moment


class TransactionUpdated(Tick, frozen=True):
    """How a running transaction stands after its latest message."""

    transaction: Platform
    transaction_id: Wire
    evse_id: EvseId | None
    charging_state: str | None
    energy_wh: EnergyWh
    power_w: PowerW | None
    soc_percent: SocPercent | None


class TransactionEnded(Fact, frozen=True):
    """The end of a transaction is known (E06, E07)."""

    transaction: Platform
    transaction_id: Wire
    offline: Offline
    ended_at: Moment
    energy_wh: EnergyWh
    complete: Annotated[bool, msgspec.Meta(description="False while messages of the transaction are missing.")]
    stopped_reason: str | None


class TransactionRevised(TransactionEnded, frozen=True):
    """A late message has completed or changed the record of a transaction that had ended."""


class MeterValues(Tick, frozen=True):
    """Meter values outside a transaction (J01)."""

    evse_id: EvseId
    at: Moment
    register_wh: Annotated[float, msgspec.Meta(description="The energy register as the meter shows it, in Wh.")] | None
    power_w: PowerW | None
    soc_percent: SocPercent | None


class CommandFinished(Fact, frozen=True):
    """A command has its final status."""

    command: Annotated[str, msgspec.Meta(description="The command's id.")]
    action: Annotated[str, msgspec.Meta(examples=["RequestStartTransaction"])]
    status: CommandStatus


class SecurityEvent(Fact, frozen=True):
    """The station has reported a security event (A04)."""

    type: Annotated[str, msgspec.Meta(examples=["TamperDetectionActivated"])]
    at: Annotated[Moment, msgspec.Meta(description="When, by the station's clock.")]


class ReportCompleted(Fact, frozen=True):
    """The last part of a report of the device model has come (B07)."""

    request_id: int
    parts: int


EVENTS: Final[dict[str, type[Event]]] = {
    event.__name__: event
    for event in (
        StationRegistered,
        StationConfigured,
        StationConnected,
        StationDisconnected,
        StationBooted,
        ConnectorStatusChanged,
        TransactionStarted,
        TransactionUpdated,
        TransactionEnded,
        TransactionRevised,
        MeterValues,
        CommandFinished,
        SecurityEvent,
        ReportCompleted,
    )
}
"""By type."""

FACTS: Final = frozenset(kind for kind, event in EVENTS.items() if issubclass(event, Fact))
"""The types that leave through the outbox."""


DATASCHEMAS: Final = {kind: f"urn:cloudbay:event:{kind}:{event.schema_version}" for kind, event in EVENTS.items()}
"""The name of each type's schema in its present version."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every event travels in: CloudEvents 1.0, JSON format, structured mode. `source` and `id` name one event."""

    specversion: Annotated[str, msgspec.Meta(pattern=r"^1\.0$")]
    id: str
    source: Annotated[str, msgspec.Meta(description="Where it is from; ids of different sources do not compare.")]
    type: str
    subject: Annotated[str, msgspec.Meta(description="The station's id.")]
    time: Annotated[Moment, msgspec.Meta(description="When the platform took note of it.")]
    dataschema: str | None = None
    data: msgspec.Raw


def envelope(source: str, event_id: str, kind: str, station_id: str, at: datetime, data: bytes) -> bytes:
    """Put an event's `data`, JSON, into its envelope; return that as JSON."""
    return _encode(
        Envelope(
            specversion="1.0",
            id=event_id,
            source=source,
            type=kind,
            subject=station_id,
            time=at,
            dataschema=DATASCHEMAS.get(kind),
            data=msgspec.Raw(data),
        )
    )


_encode = msgspec.json.Encoder().encode


def schemas(ref_template: str) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema (2020-12) of every event's data by its type; `ref_template` is as msgspec has it."""
    _, components = msgspec.json.schema_components(EVENTS.values(), ref_template=ref_template)
    return components
