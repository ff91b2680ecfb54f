"""The charger: one station's session, metering state and queue of commands, one turn at a time.

A turn is synchronous and pure. `receive` reads a frame and either finishes the turn or returns an `Opened` one that
says what it needs; `handle` finishes that. The host commits a turn's rows and only then lets its frames go; when the
commit fails it throws the charger away and loads it again, so memory never runs ahead of the database.

Hard state: the station's row, its transactions, its commands. Soft state (rebuilt or done without): answers kept for
repeats, the outstanding CALL's slot, solicited messages. Lost in a crash: soft state only.
"""

from __future__ import annotations

import hmac
import logging
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

import msgspec
import orjson

from actors.dispatch import CommandQueue
from actors.domain.command import Command
from actors.domain.events import StationConfigured, StationConnected, StationDisconnected, StationRegistered
from actors.domain.records import Progress
from actors.domain.station import Configuration, Station, decided
from actors.domain.transaction import ASK_AGAIN_AFTER, ChargingTransaction
from actors.errors import Changed, Conflict, FrameFault, NotFound, TooMany
from actors.handlers.routes import ROUTES, Route
from actors.handlers.transactions import started_by
from actors.ocpp import schemas, v16
from actors.ocpp.connection import (
    Answered,
    CallReceived,
    Connection,
    Dropped,
    Failed,
    Malformed,
    Repeated,
    SendReceived,
)
from actors.ocpp.frames import Call, OcppVersion
from actors.ocpp.messages import Request, TransactionEvent
from actors.ports import Needs, Snapshot
from actors.turn import Rules, Turn

log = logging.getLogger(__name__)

_SETTLED_AFTER = timedelta(seconds=2)
"""After this a socket is in its gateway's table even if its station keeps silent."""


_LIMIT = "energy limit"
"""Who asks for the end of a transaction that has taken all it may."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a connection is not admitted: an HTTP status and one safe sentence."""

    status: int
    reason: str


class Opened(msgspec.Struct, frozen=True):
    """A turn that has read its request and waits for what it needs."""

    turn: Turn
    call: Call
    route: Route
    request: Request

    def needs(self) -> Needs | None:
        """Return what is still missing, or None when the turn can be handled."""
        if self.route.needs is None:
            return None
        return self.route.needs(self.turn, self.request) or None


