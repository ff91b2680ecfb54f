"""What the read-only queries return: plain values named by what they are.

Id tokens are masked unless the caller asks for them.
Must not know: SQL, HTTP.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from actors.domain.meter import EnergyPoint
from actors.domain.station import ConnectorState, Station
from actors.domain.transaction import GapReport
from cluster.partitions import PartitionMap

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; `cursor` leads to the next one, None at the end, `previous` to the one before."""

    items: list[T]
    cursor: str | None
    previous: str | None = None


class StationSummary(msgspec.Struct, frozen=True):
    """A station in a list."""

    station_id: str
    vendor_name: str
    model: str
    firmware_version: str | None
    ocpp_version: str | None
    registration: str | None
    connected: bool
    last_seen_at: datetime | None
    connectors: dict[str, ConnectorState]


StationOrder = Literal["stationId", "-stationId", "lastSeenAt", "-lastSeenAt", "model", "-model"]
"""What a list of stations goes by; `-` turns it round. Stations that are alike in it go by their ids."""


class TransactionSummary(msgspec.Struct, frozen=True):
    """A transaction in a list; `began_at` is its start, or when it was first heard of."""

    id: str
    station_id: str
    transaction_id: str
    evse_id: int | None
    connector_id: int | None
    id_token: str | None
    began_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    energy_wh: float
    charging_state: str | None
    stopped_reason: str | None
    complete: bool
    updated_at: datetime


class StationDetail(msgspec.Struct, frozen=True):
    """All of a station but its password's digest."""

    station: Station
    password_set: bool
    open_transactions: list[TransactionSummary]


class TransactionDetail(msgspec.Struct, frozen=True):
    """A transaction with what is missing of it."""

    summary: TransactionSummary
    gaps: GapReport
    events: int
    offline_events: int
    power_w: float | None
    soc_percent: float | None
    register_resets: int


class Charge(msgspec.Struct, frozen=True):
    """A transaction as app users see it: without any id token, but with who charges if it is one of them."""

    id: str
    station_id: str
    transaction_id: str
    evse_id: int | None
    connector_id: int | None
    subject: str | None
    began_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    energy_wh: float
    charging_state: str | None
    stopped_reason: str | None
    complete: bool
    updated_at: datetime
    power_w: float | None
    soc_percent: float | None


class ReceivedMeterValues(msgspec.Struct, frozen=True):
    """The meter values of one message as the station sent them, in its version's words."""

    event_key: str
    timestamp: datetime
    received_at: datetime
    meter_values: list[object]


class TransactionMeterValues(msgspec.Struct, frozen=True):
    """The charging curve of a transaction, and the messages behind it when asked for."""

    curve: list[EnergyPoint]
    received: list[ReceivedMeterValues]


class StoredNotice(msgspec.Struct, frozen=True):
    """What a station has reported and is kept as it is."""

    kind: str
    at: datetime
    received_at: datetime
    payload: object


class StoredVariable(msgspec.Struct, frozen=True):
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


class FrameEntry(msgspec.Struct, frozen=True):
    """One OCPP frame of the log; `data` is its text, what is not UTF-8 is replaced."""

    at: datetime
    direction: str
    data: str


MemberState = Literal["serving", "draining", "expired"]


class Member(msgspec.Struct, frozen=True):
    """A host with a lease; `expired` when the lease has run out and nobody has buried it yet."""

    host_id: str
    draining: bool
    expired: bool
    own_partition: int | None = None
    """The only one it holds, if it is dedicated to a station."""
    generation: int = 0
    """The last rolling restart when its process was started."""

    @property
    def state(self) -> MemberState:
        """Say in a word how it is."""
        return "expired" if self.expired else "draining" if self.draining else "serving"


class FleetState(NamedTuple):
    """The fleet at one moment; `version` is another one whenever hosts or owners are others."""

    version: int
    members: list[Member]


class HostShare(NamedTuple):
    """A host, how it is, the station it is dedicated to if any, and the partitions it holds, in order."""

    host_id: str
    state: MemberState
    station_id: str | None
    partitions: list[int]


class Claimed(NamedTuple):
    """Partitions that a host has got, and the stations with partitions of their own at that moment."""

    partitions: list[int]
    own: dict[str, int]


class Ownership(NamedTuple):
    """How many hosts are wanted, who there is, and who owns which partition."""

    wanted: int
    members: list[Member]
    map: PartitionMap

    def shares(self) -> list[HostShare]:
        """Return every host with what it holds, by name."""
        held: dict[str, list[int]] = {member.host_id: [] for member in self.members}
        for partition, owner in sorted(self.map.owners.items()):
            held.setdefault(owner, []).append(partition)
        stations: dict[int | None, str] = {partition: station_id for station_id, partition in self.map.own.items()}
        return [
            HostShare(member.host_id, member.state, stations.get(member.own_partition), held[member.host_id])
            for member in sorted(self.members, key=lambda member: member.host_id)
        ]


class Restart(NamedTuple):
    """The last rolling restart: its number, and how many hosts and gateways were started before it."""

    generation: int
    hosts_left: int
    gateways_left: int

    @property
    def done(self) -> bool:
        """Whether every host and gateway was started after it was asked for."""
        return not self.hosts_left + self.gateways_left


PlacementKind = Literal["station", "site"]


class Placement(NamedTuple):
    """A rule that gives a station, or every station of a site, a host of its own."""

    kind: PlacementKind
    name: str


class FleetCounts(msgspec.Struct, frozen=True):
    """The platform in numbers."""

    stations: int
    connected: int
    open_transactions: int
    waiting_commands: int
    waiting_business_events: int
    hosts: int
    gateways: int


def shown_token(id_token: str, show_tokens: bool) -> str:
    """Return an id token for who may see it, or masked."""
    return id_token if show_tokens else masked(id_token)


def masked(id_token: str) -> str:
    """Hide an id token but for its last four characters, or wholly when that would show half of it."""
    shown = id_token[-4:] if len(id_token) > 8 else ""
    return "*" * (len(id_token) - len(shown)) + shown
