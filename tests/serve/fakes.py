"""The platform behind the API, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from actors.domain.command import Command
from actors.domain.meter import EnergyMeter, EnergyPoint
from actors.domain.station import Configuration, Station, decided
from actors.domain.token import KnownToken, token_key
from actors.domain.transaction import ChargingTransaction, GapReport
from actors.errors import BadRequest, Changed, Conflict, NotFound, StationOffline, Unavailable
from cluster.approvals import KINDS, Approvals
from cluster.attendance import Attendance
from cluster.bearer import OwnTokens
from cluster.bus.fanout import Fanout
from cluster.charging import START, STOP, Charging
from cluster.idempotency import Repeats
from cluster.identity.assembly import assemble
from cluster.identity.signing import make_signing_keys
from cluster.keys import Keys
from cluster.onlookers import Onlookers
from cluster.partitions import PartitionMap
from cluster.personal_data import PersonalData
from cluster.services import Answered, ApiServices, FleetStats
from cluster.sharing import Sharing, SharingRules
from cluster.store.views import (
    FleetCounts,
    FrameEntry,
    Member,
    Ownership,
    Page,
    Placement,
    PlacementKind,
    ReceivedMeterValues,
    Restart,
    StationDetail,
    StationOrder,
    StationSummary,
    StoredNotice,
    StoredVariable,
    TransactionDetail,
    TransactionMeterValues,
    TransactionSummary,
    masked,
)
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.subscriptions import UrlRules, WebhookDeliveries, Webhooks
from configs.settings import Settings
from serve.access import SCOPES
from tests.twins.approvals import MemoryApprovals
from tests.twins.audit import MemoryAudit, MemoryAuditLog
from tests.twins.charges import MemoryCharges, MemoryDrivers
from tests.twins.circles import MemoryCircles
from tests.twins.idempotency import MemoryClaims
from tests.twins.identity import MemoryAttempts, MemoryIdentity, memory_stores
from tests.twins.live import MemoryLiveLog
from tests.twins.onlookers import MemoryOnlookers
from tests.twins.personal_data import MemoryPersonalRecords
from tests.twins.store import MemoryDatabase
from tests.twins.vitals import MemoryVitals
from tests.twins.webhooks import MemoryDeliveryLog, MemorySubscriptions, MemoryWebhooks

T = TypeVar("T")

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
TOKEN_KEY = b"t" * 32
PASSWORD_KEY = b"p" * 32
_SETTINGS: dict[str, object] = {
    "hosts.count": 1, "passwords.memory_kib": 64, "passwords.iterations": 1, "passwords.lanes": 1,
}  # fmt: skip
KEYS = Keys(TOKEN_KEY, PASSWORD_KEY, make_signing_keys())


def a_transaction(number: int = 1, station_id: str = "CP-1", ended: bool = True) -> TransactionSummary:
    """Return a transaction of 7.5 kWh."""
    return TransactionSummary(
        f"00000000-0000-0000-0000-00000000000{number}",
        station_id,
        f"T{number}",
        1,
        1,
        masked("04A2B3C4D5"),
        NOW,
        NOW,
        NOW if ended else None,
        7500.0,
        None if ended else "Charging",
        "Local" if ended else None,
        ended,
        NOW,
    )


class MemoryPlatform:
    """Queries, registry, chargers and health in one; `down` makes parts fail, `answers_in_s` commands finish."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self.circles = MemoryCircles(self.database)
        self.drivers = MemoryDrivers(self.database)
        self.charges = MemoryCharges(self.database, self.circles, self.drivers)
        self.summaries: list[TransactionSummary] = []
        self.queue = self.database.commands
        self.log: list[FrameEntry] = []
        self.cards: dict[str, KnownToken] = {}
        self.reported: list[StoredVariable] = []
        self.told: list[StoredNotice] = []
        self.down: set[str] = set()
        self.now = NOW
        self.answers_in_s: float | None = None
        self.station_agrees = True
        self.asked_wait_s: list[float] = []
        self.frames_in = 100
        self.at_s = 0.0
        self.live_log = MemoryLiveLog()
        self.live = Fanout(self.live_log, max_kept=1000, max_listeners=100, max_queued=100)
        self.live.leave()  # a stream ends as soon as it has begun
        self.look = MemoryOnlookers(self.charges)
        self.onlookers = Onlookers(self.look, self.clock)
        self.attendance = Attendance(OwnTokens(TOKEN_KEY))
        self.stations_asked: dict[str, object] = {}
        self.transactions_asked: dict[str, object] = {}
        self.closed = False
        self.wanted = 1
        self.restarts = 0
        self.restart_id = ""
        self.before_submit: Callable[[], Awaitable[None]] = _at_once
        self.claims = MemoryClaims()
        self.audit_log = MemoryAuditLog()
        self.audit = MemoryAudit()
        self.approvals = MemoryApprovals()
        self.people = MemoryIdentity()
        self.hooks = MemoryWebhooks()
        self.vitals = MemoryVitals()
        self.answered = Answered()
        self.subscriptions = MemorySubscriptions(self.hooks)
        self.submitted: list[tuple[str, bool]] = []
        self.own: dict[str, int] = {}
        self.placed: list[Placement] = []
        self.members = [Member("host-0", draining=False, expired=False), Member("host-1", draining=True, expired=False)]
        self.owners = {**dict.fromkeys(range(4000), "host-0"), **dict.fromkeys(range(4000, 4096), "host-1")}

    def services(self, settings: Settings) -> ApiServices:
        """Return the bundle the API is built on."""
        ids = iter(f"id-{number}" for number in range(1_000_000))
        lock, kept = timedelta(seconds=60), timedelta(hours=24)
        repeats = Repeats(self.claims, PASSWORD_KEY, lock, kept, self.clock, lambda: str(uuid4()))
        urls = UrlRules(AddressRules(), allow_http=False)
        rules = SharingRules(settings.sharing.max_people, timedelta(days=7), timedelta(days=365))
        approvals = Approvals(self.approvals, KINDS, self.clock)
        stores = memory_stores(self.people)
        records = MemoryPersonalRecords(
            self.database, self.circles, self.drivers, self.people, self.hooks, self.audit, self.approvals
        )
        return ApiServices(
            settings=settings,
            queries=self,
            tokens=self,
            chargers=self,
            callers=OwnTokens(TOKEN_KEY),
            identity=assemble(settings, stores, MemoryAttempts(), KEYS, SCOPES, self.clock, lambda: next(ids)),
            hosts=self,
            placements=self,
            sharing=Sharing(self.circles, rules, self.clock, PASSWORD_KEY),
            charging=Charging(self.charges, self, self, self.drivers, self.clock, timedelta(minutes=1)),
            audit_log=self.audit_log,
            audit=self.audit,
            approvals=approvals,
            personal=PersonalData(records, self.charges, stores.users, approvals, self.clock),
            webhooks=Webhooks(
                self.subscriptions, urls, settings.webhooks.max_per_owner, timedelta(hours=24), self.clock
            ),
            deliveries=WebhookDeliveries(
                self.subscriptions, MemoryDeliveryLog(self.hooks), timedelta(hours=24), self.clock
            ),
            repeats=repeats,
            stats=self.fleet,
            answered=self.answered,
            vitals=self.vitals.latest,
            ping_redis=self.ping,
            live=self.live,
            attendance=self.attendance,
            onlookers=self.onlookers,
            clock=self.clock,
            new_id=lambda: next(ids),
            password_key=PASSWORD_KEY,
            generation=0,
            close=self.close,
        )

    @property
    def known(self) -> dict[str, Station]:
        """The stations by id."""
        return self.database.stations

    @known.setter
    def known(self, stations: dict[str, Station]) -> None:
        self.database.stations = stations

    def clock(self) -> datetime:
        return self.now

    def go_live(self) -> None:
        """Let events be listened to from now on, in the running event loop."""
        self.live = Fanout(self.live_log, max_kept=1000, max_listeners=100, max_queued=100)
        self.live.start()

    def services_of_tests(self) -> ApiServices:
        """Return the bundle with the settings that tests go by."""
        return self.services(Settings.load("embedded", env={}, overrides=_SETTINGS))

    async def close(self) -> None:
        self.closed = True

    def _reach(self, part: str) -> None:
        if part in self.down:
            raise Unavailable(f"the {part} does not answer")

    async def ping(self) -> None:
        self._reach("redis")

    async def fleet(self) -> FleetStats:
        self._reach("fleet")
        hosts = {} if "hosts" in self.down else {"host-0": {"chargers": 3, "turns": 9, "lag_s": 0.001, "cpu_s": 1.5}}
        self.frames_in += 50
        self.at_s += 0.5
        return FleetStats(
            self.at_s, hosts, {"gateway-a": {"connected": 2, "frames_in": self.frames_in, "refused": {"path": 1}}}
        )

    async def ownership(self) -> Ownership:
        self._reach("database")
        return Ownership(self.wanted, self.members, PartitionMap(4096, self.own, self.owners))

    async def restart(self, request_id: str) -> Restart:
        self.restarts += request_id != self.restart_id
        self.restart_id = request_id
        return await self.restarting()

    async def restarting(self) -> Restart:
        return Restart(self.restarts, hosts_left=2 * (self.restarts > 0), gateways_left=0)

    async def rules(self) -> list[Placement]:
        return self.placed

    async def dedicate(self, kind: PlacementKind, name: str) -> None:
        if kind == "station" and name not in self.known:
            raise NotFound(f"there is no station {name}")
        self.placed.append(Placement(kind, name))

    async def pack(self, kind: PlacementKind, name: str) -> None:
        if Placement(kind, name) not in self.placed:
            raise NotFound(f"no host is dedicated to {kind} {name}")
        self.placed.remove(Placement(kind, name))

    async def want_hosts(self, count: int) -> None:
        self.wanted = count

    async def counts(self) -> FleetCounts:
        self._reach("database")
        return FleetCounts(len(self.known), 1, 2, 3, 4, 1, 1)

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
        self._reach("database")
        asked: dict[str, object] = {
            "connected": connected,
            "registration": registration,
            "site": site_id,
            "q": q,
            "sort": order,
        }
        self.stations_asked = asked
        found = [
            StationSummary(
                s.station_id, s.vendor_name, s.model, s.firmware_version, s.ocpp_version, s.registration,
                s.connected, s.last_seen_at, s.connectors,
            )
            for s in self.known.values() if site_id is None or s.site_id == site_id
        ]  # fmt: skip
        return _page(found, cursor, limit)

    async def station(self, station_id: str, show_tokens: bool = False) -> StationDetail:
        if station_id not in self.known:
            raise NotFound(f"there is no station {station_id}")
        station = self.known[station_id]
        is_open = [t for t in self.summaries if t.station_id == station_id and t.ended_at is None]
        is_open += [
            a_transaction(1, station_id, ended=False)
            for transaction in self.database.transactions.values()
            if transaction.station_id == station_id and transaction.ended_at is None
        ]
        return StationDetail(station, station.password_digest is not None, is_open)

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
        self.transactions_asked = {
            "station": station_id, "open": is_open, "from": began_from, "to": began_before,
        }  # fmt: skip
        return _page(self.summaries, cursor, limit)

    async def transaction(self, transaction_id: str, show_tokens: bool = False) -> TransactionDetail:
        for summary in self.summaries:
            if summary.id == transaction_id:
                gaps = GapReport(False, False, True, [(2, 3)], 0)
                return TransactionDetail(summary, gaps, 4, 1, 11_000.0, 55.0, 0)
        raise NotFound(f"there is no transaction {transaction_id}")

    async def meter_values(self, transaction_id: str, received: bool = False) -> TransactionMeterValues:
        if transaction_id not in self.database.transactions:
            await self.transaction(transaction_id)
        raw = ReceivedMeterValues("0", NOW, NOW, [{"sampledValue": [{"value": 1}]}])
        return TransactionMeterValues([EnergyPoint(NOW, 100.0, 7000.0, 55.0)], [raw] if received else [])

    async def commands(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[Command]:
        return _page([c for c in self.queue.values() if c.station_id == station_id], cursor, limit)

    async def command(self, command_id: str) -> Command:
        if command_id not in self.queue:
            raise NotFound(f"there is no command {command_id}")
        return self.queue[command_id]

    async def variables(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[StoredVariable]:
        return _page(self.reported, cursor, limit)

    async def notices(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[StoredNotice]:
        return _page(self.told, cursor, limit)

    async def frames(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[FrameEntry]:
        return _page(list(reversed(self.log)), cursor, limit)

    async def all_frames(self, station_id: str) -> AsyncIterator[FrameEntry]:
        self._reach("database")
        for frame in self.log:
            yield frame

    async def tokens(self, cursor: str | None = None, limit: int = 100, show_tokens: bool = False) -> Page[KnownToken]:
        shown = [KnownToken(masked(t.id_token), t.status, t.valid_until) for t in self.cards.values()]
        return _page(shown, cursor, limit)

    async def configure(
        self, station_id: str, change: Configuration, *, create: bool = False, again: bool = False
    ) -> Station:
        if create:
            if station_id in self.known:
                if again and change.registered(self.known[station_id]):
                    return self.known[station_id]
                raise Conflict(f"there is a station {station_id} already")
            self.known[station_id] = Station(station_id)
        station = (await self.station(station_id)).station
        if change.expected not in (None, decided(station)):
            raise Changed("it is another one by now")
        change.apply(station)
        return station

    async def put(self, token: KnownToken) -> None:
        self.cards[token_key(token.id_token)] = token

    async def remove(self, id_token: str) -> None:
        if self.cards.pop(token_key(id_token), None) is None:
            raise NotFound("there is no such id token")

    async def submit(self, command: Command, wait_s: float = 0.0, again: bool = False) -> Command:
        self.submitted.append((command.id, again))
        await self.before_submit()
        station = (await self.station(command.station_id)).station
        if command.action == "Explode":
            raise RuntimeError("secret detail: password=hunter2")
        if command.action not in ("Reset", START, STOP):
            raise BadRequest(f"{command.action} is no command")
        if command.if_offline == "fail" and not station.connected:
            raise StationOffline(f"station {command.station_id} is not connected")
        self.queue[command.id] = command
        self.asked_wait_s.append(wait_s)
        if command.action in (START, STOP):
            command.move("sent", self.now)
            command.move("accepted" if self.station_agrees else "rejected", self.now)
            if self.station_agrees:
                self._charge(command)
            return command
        if self.answers_in_s is not None and wait_s >= self.answers_in_s:
            command.move("sent", NOW)
            command.move("accepted", NOW)
            command.response = {"status": "Accepted"}
        return command

    def _charge(self, command: Command) -> None:
        """Begin or end a charge as a station does that was asked to."""
        if command.action == STOP:
            wire_id = str(command.payload["transactionId"])
            (running,) = [t for t in self.database.transactions.values() if t.transaction_id == wire_id]
            running.ended_at, running.stopped_reason, running.charging_state = self.now, "Remote", None
            return
        token = command.payload["idToken"]
        assert isinstance(token, dict)
        evse_id = int(str(command.payload["evseId"]))
        self.charge(command.station_id, token["idToken"], evse_id)
        command.transaction = list(self.database.transactions)[-1]

    def charge(
        self, station_id: str, id_token: str, evse_id: int = 1, energy_wh: float = 1500.0, *, ended: bool = False
    ) -> ChargingTransaction:
        """Let somebody charge."""
        number = len(self.database.transactions) + 1
        made = ChargingTransaction(
            str(UUID(int=number)), station_id, f"wire-{number}", self.now, evse_id=evse_id, connector_id=1,
            id_token=id_token, started_at=self.now, charging_state="Charging", meter=EnergyMeter(energy_wh=energy_wh),
        )  # fmt: skip
        if ended:
            made.ended_at, made.charging_state = self.now + timedelta(hours=2), None
        self.database.transactions[made.id] = made
        return made

    async def cancel(self, station_id: str, command_id: str) -> Command:
        command = await self.command(command_id)
        command.move("cancelled", NOW)
        return command


async def _at_once() -> None:
    """Wait for nothing."""


def _page(found: Sequence[T], cursor: str | None, limit: int) -> Page[T]:
    if cursor is not None and not cursor.isdecimal():
        raise BadRequest("the cursor is not one that a page of this list has given")
    start = int(cursor or 0)
    more = start + limit < len(found)
    before = str(max(0, start - limit)) if start else None
    return Page(list(found[start : start + limit]), str(start + limit) if more else None, before)