class Charger:
    """The actor of one charging station."""

    __slots__ = ("_connection", "_heard", "_queue", "_rules", "_seen_written_at", "_transactions", "known", "station")

    def __init__(self, station_id: str, snapshot: Snapshot, rules: Rules) -> None:
        self.known = snapshot.station is not None
        self.station = snapshot.station or Station(station_id)
        self._rules = rules
        self._transactions = {t.transaction_id: t for t in snapshot.transactions}
        self._queue = CommandQueue(snapshot.commands)
        self._connection = Connection(
            OcppVersion(self.station.ocpp_version or OcppVersion.V201),
            answers_kept=rules.answers_kept,
            keep_answers=timedelta(seconds=rules.keep_answers_s),
            max_nesting=rules.max_nesting,
        )
        self._queue.restore(self._connection, rules)
        self._heard = False
        """Whether the newest socket has said anything: before that, its gateway may not have it in its table yet."""
        self._seen_written_at = self.station.last_seen_at

    @property
    def version(self) -> OcppVersion:
        """The OCPP version of the newest connection."""
        return self._connection.version

    @property
    def idle(self) -> bool:
        """Whether the charger can be passivated without a loss."""
        return not self.station.connected and not self._queue

    def connect(
        self, now: datetime, gateway_id: str, version: OcppVersion, password_digest: str | None
    ) -> tuple[Turn, Refusal | None]:
        """Admit a new socket, which replaces any older one, or refuse it (A00.FR.204-207; part 4, 3.1.1)."""
        turn = self._turn(now)
        refusal = self._authenticate(password_digest)
        if refusal is not None:
            return turn, refusal
        station = self.station
        if station.gateway_id is not None:
            turn.closes.append((station.gateway_id, station.conn_epoch))
        if not self.known:
            self._register(now)
        station.conn_epoch += 1
        station.gateway_id, station.ocpp_version = gateway_id, version.value
        station.connected_at = station.last_seen_at = self._seen_written_at = now
        self._heard = False
        self._forget_call(turn, version)
        turn.save(station)
        turn.tell(StationConnected(station.conn_epoch, version.value))
        return turn, None

    def _register(self, now: datetime) -> None:
        self.known = True
        # Starts at the clock, so that a station registered anew never gets an id it has had (1.6, 4.8).
        self.station.next_transaction_id = int(now.timestamp()) & 0x3FFF_FFFF

    def configure(self, change: Configuration, now: datetime, *, create: bool, again: bool = False) -> Turn:
        """Take an admin's decisions; `create` registers a new station. Raises NotFound, Conflict, Changed.

        `again` tells that an earlier call may have been executed.
        """
        if create and self.known:
            if again and change.registered(self.station):
                return self._turn(now)
            raise Conflict(f"there is a station {self.station.station_id} already")
        if not create and not self.known:
            raise NotFound(f"there is no station {self.station.station_id}")
        if change.expected not in (None, decided(self.station)):
            if again and change.applied(self.station):
                return self._turn(now)
            raise Changed(f"the configuration of {self.station.station_id} is another one by now; read it again")
        turn = self._turn(now)
        if create:
            self._register(now)
        change.apply(self.station)
        turn.save(self.station)
        turn.tell(StationRegistered() if create else StationConfigured())
        return turn

    def _authenticate(self, password_digest: str | None) -> Refusal | None:
        if not self.known and not self._rules.accept_unknown_stations:
            return Refusal(404, "this station is not known here")
        wanted = self.station.password_digest
        if wanted is None:
            return Refusal(401, "this station has no password yet") if self._rules.require_password else None
        if password_digest is None or not hmac.compare_digest(wanted, password_digest):
            return Refusal(401, "user name or password is wrong")
        return None

    def disconnect(self, conn_epoch: int, now: datetime) -> Turn:
        """Note that a socket is gone; an older one than the newest changes nothing."""
        turn = self._turn(now)
        station = self.station
        if conn_epoch != station.conn_epoch or station.gateway_id is None:
            return turn
        station.gateway_id, station.disconnected_at = None, now
        self._forget_call(turn, self.version)
        turn.save(station)
        turn.tell(StationDisconnected(conn_epoch))
        return turn

    def _forget_call(self, turn: Turn, version: OcppVersion) -> None:
        lost = self._connection.reset(version)
        if lost is not None:
            self._queue.lost(turn, lost)
        turn.version = version

    def receive(self, conn_epoch: int, data: bytes, now: datetime) -> Opened | Turn:
        """Take one frame from the socket of `conn_epoch`; return a finished turn, or one to be handled."""
        turn = self._turn(now)
        if conn_epoch != self.station.conn_epoch:
            log.debug("frame of an older socket dropped", extra={"station_id": self.station.station_id})
            return turn
        self._touch(turn)
        event = self._connection.receive(data, now)
        match event:
            case CallReceived(call):
                return self._open(turn, call)
            case Repeated(answer):
                turn.frames.append(answer)
            case Malformed(reply, code, reason):
                turn.frames.append(reply)
                self._note_violation(turn, "frame", code, reason)
            case Answered() | Failed():
                self._queue.settle(turn, event, self.version)
                self._send_next(turn)
            case Dropped(reason):
                log.debug("frame dropped", extra={"station_id": self.station.station_id, "reason": reason})
            case SendReceived(send):
                extra = {"station_id": self.station.station_id, "action": send.action[:50]}
                log.debug("unsupported SEND dropped", extra=extra)
        return turn

    def _touch(self, turn: Turn) -> None:
        """Note a sign of life (G02.FR.04); written now and then only, because every message is one."""
        self._heard = True
        station, written = self.station, self._seen_written_at
        station.last_seen_at = turn.now
        if written is None or (turn.now - written).total_seconds() >= self._rules.seen_write_interval_s:
            self._seen_written_at = turn.now
            turn.save(station)

    def _open(self, turn: Turn, call: Call) -> Opened | Turn:
        turn.call = call
        turn.payload = orjson.dumps(call.payload)
        try:
            action, request = self._read(turn, call)
        except FrameFault as fault:
            turn.frames.append(self._connection.refuse(call, fault.code, fault.description))
            self._note_violation(turn, call.action[:50], fault.code, fault.description)
            return turn
        return Opened(turn, call, ROUTES[action], request)

    def _read(self, turn: Turn, call: Call) -> tuple[str, Request]:
        """Validate and type a request; return its 2.x action with it."""
        if not self._welcome(call.action):
            raise FrameFault("SecurityError", f"{call.action[:50]} is not taken before the station is accepted")
        strict = self.station.validation == "strict" or (self.station.validation is None and self._rules.strict)
        for violation in schemas.check(self.version, call.action, call.payload, strict=strict):
            if self.station.record_violation(call.action, violation.keyword, violation.path):
                turn.save(self.station)
        try:
            if self.version is OcppVersion.V16:
                request = v16.to_request(call.action, call.payload)
                return type(request).__name__, request
            if call.action not in ROUTES:
                raise FrameFault("NotSupported", f"{call.action} is not supported")
            return call.action, msgspec.convert(call.payload, ROUTES[call.action].request, strict=False)
        except msgspec.ValidationError as error:
            raise FrameFault("TypeConstraintViolation", str(error)) from None

    def _welcome(self, action: str) -> bool:
        """Tell whether a request is taken at this stage of registration (B01.FR.10, B02.FR.09)."""
        if action == "BootNotification" or self.station.registration == "Accepted":
            return True
        never_booted = self.station.registration is None and self.station.admission in (None, "Accepted")
        return (never_booted and self._rules.accept_boot) or action in self._queue.solicited

    def _note_violation(self, turn: Turn, action: str, code: str, reason: str) -> None:
        log.debug(
            "frame refused",
            extra={"station_id": self.station.station_id, "action": action, "code": code, "reason": reason[:200]},
        )
        if self.station.record_violation(action, code, "refused"):
            turn.save(self.station)

    def handle(self, opened: Opened) -> Turn:
        """Finish an opened turn whose needs are met."""
        turn, call = opened.turn, opened.call
        response = opened.route.handle(turn, opened.request)
        payload = v16.from_response(call.action, response) if self.version is OcppVersion.V16 else response
        turn.frames.append(self._connection.answer(call, payload, turn.now))
        if isinstance(opened.request, TransactionEvent):
            self._match_remote_start(turn, opened.request)
            self._end_at_limits(turn)
        self._send_next(turn)
        return turn

    def _match_remote_start(self, turn: Turn, event: TransactionEvent) -> None:
        if not self._queue.waiting:
            return
        command = started_by(event, self._queue.starts())
        row = next((row for row in turn.rows if isinstance(row, ChargingTransaction | Progress)), None)
        transaction = row.transaction if isinstance(row, Progress) else row
        if command is not None and transaction is not None:
            self._queue.started(turn, command, transaction.id)
            transaction.energy_limit_wh = command.energy_limit_wh

    def _end_at_limits(self, turn: Turn) -> None:
        """Ask the station to end transactions that have taken all they may."""
        for transaction in self._transactions.values():
            if not transaction.over_limit(turn.now):
                continue
            stop = Command(
                id=str(uuid5(NAMESPACE_OID, f"{transaction.id}/limit/{transaction.events}")),
                station_id=self.station.station_id,
                action="RequestStopTransaction",
                payload={"transactionId": transaction.transaction_id},
                created_at=turn.now,
                deadline=turn.now + ASK_AGAIN_AFTER,
                requested_by=_LIMIT,
            )
            try:
                self._queue.submit(turn, stop)
            except TooMany:
                return  # asked with a later event
            transaction.stop_asked_at = turn.now

    def submit(self, command: Command, now: datetime) -> Turn:
        """Queue a command and send it if the line is free. Raises NotFound, and what `CommandQueue.submit` raises."""
        if not self.known:
            raise NotFound(f"there is no station {self.station.station_id}")
        turn = self._turn(now)
        self._queue.submit(turn, command)
        self._send_next(turn)
        return turn

    def _send_next(self, turn: Turn) -> None:
        if not self._queue.waiting:
            return
        self._queue.expire(turn)
        connected_at = self.station.connected_at
        if self._heard or (connected_at is not None and turn.now - connected_at >= _SETTLED_AFTER):
            self._queue.send_next(turn, self._connection)

    def cancel(self, command_id: str, now: datetime) -> Turn:
        """Withdraw a queued command. Raises NotFound, Conflict."""
        turn = self._turn(now)
        self._queue.cancel(turn, command_id)
        return turn

    @property
    def waiting(self) -> bool:
        """Whether time can bring anything about, so that `tick` must be called."""
        return self._queue.waiting

    def tick(self, now: datetime) -> Turn:
        """Let time pass: close what has waited too long, send what may go now."""
        turn = self._turn(now)
        late = self._connection.expire(now)
        if late is not None:
            self._queue.settle(turn, late, self.version)
        self._send_next(turn)
        return turn

    def _turn(self, now: datetime) -> Turn:
        turn = Turn(self.station, self._transactions, self._rules, now)
        turn.version = self.version
        return turn
