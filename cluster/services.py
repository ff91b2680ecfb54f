"""What the HTTP API needs of the platform: ports named by role, and the bundle of them that `cluster.bootstrap` fills.

Must not know: HTTP, and who stands behind a port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from actors.domain.command import Command
from actors.domain.station import Configuration, Station
from actors.domain.token import KnownToken
from cluster.approvals import Approvals
from cluster.attendance import Attendance
from cluster.audit.ports import AuditLog, AuditQueries
from cluster.bus.subscription import Allowed, EventFilter, Reach, Screen, Subscription
from cluster.charging import Charging
from cluster.idempotency import Repeats
from cluster.identity.caller import Caller
from cluster.identity.services import IdentityServices
from cluster.onlookers import Onlookers
from cluster.personal_data import PersonalData
from cluster.sharing import Sharing
from cluster.store.views import (
    FleetCounts,
    FrameEntry,
    Ownership,
    Page,
    Placement,
    PlacementKind,
    Restart,
    StationDetail,
    StationOrder,
    StationSummary,
    StoredNotice,
    StoredVariable,
    TransactionDetail,
    TransactionMeterValues,
    TransactionSummary,
)
from cluster.webhooks.subscriptions import WebhookDeliveries, Webhooks
from configs.settings import Settings


@dataclass
class Answered:
    """What one process has answered since it began, and what it is asked now."""

    answers: int = 0
    failures: int = 0
    """Answers of 5xx."""
    under_way: int = 0
    """Listeners to live events among them."""


class StationQueries(Protocol):
    """What is known of stations. All queries raise Unavailable, and BadRequest for a bad cursor or value."""

    async def stations(
        self,
        connected: bool | None = None,
        registration: str | None = None,
        site_id: str | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
        order: StationOrder = "stationId",
    ) -> Page[StationSummary]:
        """List stations."""

    async def station(self, station_id: str, show_tokens: bool = False) -> StationDetail:
        """Return one station. Raises NotFound."""

    async def variables(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[StoredVariable]:
        """List the reported device model."""

    async def notices(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[StoredNotice]:
        """List what the station has reported, the newest first."""

    async def counts(self) -> FleetCounts:
        """Return the platform in numbers."""


class TransactionQueries(Protocol):
    """What is known of transactions, by the platform's ids."""

    async def transactions(
        self,
        station_id: str | None = None,
        is_open: bool | None = None,
        began_from: datetime | None = None,
        began_before: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
        show_tokens: bool = False,
    ) -> Page[TransactionSummary]:
        """List transactions, the newest first."""

    async def transaction(self, transaction_id: str, show_tokens: bool = False) -> TransactionDetail:
        """Return one transaction. Raises NotFound."""

    async def meter_values(self, transaction_id: str, received: bool = False) -> TransactionMeterValues:
        """Return the charging curve. Raises NotFound."""


