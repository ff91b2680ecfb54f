"""The electric side of a station: EVSEs, transactions, profiles. It turns time and drivers into facts.

Must not know: connections, queues, answers of the CSMS, messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from simulator import variables as names
from simulator.evse import Car, Evse
from simulator.facts import Fact, IdToken, Sample, Transaction, TransactionChanged
from simulator.profiles import Feed, ProfileStore
from simulator.variables import Variables

_STEP: Final = timedelta(seconds=10)
_FAR_S: Final = 3600


@dataclass(frozen=True, kw_only=True)
class StationSettings:
    """What a station is built of; `call_timeout_s` is in the station's own (maybe accelerated) time."""

    id: str
    vendor: str = "CloudBay"
    model: str = "Virtual"
    firmware: str = "1.0.0"
    evses: int = 1
    dc: bool = False
    feed: Feed = field(default_factory=lambda: Feed(volts=230.0, phases=3, max_a=32.0))
    call_timeout_s: float = 30.0
    sample_interval_s: int = 60


class Charging:
    """All EVSEs of a station up to the instant `now`; `emit` receives each transaction event as it happens."""

    def __init__(
        self,
        settings: StationSettings,
        variables: Variables,
        profiles: ProfileStore,
        now: datetime,
        new_id: Callable[[], str],
        emit: Callable[[Fact], None],
    ) -> None:
        self.now = now
        self.offline = True
        self.profiles = profiles
        self.evses = {n: Evse(n, settings.feed, dc=settings.dc) for n in range(1, settings.evses + 1)}
        self._variables = variables
        self._new_id = new_id
        self._emit_fact = emit

    def advance(self, now: datetime) -> None:
        """Charge, sample and change states up to `now`, in steps small enough for the battery's curve."""
        while self.now < now:
            due = [e.transaction.next_sample_at for e in self.evses.values() if e.transaction is not None]
            end = min(now, self.now + _STEP, *(max(at, self.now) for at in due)) if due else now
            for evse in self.evses.values():
                self._charge(evse, end)
            self.now = end
            for evse in self.evses.values():
                self._sample_if_due(evse)
        self._forget_absent_cars(now)

    def plug_in(self, evse_id: int, car: Car) -> None:
        """Connect a car."""
        evse = self.evses[evse_id]
        evse.car, evse.finished = car, False
        self._start_if_ready(evse, "CablePluggedIn")

    def unplug(self, evse_id: int) -> None:
        """Take the cable out; ends the transaction."""
        evse = self.evses[evse_id]
        evse.car = None
        if evse.transaction is not None:
            self.end_transaction(evse, "EVCommunicationLost", "EVDisconnected")
        evse.finished, evse.authorized = False, None

    def authorize(self, evse: Evse, id_token: IdToken, trigger: str) -> None:
        """Let a token charge at an EVSE; the transaction begins when there is a car too."""
        evse.authorized, evse.authorized_at, evse.pending = id_token, self.now, None
        self._start_if_ready(evse, trigger)

    def end_transaction(self, evse: Evse, trigger: str, reason: str) -> None:
        """End the ongoing transaction of an EVSE, and stop the power."""
        transaction = evse.transaction
        if transaction is None:
            return
        evse.power_w = 0.0
        transaction.charging_state = "EVConnected" if evse.car is not None else "Idle"
        token = transaction.id_token if reason in ("Local", "DeAuthorized") else None
        self._emit(transaction, "Ended", trigger, evse.sample(self.now, "Transaction.End"), token, reason)
        evse.transaction, evse.authorized, evse.remote_start_id = None, None, None
        evse.finished = evse.car is not None
        self.profiles.end_transaction(transaction.id)

    def transactions(self) -> list[Transaction]:
        """Return the ongoing transactions."""
        return [evse.transaction for evse in self.evses.values() if evse.transaction is not None]

    def trigger_updates(self, evses: Sequence[Evse]) -> bool:
        """Emit an event for every ongoing transaction among `evses`; False when there is none."""
        for evse in evses:
            if evse.transaction is not None:
                self._emit(evse.transaction, "Updated", "Trigger", evse.sample(self.now, "Trigger"))
        return any(evse.transaction is not None for evse in evses)

    def limit_w(self, evse: Evse) -> float:
        """Return what the EVSE may draw now."""
        start = evse.transaction.started_at if evse.transaction is not None else None
        return self.profiles.limit_w(evse.id, evse.usable_feed(), self.now, start, len(self.transactions()))

    def _charge(self, evse: Evse, end: datetime) -> None:
        transaction = evse.transaction
        if transaction is None:
            evse.power_w = 0.0
            return
        begin = self.now
        state = evse.advance((end - begin).total_seconds(), self.limit_w(evse))
        if state is not None and state != transaction.charging_state:
            transaction.charging_state = state
            self._emit(transaction, "Updated", "ChargingStateChanged", None)

    def _sample_if_due(self, evse: Evse) -> None:
        transaction = evse.transaction
        if transaction is None or self.now < transaction.next_sample_at:
            return
        interval_s = self._variables.number(names.SAMPLE_INTERVAL)
        transaction.next_sample_at = self.now + timedelta(seconds=interval_s or _FAR_S)
        if interval_s:
            self._emit(transaction, "Updated", "MeterValuePeriodic", evse.sample(self.now, "Sample.Periodic"))

    def _forget_absent_cars(self, now: datetime) -> None:
        """Drop authorizations nobody used in time."""
        timeout = timedelta(seconds=self._variables.number(names.CONNECTION_TIMEOUT))
        for evse in self.evses.values():
            waiting = evse.authorized is not None and evse.transaction is None and evse.authorized_at is not None
            if waiting and evse.authorized_at is not None and now - evse.authorized_at >= timeout:
                evse.authorized, evse.remote_start_id, evse.remote_profile = None, None, None

    def _start_if_ready(self, evse: Evse, trigger: str) -> None:
        if evse.authorized is None or evse.car is None or evse.transaction is not None or not evse.operative:
            return
        interval_s = self._variables.number(names.SAMPLE_INTERVAL) or _FAR_S
        transaction = evse.transaction = Transaction(
            id=self._new_id(),
            evse_id=evse.id,
            started_at=self.now,
            id_token=evse.authorized,
            next_sample_at=self.now + timedelta(seconds=interval_s),
            remote_start_id=evse.remote_start_id,
        )
        evse.finished = False
        if evse.remote_profile is not None:
            # K05: the profile that came with the remote start becomes this transaction's own.
            own = replace(evse.remote_profile, evse_id=evse.id, transaction_id=None)
            self.profiles.set(own, transaction.id)
            evse.remote_profile = None
        sample = evse.sample(self.now, "Transaction.Begin")
        self._emit(transaction, "Started", trigger, sample, transaction.id_token)

    def _emit(
        self,
        transaction: Transaction,
        kind: str,
        trigger: str,
        sample: Sample | None,
        id_token: IdToken | None = None,
        reason: str | None = None,
    ) -> None:
        self._emit_fact(
            TransactionChanged(
                kind=kind,
                at=self.now,
                trigger=trigger,
                seq_no=transaction.take_seq_no(),
                transaction=transaction,
                charging_state=transaction.charging_state,
                offline=self.offline,
                sample=sample,
                id_token=id_token,
                stopped_reason=reason,
            )
        )
