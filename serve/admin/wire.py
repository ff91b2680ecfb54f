"""The JSON of the admin application."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from cluster.store.views import MemberState, PlacementKind
from serve.hal import Item, Resource
from serve.wire import Asked, Moment, Wire

Registration = Literal["Accepted", "Pending", "Rejected"]
Validation = Literal["tolerant", "strict"]
StationId = Annotated[str, StringConstraints(min_length=1, max_length=48, pattern=r"^[^:/\x00-\x1f\x7f]+$")]
"""1 to 48 printable characters without ':' (OCPP 2.1 Part 4 section 3.1.1); '/' would not fit a URL's segment."""
SiteId = Annotated[str, StringConstraints(min_length=1, max_length=48, pattern=r"^[^/\x00-\x1f\x7f]+$")]
IdToken = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\x00-\x1f\x7f]+$")]


class ConnectorOut(Wire):
    """The last known state of a connector."""

    status: str
    at: datetime
    vendor_status: str | None
    error_code: str | None


class StationSummaryOut(Item):
    """A station in a list."""

    station_id: str
    vendor_name: str
    model: str
    firmware_version: str | None
    ocpp_version: str | None
    registration: str | None
    connected: bool
    last_seen_at: datetime | None
    connectors: dict[str, ConnectorOut] = Field(description="By `evse/connector`.")


class TransactionSummaryOut(Item):
    """A transaction in a list."""

    id: str = Field(description="The platform's id, unique everywhere.")
    station_id: str
    transaction_id: str = Field(description="The id spoken on the wire, unique per station.")
    evse_id: int | None
    connector_id: int | None
    id_token: str | None = Field(description="Masked.")
    began_at: datetime = Field(description="Its start, or when it was first heard of.")
    started_at: datetime | None
    ended_at: datetime | None
    energy_wh: float
    charging_state: str | None
    stopped_reason: str | None
    complete: bool = Field(description="Whether every event has arrived.")
    updated_at: datetime


class StationOut(StationSummaryOut, Resource):
    """A station with what charges at it now."""

    serial_number: str | None
    site_id: str | None = Field(description="The site it belongs to.")
    boot_reason: str | None
    booted_at: datetime | None
    connected_at: datetime | None
    disconnected_at: datetime | None
    violations: dict[str, int] = Field(description="Forgiven violations of the OCPP schemas and how often.")
    open_transactions: list[TransactionSummaryOut]


class ConfigurationOut(Resource):
    """What admins have decided about a station."""

    station_id: str
    admission: Registration | None = Field(description="How its boots are answered; null goes by `stations.boot`.")
    validation: Validation | None = Field(description="How strictly it is read; null goes by `ocpp.validation`.")
    site_id: str | None = Field(description="The site it belongs to.")
    password_set: bool


class AddedOut(ConfigurationOut):
    """A station that was just registered."""

    password: str | None = Field(description="Its new password, shown this once; null if none was asked for.")


class StationAsked(Asked):
    """A station to register before its first contact."""

    station_id: StationId = Field(examples=["CP-1"])
    admission: Registration | None = None
    validation: Validation | None = None
    site_id: SiteId | None = None
    password: bool = Field(default=False, description="Make a password and tell it in this answer.")


class StationChange(Asked):
    """What an admin changes; fields left out stay, null goes by the platform's rule."""

    admission: Registration | None = None
    validation: Validation | None = None
    site_id: SiteId | None = None


class PasswordOut(Resource):
    """A new password, shown this once."""

    station_id: str
    password: str


class OwnerAsked(Asked):
    """Who is to own a station or site."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class OwnerOut(Resource):
    """Who owns a station or site."""

    holding: dict[str, str]
    subject: str | None = Field(description="The person's id on this platform; null if nobody does.")
    since: datetime | None


class ClaimOut(Resource):
    """The code that the first owner claims a station with, shown this once."""

    station_id: str
    code: str
    expires_at: datetime


class CommandAsked(Asked):
    """A command in the words of OCPP 2.x, whatever the station speaks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "RequestStartTransaction",
                    "payload": {"evseId": 1, "idToken": {"idToken": "04A2B3C4", "type": "ISO14443"}},
                    "deadlineS": 60,
                    "ifOffline": "fail",
                }
            ]
        }
    )

    action: str = Field(min_length=1, max_length=50)
    payload: dict[str, object] = Field(default={})
    deadline_s: float | None = Field(
        default=None, gt=0, le=30 * 86400, description="Seconds it may wait; default `commands.default_deadline_s`."
    )
    if_offline: Literal["wait", "fail"] = Field(default="wait", description="For a station that is not connected.")


