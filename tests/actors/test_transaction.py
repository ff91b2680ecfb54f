"""The record of a transaction: sequence numbers, gaps, and events in any order (2.0.1 part 2, 1.3.2; E01-E15)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.meter import Reading, curve, readings
from actors.domain.transaction import ChargingTransaction, gap_report, with_number
from actors.ocpp.messages import EVSE, IdToken, MeterValue, SampledValue, Transaction, TransactionEvent

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def transaction(**values: Any) -> ChargingTransaction:
    return msgspec.structs.replace(ChargingTransaction("id", "CP-1", "tx-1", NOON), **values)


def event(kind: str, seq_no: int | None, minute: int = 0, token: str | None = None, **info: Any) -> TransactionEvent:
    return TransactionEvent(
        event_type=kind,  # type: ignore[arg-type]  # tests pass literals
        timestamp=NOON + timedelta(minutes=minute),
        trigger_reason="MeterValuePeriodic",
        transaction_info=Transaction("tx-1", **info),
        seq_no=seq_no,
        id_token=None if token is None else IdToken(token),
    )


def recorded(*events: TransactionEvent) -> ChargingTransaction:
    record, stored = transaction(), list[Reading]()
    for each in events:
        new = readings(each.meter_value, NOON + timedelta(days=1))
        late = record.meter.late(new)
        record.apply(each, new)
        stored += new
        if late:
            record.recount(stored)
    return record


NUMBERS = st.lists(st.integers(-3, 40), max_size=40)


@given(NUMBERS)
def test_the_ranges_are_the_set_of_numbers_seen(numbers: list[int]) -> None:
    ranges: list[int] = []
    for number in numbers:
        ranges = with_number(ranges, number)
    pairs = list(zip(ranges[::2], ranges[1::2], strict=True))
    assert [n for first, last in pairs for n in range(first, last + 1)] == sorted(set(numbers))
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(pairs)), "joined where they meet"
    record = transaction(seen=ranges)
    assert [n for n in range(-4, 42) if record.has(n)] == sorted(set(numbers))


@given(st.integers(0, 20), st.sets(st.integers(0, 30), min_size=1))
def test_a_gap_report_names_exactly_the_numbers_between_start_and_end_that_were_not_seen(
    start: int, offsets: set[int]
) -> None:
    """1.3.2: sequence numbers start at 0 or go on from a counter of the EVSE."""
    seen = sorted({start + offset for offset in offsets} | {start})
    kinds = ["Started", *["Updated"] * (len(seen) - 2), "Ended"][-len(seen) :]
    if len(seen) == 1:
        kinds = ["Started"]
    record = recorded(*(event(kind, number) for kind, number in zip(kinds, seen, strict=True)))
    report = gap_report(record)
    missing = [n for first, last in report.missing for n in range(first, last + 1)]
    assert missing == sorted(set(range(start, seen[-1] + 1)) - set(seen))
    assert not report.start_missing
    assert report.complete == (len(seen) > 1 and not missing)


def test_without_its_start_a_transaction_lacks_everything_before_the_first_number_seen() -> None:
    report = gap_report(recorded(event("Updated", 2), event("Ended", 5)))
    assert (report.complete, report.start_missing, report.end_missing) == (False, True, False)
    assert report.missing == [(0, 1), (3, 4)]


def test_a_transaction_going_on_is_not_complete() -> None:
    report = gap_report(recorded(event("Started", 0), event("Updated", 1)))
    assert (report.complete, report.end_missing, report.missing) == (False, True, [])


def test_a_1_6_transaction_is_complete_with_start_and_end() -> None:
    """1.6 has no sequence numbers."""
    assert not gap_report(recorded(event("Ended", None))).complete
    report = gap_report(recorded(event("Started", None), event("Updated", None), event("Ended", None)))
    assert (report.complete, report.missing) == (True, [])


@pytest.mark.parametrize("late", ["Started", "Updated"])
def test_an_ended_transaction_is_never_resurrected(late: str) -> None:
    """E13: what comes after Ended completes the record."""
    record = recorded(
        event("Ended", 2, 9, stopped_reason="EVDisconnected"), event(late, 1, 5, charging_state="Charging")
    )
    assert record.ended_at == NOON + timedelta(minutes=9)
    assert (record.charging_state, record.stopped_reason, record.events) == (None, "EVDisconnected", 2)


def test_an_older_event_does_not_move_the_charging_state_back() -> None:
    record = recorded(event("Started", 0), event("Updated", 3, 3, charging_state="SuspendedEV"))
    record.apply(event("Updated", 2, 2, charging_state="Charging"), [])
    assert record.charging_state == "SuspendedEV"
    assert record.last_event_at == NOON + timedelta(minutes=3)


def test_a_late_event_gives_the_charging_state_that_newer_ones_did_not_say() -> None:
    record = recorded(event("Started", 0), event("Updated", 2), event("Updated", 1, charging_state="Charging"))
    assert record.charging_state == "Charging"


def test_the_token_is_who_started_not_who_stopped() -> None:
    """C01, E07: another token of the group may stop, and its event may come first."""
    charged_by, stopped_by = event("Updated", 1, token="anna"), event("Ended", 2, token="bob")
    started = event("Started", 0)
    assert recorded(started, charged_by, stopped_by).id_token == "anna"
    assert recorded(stopped_by, started, charged_by).id_token == "anna"
    assert recorded(event("Ended", None, token="bob"), event("Started", None, token="anna")).id_token == "anna"


def test_who_stopped_is_better_than_nobody() -> None:
    assert recorded(event("Ended", 2, token="bob")).id_token == "bob"


def test_a_second_end_does_not_move_the_first() -> None:
    record = recorded(event("Ended", 2, 5, stopped_reason="Local"), event("Ended", 3, 7, stopped_reason="PowerLoss"))
    assert (record.ended_at, record.end_seq_no, record.stopped_reason) == (NOON + timedelta(minutes=5), 2, "Local")
    again = recorded(event("Ended", None, 5), event("Ended", None, 7, stopped_reason="PowerLoss"))
    assert (again.ended_at, again.stopped_reason) == (NOON + timedelta(minutes=5), "Local")


def test_an_end_without_a_reason_was_local() -> None:
    """TransactionType: an absent stoppedReason means Local."""
    assert recorded(event("Ended", 1)).stopped_reason == "Local"


STATES = st.sampled_from([None, "EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE", "Idle"])


@st.composite
def streams(draw: st.DrawFn) -> list[TransactionEvent]:
    """Draw the events of one transaction in their true order: a token, an EVSE and states are told now and then."""
    first = draw(st.integers(0, 5))
    length = draw(st.integers(1, 8))
    kinds = ["Started", *["Updated"] * (length - 1)]
    if length > 1 and draw(st.booleans()):
        kinds[-1] = "Ended"
    register, events = draw(st.integers(0, 10**6)), []
    for number, kind in enumerate(kinds):
        moment = NOON + timedelta(minutes=number // draw(st.integers(1, 2)))
        register += draw(st.integers(0, 2000))
        sampled = [SampledValue(float(register))] if draw(st.booleans()) else []
        told = draw(st.integers(0, 3))
        events.append(
            TransactionEvent(
                event_type=kind,  # type: ignore[arg-type]  # one of the literals above
                timestamp=moment,
                trigger_reason="MeterValuePeriodic",
                transaction_info=Transaction("tx-1", draw(STATES), None, 7 if told == 1 else None),
                seq_no=first + number,
                meter_value=[MeterValue(moment, sampled)] if sampled else [],
                offline=draw(st.booleans()),
                evse=EVSE(2, 1) if told == 2 else None,
                id_token=IdToken(draw(st.sampled_from(["anna", "bob"]))) if told == 3 else None,
            )
        )
    return events


@given(streams(), st.randoms(use_true_random=False))
def test_events_in_any_order_make_the_same_record(stream: list[TransactionEvent], random: Any) -> None:
    shuffled = list(stream)
    random.shuffle(shuffled)
    assert recorded(*shuffled) == recorded(*stream)


@given(streams())
def test_the_record_has_the_energy_of_its_curve(stream: list[TransactionEvent]) -> None:
    points = curve(r for each in stream for r in readings(each.meter_value, NOON + timedelta(days=1)))
    assert round(recorded(*stream).meter.energy_wh, 3) == (points[-1].energy_wh if points else 0.0)
