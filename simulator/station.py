"""A virtual charging station, sans-I/O: bytes and instants in, bytes out.

The caller tells it what happens (`connected`, `receive`, `advance`, `plug_in`, ...), each with the present instant, and
takes the frames to send with `take_frames`. It keeps to one CALL at a time, queues transaction events while offline and
repeats them until they are answered. Orders of the CSMS are in orders.py, the electric side in charging.py.

Must not know: sockets, the real clock, JSON, which OCPP version is spoken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from actors.ocpp.connection import Answered, CallReceived, Connection, Failed, Malformed, Repeated
from actors.ocpp.frames import OcppVersion
from simulator import variables as names
from simulator.charging import Charging, StationSettings
from simulator.dialect import Dialect
from simulator.evse import Car, Evse
from simulator.facts import Alive, Booted, Fact, IdToken, Reply, StatusChanged, TokenPresented, TransactionChanged
from simulator.fields import Refused
from simulator.outbox import Item, Outbox
from simulator.profiles import ProfileStore
from simulator.variables import Definition, Variables

log = logging.getLogger(__name__)

_BOOT_RETRY_S: Final = 30
_NO_HEARTBEAT_S: Final = 86_400


class Restart(StrEnum):
    """Why the socket must be closed."""

    REBOOT = "reboot"
    RECONNECT = "reconnect"


class VirtualStation:
    """One station; see the module for how to drive it."""

    def __init__(self, settings: StationSettings, dialect: Dialect, now: datetime, new_id: Callable[[], str]) -> None:
        self.settings = settings
        self.dialect = dialect
        self.variables = Variables(settings.evses, _own_variables(settings))
        self.variables.put(names.SAMPLE_INTERVAL, str(settings.sample_interval_s))
        self.outbox = Outbox()
        profiles = ProfileStore(replace_same_level=dialect.version is OcppVersion.V16)
        self.charging = Charging(settings, self.variables, profiles, now, new_id, self.outbox.put)
        self.online = self.registered = False
        self.reset_when_idle = False
        self.restart: Restart | None = None
        self.answered = self.errors = self.timeouts = 0
        self.last_problem = ""
        self._new_id = new_id
        self._connection = Connection(dialect.version)
        self._in_flight: Item | None = None
        self._frames: list[bytes] = []
        self._reported: dict[int, str] = {}
        self._next_heartbeat = now
        self._next_boot: datetime | None = None
        self.outbox.put(Booted("PowerUp"))

    # What happens on the wire.

    def connected(self, now: datetime) -> None:
        """A socket is open; say what could not be said before."""
        self._connection.reset(self.dialect.version)
        self._in_flight, self._frames = None, []
        self.charging.advance(now)
        self.online, self.restart = True, None
        self.advance(now)

    def disconnected(self, now: datetime) -> None:
        """The socket is gone; what was unanswered will be sent again."""
        self.charging.advance(now)
        self.online, self.charging.offline = False, True
        self._connection.reset(self.dialect.version)
        self._in_flight, self._frames = None, []
        self.outbox.forget_heartbeats()

    def take_frames(self) -> list[bytes]:
        """Return the frames to send, in order."""
        frames, self._frames = self._frames, []
        return frames

    def receive(self, data: bytes, now: datetime) -> None:
        """Take one frame of the CSMS."""
        match self._connection.receive(data, now):
            case CallReceived(call=call):
                try:
                    self._frames.append(self._connection.answer(call, self.dialect.handle(self, call), now))
                except Refused as refusal:
                    self._frames.append(self._connection.refuse(call, refusal.code, refusal.description))
            case Answered(payload=payload) if self._in_flight is not None:
                item, self._in_flight = self._in_flight, None
                self.answered += 1
                self.outbox.done(item)
                self._on_reply(item.fact, self.dialect.reply(item.fact, payload), now)
            case Failed(call=call, code=code, description=description):
                self.errors += 1
                self._on_failure(f"CALLERROR {code} to {call.action}: {description}", now)
            case Repeated(answer=answer):
                self._frames.append(answer)
            case Malformed(reply=reply, reason=reason):
                self.last_problem = f"unreadable frame: {reason}"
                self._frames.append(reply)
        self.advance(now)

    def advance(self, now: datetime) -> None:
        """Let time pass up to `now`: charge, time out, and say what is due."""
        self.charging.advance(now)
        failed = self._connection.expire(now)
        if failed is not None:
            self.timeouts += 1
            self._on_failure(failed.description, now)
        self._notice(now)
        if self.online:
            self._say_what_is_due(now)
            self._pump(now)

    # What a driver does.

    def plug_in(self, evse_id: int, car: Car, now: datetime) -> None:
        """Connect a car."""
        self.charging.advance(now)
        self.charging.plug_in(evse_id, car)
        self.advance(now)

    def present_token(self, evse_id: int, id_token: IdToken, now: datetime) -> None:
        """Hold a card to the reader: authorizes, or ends the transaction that the same card started."""
        self.charging.advance(now)
        evse = self.charging.evses[evse_id]
        if evse.transaction is not None:
            if evse.transaction.id_token == id_token:
                self.charging.end_transaction(evse, "StopAuthorized", "Local")
        elif self.online and self.registered:
            self.ask_about(evse, id_token, "Authorized")
        elif self.variables.flag(names.OFFLINE_UNKNOWN):
            self.charging.authorize(evse, id_token, "Authorized")
        self.advance(now)

    def unplug(self, evse_id: int, now: datetime) -> None:
        """Take the cable out."""
        self.charging.advance(now)
        self.charging.unplug(evse_id)
        self.advance(now)

    # What the station does by itself; orders.py uses the public part too.

    def ask_about(self, evse: Evse, id_token: IdToken, trigger: str) -> None:
        """Ask the CSMS whether a token may charge; `trigger` is why, should a transaction come of it."""
        evse.pending, evse.authorized_by = id_token, trigger
        self.outbox.put(TokenPresented(evse.id, id_token))

    def restart_now(self, restart: Restart) -> None:
        """Ask the caller to close the socket once the frames are out."""
        self.restart = restart

    def rebooted(self, reason: str, now: datetime) -> None:
        """Start afresh after a reboot: only the queue of transaction events, the meters and settings are kept."""
        self.advance(now)
        self.restart, self.registered, self.reset_when_idle = None, False, False
        self._reported.clear()
        self.outbox.forget_ordinary()
        self._next_boot = None
        self.outbox.put(Booted(reason))

    def status_of(self, evse: Evse) -> StatusChanged:
        """Return the present status of an EVSE's connector."""
        return StatusChanged(self.charging.now, evse.id, self.dialect.status(evse))

    def _on_reply(self, fact: Fact, reply: Reply, now: datetime) -> None:
        self._next_heartbeat = self._heartbeat_after(now)
        match fact:
            case Booted():
                self._on_registration(reply, now)
            case TokenPresented(evse_id=evse_id, id_token=id_token):
                evse = self.charging.evses[evse_id]
                if evse.pending == id_token:
                    evse.pending = None
                    if reply.status == "Accepted":
                        self.charging.authorize(evse, id_token, evse.authorized_by)
            case TransactionChanged(transaction=transaction):
                if reply.csms_id is not None:
                    transaction.csms_id = reply.csms_id
                evse = self.charging.evses[transaction.evse_id]
                refused = reply.status != "Accepted" and self.variables.flag(names.STOP_ON_INVALID)
                if refused and evse.transaction is transaction:
                    self.charging.end_transaction(evse, "Deauthorized", "DeAuthorized")

    def _on_registration(self, reply: Reply, now: datetime) -> None:
        self.registered = reply.status == "Accepted"
        if self.registered:
            self._next_boot = None
            if reply.interval_s > 0:
                self.variables.put(names.HEARTBEAT_INTERVAL, str(reply.interval_s))
            self._next_heartbeat = self._heartbeat_after(now)
            self.outbox.put(StatusChanged(now, 0, "Available"))
        else:
            self.last_problem = f"registration is {reply.status}"
            self._next_boot = now + timedelta(seconds=reply.interval_s or _BOOT_RETRY_S)

    def _on_failure(self, problem: str, now: datetime) -> None:
        item, self._in_flight = self._in_flight, None
        self.last_problem = problem
        log.info("call failed", extra={"station_id": self.settings.id, "problem": problem})
        if item is None:
            return
        attempts = self.variables.number(names.MESSAGE_ATTEMPTS)
        self.outbox.failed(item, now, attempts, self.variables.number(names.MESSAGE_ATTEMPT_INTERVAL))
        if isinstance(item.fact, Booted):
            self._next_boot = now + timedelta(seconds=_BOOT_RETRY_S)
        if isinstance(item.fact, TokenPresented):
            self.charging.evses[item.fact.evse_id].pending = None

    def _notice(self, now: datetime) -> None:
        """See what has changed on the electric side."""
        self.charging.offline = not self.online
        for evse in self.charging.evses.values():
            if evse.transaction is None:
                evse.operative = evse.wanted_operative
            status = self.dialect.status(evse)
            if self.registered and self.online and self._reported.get(evse.id) != status:
                self._reported[evse.id] = status
                self.outbox.put(StatusChanged(now, evse.id, status))
        if self.reset_when_idle and not self.charging.transactions():
            self.restart = Restart.REBOOT

    def _say_what_is_due(self, now: datetime) -> None:
        if self._next_boot is not None and now >= self._next_boot:
            self._next_boot = None
            self.outbox.put(Booted("PowerUp"))
        if self.registered and now >= self._next_heartbeat:
            self._next_heartbeat = self._heartbeat_after(now)
            self.outbox.put(Alive())

    def _heartbeat_after(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.variables.number(names.HEARTBEAT_INTERVAL) or _NO_HEARTBEAT_S)

    def _pump(self, now: datetime) -> None:
        """Send the next message if none is outstanding."""
        while self.online and self._in_flight is None and self.restart is None:
            item = self.outbox.next(now, registered=self.registered)
            if item is None:
                return
            call = self.dialect.call(self, item.fact)
            if call is None:
                self.outbox.done(item)
                continue
            deadline = now + timedelta(seconds=self.settings.call_timeout_s)
            self._frames.append(self._connection.call(self._new_id(), *call, deadline))
            self._in_flight = item


def _own_variables(settings: StationSettings) -> tuple[Definition, ...]:
    read_only = "ReadOnly"
    return (
        Definition("ChargingStation", "Model", settings.model, "string", mutability=read_only),
        Definition("ChargingStation", "VendorName", settings.vendor, "string", mutability=read_only),
        Definition("ChargingStation", "SerialNumber", settings.id, "string", mutability=read_only),
        Definition("ChargingStation", "FirmwareVersion", settings.firmware, "string", mutability=read_only),
        Definition("ChargingStation", "AvailabilityState", "Available", "OptionList", mutability=read_only),
    )
