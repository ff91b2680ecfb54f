"""Energy out of readings: a clean series that never falls, whatever the order and the parcels they came in (J02)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.meter import EnergyMeter, Reading, curve
from actors.domain.transaction import ChargingTransaction
from actors.ocpp.messages import MeterValue, SampledValue, Transaction, TransactionEvent

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minute: float) -> datetime:
    return NOON + minute * MINUTE


def registers(*values: float) -> list[Reading]:
    """Return one register reading a minute."""
    return [Reading(at(minute), value, None, None) for minute, value in enumerate(values)]


def energies(*values: float) -> list[float]:
    return [point.energy_wh for point in curve(registers(*values))]


def test_energy_starts_at_zero_wherever_the_register_stands() -> None:
    assert energies(4_000_000, 4_000_500, 4_001_200) == [0, 500, 1200]


def test_a_register_that_starts_again_at_zero_counts_on() -> None:
    assert energies(5000, 6000, 0, 400, 900) == [0, 1000, 1000, 1400, 1900]


def test_what_a_reset_register_shows_first_was_charged_since_the_last_reading() -> None:
    assert energies(5000, 6000, 50, 400) == [0, 1000, 1000, 1400]


def test_a_first_value_no_car_could_have_drawn_is_the_register_of_another_meter() -> None:
    assert energies(5_000_000, 5_001_000, 900_000, 900_300) == [0, 1000, 1000, 1300]


def test_a_register_may_start_again_more_than_once() -> None:
    assert energies(100, 300, 0, 200, 0, 50) == [0, 200, 200, 400, 400, 450]


def test_a_dip_of_one_sample_is_a_glitch() -> None:
    assert energies(5000, 5200, 0, 5300, 5400) == [0, 200, 200, 300, 400]


def test_two_dips_apart_are_two_glitches() -> None:
    assert energies(5000, 5200, 0, 5200, 0, 5400) == [0, 200, 200, 200, 200, 400]


def test_rounding_between_displays_is_no_reset() -> None:
    assert energies(5000, 5001, 4999, 5002) == [0, 1, 1, 2]


def test_a_dip_followed_by_a_rounding_difference_is_over() -> None:
    assert energies(5000, 5200, 0, 5199, 5100, 5300) == [0, 200, 200, 200, 200, 300]


def test_a_register_that_counts_below_zero_takes_no_energy_away() -> None:
    assert energies(1000, 1200, -300, -200) == [0, 200, 200, 300]


def test_intervals_are_added_up() -> None:
    points = curve(Reading(at(minute), None, 150.0, None) for minute in range(3))
    assert [point.energy_wh for point in points] == [150, 300, 450]


def test_intervals_count_for_nothing_beside_a_register() -> None:
    both = [Reading(at(0), 1000.0, None, None), Reading(at(1), None, 150.0, None), Reading(at(2), 1300.0, 150.0, None)]
    assert [point.energy_wh for point in curve(both)] == [0, 0, 300]


def test_an_interval_below_zero_takes_no_energy_away() -> None:
    assert curve([Reading(at(0), None, -5.0, None)])[-1].energy_wh == 0


def test_one_moment_told_by_several_messages_is_one_point() -> None:
    parts = [
        Reading(at(1), 1500.0, None, None),
        Reading(at(1), None, None, 7_000.0),
        Reading(at(1), None, None, None, 55.0),
        Reading(at(0), 1000.0, None, None),
    ]
    assert [msgspec.structs.astuple(point) for point in curve(parts)] == [
        (at(0), 0, None, None),
        (at(1), 500, 7_000.0, 55.0),
    ]


def test_an_interval_told_twice_counts_once() -> None:
    assert curve([Reading(at(0), None, 150.0, None)] * 2)[-1].energy_wh == 150


maybe = st.none()
plausible = st.floats(0, 1e6).map(lambda value: round(value, 1))
READINGS = st.lists(
    st.builds(
        lambda minute, register, interval, power, soc: Reading(at(minute), register, interval, power, soc),
        st.integers(0, 12),
        maybe | st.floats(-1e5, 1e6).map(lambda value: round(value, 1)),
        maybe | st.floats(-100, 1000).map(lambda value: round(value, 1)),
        maybe | plausible,
        maybe | st.integers(0, 100).map(float),
    ).filter(lambda reading: any(value is not None for value in msgspec.structs.astuple(reading)[1:])),
    max_size=12,
)


@given(READINGS)
def test_energy_never_falls(readings: list[Reading]) -> None:
    series = [0.0, *(point.energy_wh for point in curve(readings))]
    assert series == sorted(series)


@given(READINGS, st.randoms(use_true_random=False))
def test_the_order_in_which_readings_came_changes_nothing(readings: list[Reading], random: Any) -> None:
    shuffled = list(readings)
    random.shuffle(shuffled)
    assert curve(shuffled) == curve(readings)


@given(READINGS)
def test_repeated_readings_change_nothing(readings: list[Reading]) -> None:
    assert curve([*readings, *readings]) == curve(readings)


@given(st.lists(st.floats(0, 1e6).map(lambda value: round(value, 1)), min_size=1, max_size=20))
def test_counting_as_readings_come_in_order_ends_where_the_curve_ends(values: list[float]) -> None:
    meter = EnergyMeter()
    for reading in registers(*values):
        assert not meter.late([reading])
        meter.add(reading)
    assert round(meter.energy_wh, 3) == curve(registers(*values))[-1].energy_wh


def events(readings: Sequence[Reading], sizes: Sequence[int]) -> list[TransactionEvent]:
    """Parcel readings into events of the given sizes."""
    parcels, rest = [], list(readings)
    for size in [*sizes, len(rest)]:
        parcels.append(rest[:size])
        rest = rest[size:]
    info = Transaction("tx-1")
    return [
        TransactionEvent(
            "Updated", at(0), "MeterValuePeriodic", info, seq_no, meter_value=[meter_value(r) for r in parcel]
        )
        for seq_no, parcel in enumerate(parcels)
    ]


def meter_value(reading: Reading) -> MeterValue:
    fields = (
        (reading.register_wh, "Energy.Active.Import.Register"),
        (reading.interval_wh, "Energy.Active.Import.Interval"),
        (reading.power_w, "Power.Active.Import"),
        (reading.soc_percent, "SoC"),
    )
    return MeterValue(reading.at, [SampledValue(value, measurand=name) for value, name in fields if value is not None])


def counted(readings: Sequence[Reading], sizes: Sequence[int]) -> ChargingTransaction:
    """Take readings in as the handler does: what is late makes it count anew from all of them."""
    transaction = ChargingTransaction("id", "CP-1", "tx-1", NOON)
    stored: list[Reading] = []
    for event in events(readings, sizes):
        new, rest = list(readings[len(stored) :][: len(event.meter_value)]), stored
        late = transaction.meter.late(new)
        transaction.apply(event, new)
        stored = [*rest, *new]
        if late:
            transaction.recount(stored)
    return transaction


@given(READINGS, st.lists(st.integers(0, 3), max_size=12))
def test_the_running_count_is_the_curve_however_readings_are_parcelled(
    readings: list[Reading], sizes: list[int]
) -> None:
    one_by_one = sorted(readings, key=lambda reading: reading.at)
    total = curve(readings)[-1].energy_wh if readings else 0.0
    for stream in (readings, one_by_one):
        assert round(counted(stream, [1] * len(stream)).meter.energy_wh, 3) == total


@st.composite
def charging_sessions(draw: st.DrawFn) -> tuple[list[float], float]:
    """Draw a register's displays over a session with resets, and the energy truly charged.

    A reset is confirmed by a second display that is still below the old one; without it no one could tell.
    """
    steps = draw(st.lists(st.integers(1, 4_000), min_size=1, max_size=30))
    wanted = draw(st.sets(st.integers(0, len(steps)), max_size=4))
    shown, confirmed_at = draw(st.integers(0, 10**7)), 0
    displays = [float(shown)]
    for number, step in enumerate(steps):
        after_next = step + (steps[number + 1] if number + 1 < len(steps) else shown)
        if number in wanted and number >= confirmed_at and after_next < shown - 2:
            shown, confirmed_at = 0, number + 2
        shown += step
        displays.append(float(shown))
    return displays, float(sum(steps))


@given(charging_sessions())
def test_the_energy_of_a_session_with_resets_is_recovered(session: tuple[list[float], float]) -> None:
    displays, total = session
    assert energies(*displays)[-1] == total


@pytest.mark.parametrize("dip", [1, 5, 9])
def test_a_dip_anywhere_changes_nothing_in_the_end(dip: int) -> None:
    values = [1000.0 + 100 * n for n in range(11)]
    values[dip] = 3.0
    assert energies(*values)[-1] == 1000.0