class CommandOut(Resource):
    """A command and what became of it."""

    id: str
    station_id: str
    action: str
    payload: dict[str, object]
    status: str
    if_offline: str
    requested_by: str
    created_at: datetime
    deadline: datetime
    sent_at: datetime | None
    finished_at: datetime | None
    response: dict[str, object] | None = Field(description="The station's answer in 2.x words.")
    error: str | None
    transaction: str | None = Field(description="Id of the transaction that a remote start led to.")
    energy_limit_wh: float | None = Field(description="What that transaction may take; it is ended there.")


class GapsOut(Wire):
    """What of a transaction is missing; `missing` has inclusive ranges of sequence numbers."""

    complete: bool
    start_missing: bool
    end_missing: bool
    missing: list[tuple[int, int]]
    conflicts: int


class TransactionOut(TransactionSummaryOut, Resource):
    """A transaction with what is missing of it."""

    gaps: GapsOut
    events: int
    offline_events: int
    power_w: float | None
    soc_percent: float | None
    register_resets: int


class EnergyPointOut(Wire):
    """A point of the charging curve: energy since the transaction's start."""

    at: datetime
    energy_wh: float
    power_w: float | None
    soc_percent: float | None


class ReceivedOut(Wire):
    """The meter values of one message as the station sent them."""

    event_key: str
    timestamp: datetime
    received_at: datetime
    meter_values: list[object]


class MeterValuesOut(Resource):
    """The charging curve of a transaction."""

    curve: list[EnergyPointOut]
    received: list[ReceivedOut] = Field(description="With `raw=1` only.")


class FrameOut(Wire):
    """One OCPP frame as it crossed the wire."""

    at: datetime
    direction: str = Field(description="in: from the station; out: to it.")
    data: str


class VariableOut(Wire):
    """A value of the device model as last reported."""

    component: str
    component_instance: str
    evse_id: int
    variable: str
    variable_instance: str
    attribute: str
    value: str | None
    mutability: str
    reported_at: datetime


class NoticeOut(Wire):
    """What a station has reported and is kept as it is."""

    kind: str
    at: datetime
    received_at: datetime
    payload: object


class TokenBase(Wire):
    """What is known of an id token."""

    status: Literal["Accepted", "Blocked", "Expired", "Invalid"] = "Accepted"
    valid_until: Moment | None = None
    group_id: str | None = None
    master_pass: bool = Field(default=False, description="Stops the transactions of its group, starts none.")
    concurrent: bool = Field(default=True, description="May charge at several places at once.")


class TokenAsked(TokenBase, Asked):
    """An id token to register, or to replace."""

    id_token: IdToken = Field(examples=["04A2B3C4"])


class TokenOut(TokenBase, Item):
    """An id token, masked."""

    status: str  # type: ignore[assignment]  # what is stored is shown
    id_token: str


class HostsAsked(Asked):
    """How many hosts there should be."""

    count: Annotated[int, Field(ge=1, le=1000)]


class HostOut(Wire):
    """One host and what it holds."""

    host_id: str
    state: MemberState
    station_id: str | None = Field(description="The station it is dedicated to; null for a host that many share.")
    partitions: int
    ranges: str = Field(description="The partitions it holds, like `0-2047, 4000`.")


class HostsOut(Resource):
    """All hosts."""

    wanted: int
    partitions: int
    free: int = Field(description="Partitions that nobody holds: between two owners, for a moment.")
    hosts: list[HostOut]


class RestartOut(Resource):
    """How far the last rolling restart is."""

    generation: int = Field(description="Its number; 0 before the first.")
    hosts_left: int
    gateways_left: int
    api_left: bool = Field(description="Whether the API process that answers was started before it.")


class PlacementOut(Resource):
    """A rule that gives a station, or every station of a site, a host of its own."""

    kind: PlacementKind
    name: str


class PlacementsOut(Resource):
    """Who gets a host of its own."""

    placements: list[PlacementOut]


class StatusOut(Resource):
    """The platform in numbers."""

    stations: int
    connected: int
    open_transactions: int
    waiting_commands: int
    waiting_business_events: int
    messages_per_s: float = Field(description="Frames from stations, since the last time this was asked.")
    hosts: dict[str, dict[str, object]]
    gateways: dict[str, dict[str, object]]
