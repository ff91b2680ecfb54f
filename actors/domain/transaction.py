"""A charging transaction: what its events, in any order and however often, make of it.

Ended is terminal for the state, but a late event still completes the record. Sequence numbers start at 0 or go on from
a counter of the EVSE; a transaction is complete when it has a start, an end and every number between (OCPP 2.0.1 part
2, 1.3.2 and E01-E15).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from actors.domain.meter import EnergyMeter, Reading, merged
from actors.ocpp.messages import TransactionEvent

ASK_AGAIN_AFTER: Final = timedelta(minutes=1)
"""A station that goes on beyond its limit is asked again to end the transaction."""


class ChargingTransaction(msgspec.Struct, omit_defaults=True):
    """One transaction of one station. `id` is the platform's, `transaction_id` the wire's, unique per station only."""

    id: str
    station_id: str
    transaction_id: str
    created_at: datetime
    start_key: str | None = None
    """What makes a repeated 1.6 StartTransaction the same one."""
    evse_id: int | None = None
    connector_id: int | None = None
    id_token: str | None = None
    remote_start_id: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stopped_reason: str | None = None
    charging_state: str | None = None
    seen: list[int] = []
    """Sequence numbers as sorted, joined ranges: [first, last, first, last, ...]."""
    start_seq_no: int | None = None
    end_seq_no: int | None = None
    last_event_at: datetime | None = None
    events: int = 0
    offline_events: int = 0
    conflicts: int = 0
    """Events that reused a sequence number with other content; they are stored all the same."""
    meter: EnergyMeter = msgspec.field(default_factory=EnergyMeter)
    token_seq_no: int | None = None
    """The event `id_token` is from: the earliest to name a token tells who charges, the last may tell who stops."""
    state_seq_no: int | None = None
    """The event `charging_state` is from; unknown for 1.6, where the connector's status tells it."""
    energy_limit_wh: float | None = None
    """What it may take, if who started it may not take as much as he likes."""
    stop_asked_at: datetime | None = None
    """When the station was last asked to end it for that."""

    def has(self, seq_no: int) -> bool:
        """Tell whether an event with this number is stored."""
        if not self.seen or seq_no > self.seen[-1]:
            return False  # nearly always, and on the way of every event
        return any(first <= seq_no <= last for first, last in _pairs(self.seen))

    def apply(self, event: TransactionEvent, readings: list[Reading]) -> None:
        """Take in one event that is not a repeat; `readings` are its meter values reduced."""
        newest = self._newest(event)
        self.events += 1
        self.offline_events += event.offline
        if event.seq_no is not None:
            self.seen = with_number(self.seen, event.seq_no)
        self._identity(event)
        info = event.transaction_info
        if event.event_type == "Started" and _is_first(event, self.started_at, self.start_seq_no):
            self.started_at, self.start_seq_no = event.timestamp, event.seq_no
        elif event.event_type == "Ended" and _is_first(event, self.ended_at, self.end_seq_no):
            self.ended_at, self.end_seq_no = event.timestamp, event.seq_no
            self.stopped_reason = info.stopped_reason or "Local"
        if info.charging_state is not None and _above(event.seq_no, self.state_seq_no):
            self.charging_state, self.state_seq_no = info.charging_state, event.seq_no
        if self.ended_at is not None:
            self.charging_state = None
        if newest:
            self.last_event_at = event.timestamp
        for reading in readings:
            self.meter.add(reading)

    def over_limit(self, now: datetime) -> bool:
        """Tell whether it has taken all it may and its station is to be asked, perhaps once more, to end it."""
        if self.energy_limit_wh is None or self.ended_at is not None or self.meter.energy_wh < self.energy_limit_wh:
            return False
        return self.stop_asked_at is None or now - self.stop_asked_at >= ASK_AGAIN_AFTER

    def recount(self, all_readings: list[Reading]) -> None:
        """Count the energy anew from every reading of the transaction, because one came late."""
        meter = EnergyMeter()
        for reading in merged(all_readings):
            meter.add(reading)
        self.meter = meter

    def _newest(self, event: TransactionEvent) -> bool:
        if event.seq_no is not None:
            return not self.seen or event.seq_no > self.seen[-1]
        return self.last_event_at is None or event.timestamp >= self.last_event_at

    def _identity(self, event: TransactionEvent) -> None:
        if event.evse is not None:
            self.evse_id = event.evse.id
            self.connector_id = event.evse.connector_id or self.connector_id
        if event.id_token is not None and (self.id_token is None or self._precedes_token(event)):
            self.id_token, self.token_seq_no = event.id_token.id_token, event.seq_no
        if event.transaction_info.remote_start_id is not None:
            self.remote_start_id = event.transaction_info.remote_start_id

    def _precedes_token(self, event: TransactionEvent) -> bool:
        if event.seq_no is None:
            return event.event_type == "Started"
        return _above(self.token_seq_no, event.seq_no)


def _is_first(event: TransactionEvent, known_at: datetime | None, known_seq_no: int | None) -> bool:
    """Tell whether this start or end is the one that counts: a faulty station may send several."""
    return known_at is None or (known_seq_no is not None and _above(known_seq_no, event.seq_no))


def _above(seq_no: int | None, other: int | None) -> bool:
    """Tell whether `seq_no` is the higher; any number is above none."""
    return seq_no is not None and (other is None or seq_no > other)


class GapReport(msgspec.Struct, frozen=True):
    """What of a transaction is missing. `missing` holds inclusive ranges of sequence numbers."""

    complete: bool
    start_missing: bool
    end_missing: bool
    missing: list[tuple[int, int]]
    conflicts: int


def gap_report(transaction: ChargingTransaction) -> GapReport:
    """Say whether the transaction is complete, and if not what is missing.

    1.6 has no sequence numbers, so there only start and end can be known to be missing.
    """
    start_missing, end_missing = transaction.started_at is None, transaction.ended_at is None
    pairs = _pairs(transaction.seen)
    low = transaction.start_seq_no if transaction.start_seq_no is not None else 0
    if pairs and low > pairs[0][0]:
        low = pairs[0][0]
    missing, expected = [], low if pairs else 0
    for first, last in pairs:
        if first > expected:
            missing.append((expected, first - 1))
        expected = last + 1
    complete = not (start_missing or end_missing or missing)
    return GapReport(complete, start_missing, end_missing, missing, transaction.conflicts)


def with_number(ranges: list[int], number: int) -> list[int]:
    """Return the flat ranges with one more number, sorted and joined."""
    if ranges and number == ranges[-1] + 1:
        return [*ranges[:-1], number]
    joined: list[int] = []
    for first, last in sorted([*_pairs(ranges), (number, number)]):
        if joined and first <= joined[-1] + 1:
            joined[-1] = max(joined[-1], last)
        else:
            joined += (first, last)
    return joined


def _pairs(ranges: list[int]) -> list[tuple[int, int]]:
    return list(zip(ranges[::2], ranges[1::2], strict=True))