class RecordQueries(Protocol):
    """What was ordered and said: commands, OCPP frames, id tokens."""

    async def commands(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[Command]:
        """List a station's commands, the newest first."""

    async def command(self, command_id: str) -> Command:
        """Return one command. Raises NotFound."""

    async def frames(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[FrameEntry]:
        """List a station's frames, the newest first."""

    def all_frames(self, station_id: str) -> AsyncIterator[FrameEntry]:
        """Yield a station's frames, the oldest first."""

    async def tokens(self, cursor: str | None = None, limit: int = 100, show_tokens: bool = False) -> Page[KnownToken]:
        """List id tokens, the first registered first."""


class Queries(StationQueries, TransactionQueries, RecordQueries, Protocol):
    """The whole read side."""


class TokenRegistry(Protocol):
    """What an admin decides about id tokens. Raises Unavailable."""

    async def put(self, token: KnownToken) -> None:
        """Register an id token, or replace what is known of it. Raises BadRequest."""

    async def remove(self, id_token: str) -> None:
        """Forget an id token. Raises NotFound."""


class ChargerDirectory(Protocol):
    """Chargers by station id, wherever they run. Safe to repeat."""

    async def submit(self, command: Command, wait_s: float = 0.0, again: bool = False) -> Command:
        """Queue a command; return it finished if it finishes in time.

        `again` tells that an earlier call with the same id may have been executed.
        Raises NotFound, BadRequest, StationOffline, TooMany, Unavailable.
        """

    async def cancel(self, station_id: str, command_id: str) -> Command:
        """Withdraw a queued command. Raises NotFound, Conflict, Unavailable."""

    async def configure(
        self, station_id: str, change: Configuration, *, create: bool = False, again: bool = False
    ) -> Station:
        """Take an admin's decisions; `create` registers a new station; `again` as in `submit`.

        Raises NotFound, Conflict, Changed, Unavailable.
        """


class CallerDirectory(Protocol):
    """Who calls."""

    async def identify(self, token: str) -> Caller:
        """Return who a bearer token speaks for. Raises BadToken, Unavailable."""


class LiveEvents(Protocol):
    """What happens now, for any number of listeners."""

    async def subscribe(
        self,
        wanted: EventFilter,
        allowed: Allowed,
        after: str | None = None,
        reach: Reach | None = None,
        screen: Screen | None = None,
    ) -> Subscription:
        """Listen from now on, or after the id of an event that was received before.

        `reach` is where what is `allowed` can come from, `screen` what decides in the end.
        Raises BadRequest for an id that is none, Unavailable when the stream cannot be read or too many listen.
        """

    def leave(self) -> None:
        """End all subscriptions as going away, also those that are still to come: another process serves them."""


class HostDirectory(Protocol):
    """The hosts as the database knows them. Raises Unavailable."""

    async def ownership(self) -> Ownership:
        """Return who holds what."""

    async def want_hosts(self, count: int) -> None:
        """Ask for so many hosts from now on."""

    async def restart(self, request_id: str) -> Restart:
        """Ask for a rolling restart of everything, once for one `request_id`; return how far it is."""

    async def restarting(self) -> Restart:
        """Return how far the last rolling restart is."""


class PlacementRules(Protocol):
    """Who gets a host of its own. Raises Unavailable."""

    async def rules(self) -> list[Placement]:
        """Return all rules, by kind and name."""

    async def dedicate(self, kind: PlacementKind, name: str) -> None:
        """Give a station, or every station of a site, a host of its own. Raises NotFound, Conflict."""

    async def pack(self, kind: PlacementKind, name: str) -> None:
        """Take a rule back. Raises NotFound."""


@dataclass(frozen=True)
class FleetStats:
    """Counters of every host and gateway that answers, by its name; `at_s` is the process' monotonic clock."""

    at_s: float
    hosts: Mapping[str, Mapping[str, object]]
    gateways: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class ApiServices:
    """Everything behind the HTTP API."""

    settings: Settings
    queries: Queries
    tokens: TokenRegistry
    chargers: ChargerDirectory
    callers: CallerDirectory
    identity: IdentityServices
    hosts: HostDirectory
    placements: PlacementRules
    audit_log: AuditLog
    audit: AuditQueries
    approvals: Approvals
    webhooks: Webhooks
    deliveries: WebhookDeliveries
    personal: PersonalData
    repeats: Repeats
    sharing: Sharing
    charging: Charging
    stats: Callable[[], Awaitable[FleetStats]]
    answered: Answered
    vitals: Callable[[], Awaitable[Mapping[str, Mapping[str, float]]]]
    """What every API process says of itself, by its name. Raises Unavailable when Redis does not answer."""
    ping_redis: Callable[[], Awaitable[None]]
    """Raises Unavailable when Redis does not answer."""
    live: LiveEvents
    attendance: Attendance
    onlookers: Onlookers
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    password_key: bytes = field(repr=False)
    """Hashes station passwords."""
    generation: int
    """The last rolling restart when this process was started."""
    close: Callable[[], Awaitable[None]]
