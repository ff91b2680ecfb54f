"""What is made of one message's meter values: units, phases, locations, contexts, clocks (2.0.1 J01, J02)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.domain.meter import EnergyMeter, Reading, base_value, readings
from actors.ocpp.messages import MeterValue, SampledValue, UnitOfMeasure

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def sample(value: float | None, unit: str | None = None, multiplier: int = 0, **values: Any) -> SampledValue:
    measure = None if unit is None else UnitOfMeasure(unit, multiplier)
    return SampledValue(value, unit_of_measure=measure, **values)


def reduced(*samples: SampledValue, at: datetime = NOON, received_at: datetime = NOON) -> list[Reading]:
    return readings([MeterValue(at, list(samples))], received_at)


def register(*samples: SampledValue) -> float | None:
    (reading,) = reduced(*samples)
    return reading.register_wh


@pytest.mark.parametrize(
    ("unit", "multiplier", "base"),
    [
        (None, 0, 12.5),
        ("Wh", 0, 12.5),
        ("Wh", 3, 12_500.0),
        ("kWh", 0, 12_500.0),
        ("KWH", 0, 12_500.0),
        ("kWh", 3, 12_500_000.0),
        ("MWh", 0, 12_500_000.0),
        ("W", -1, 1.25),
        ("kW", 0, 12_500.0),
        ("Percent", 0, 12.5),
    ],
)
def test_a_value_is_taken_in_its_base_unit(unit: str | None, multiplier: int, base: float) -> None:
    assert base_value(sample(12.5, unit, multiplier)) == pytest.approx(base)


def test_a_sample_that_says_nothing_is_the_import_register_in_wh() -> None:
    """SampledValueType: the defaults of measurand, unit, context and location."""
    assert reduced(sample(4200.0)) == [Reading(NOON, 4200.0, None, None)]


@pytest.mark.parametrize("phases", [("L1", "L2", "L3"), ("L1-N", "L2-N", "L3-N"), ("L3", "L1", "L2")])
def test_phases_are_summed_when_there_is_no_total(phases: tuple[str, ...]) -> None:
    assert register(*(sample(100.0 * n, phase=phase) for n, phase in enumerate(phases, 1))) == 600.0


def test_a_total_goes_before_its_phases() -> None:
    assert (
        register(sample(100.0, phase="L1"), sample(310.0), sample(100.0, phase="L2"), sample(100.0, phase="L3")) == 310
    )


def test_a_phase_alone_is_the_whole_of_a_one_phase_station() -> None:
    assert register(sample(70.0, phase="L2")) == 70.0


def test_a_phase_given_with_and_without_neutral_counts_once() -> None:
    assert register(sample(70.0, phase="L1"), sample(70.0, phase="L1-N"), sample(50.0, phase="L2")) == 120.0


@pytest.mark.parametrize("phase", ["L1-L2", "N"])
def test_values_between_phases_are_no_part_of_a_sum(phase: str) -> None:
    assert register(sample(100.0, phase="L1"), sample(400.0, phase=phase)) == 100.0
    assert reduced(sample(400.0, phase=phase)) == []


def test_the_outlet_goes_before_other_places() -> None:
    assert register(sample(9.0, location="Inlet"), sample(5.0), sample(8.0, location="Body")) == 5.0


def test_another_place_is_taken_when_the_outlet_says_nothing() -> None:
    assert register(sample(9.0, location="Inlet")) == 9.0
    assert register(sample(9.0, location="Inlet"), sample(None)) == 9.0
    assert register(sample(9.0, location="Inlet", phase="L1"), sample(8.0, location="Inlet", phase="L2")) == 17.0


@pytest.mark.parametrize("context", ["Transaction.Begin", "Transaction.End"])
def test_begin_and_end_of_a_transaction_go_before_the_periodic_value(context: str) -> None:
    assert register(sample(100.0, context=context), sample(103.0), sample(99.0, context="Sample.Clock")) == 100.0


def test_what_is_no_number_counts_as_absent() -> None:
    """1.6 SignedData: the text stays in the stored frame, no energy is made of it."""
    assert reduced(sample(None)) == []
    assert register(sample(None), sample(12.0)) == 12.0


@pytest.mark.parametrize(("value", "multiplier"), [(1e300, 30), (-1e300, 30), (1e16, 0), (1.0, 40)])
def test_a_number_beyond_all_reason_counts_as_absent(value: float, multiplier: int) -> None:
    """It could not be stored, and would make the whole transaction unreadable."""
    assert reduced(sample(value, "Wh", multiplier)) == []


def test_the_other_measurands_of_a_moment_stand_beside_its_register() -> None:
    values = (
        sample(7.4, "kWh"),
        sample(11.0, "kW", measurand="Power.Active.Import"),
        sample(55.0, "Percent", measurand="SoC"),
        sample(120.0, measurand="Energy.Active.Import.Interval"),
        sample(16.0, "A", measurand="Current.Import", phase="L1"),
    )
    assert reduced(*values) == [Reading(NOON, 7400.0, 120.0, 11_000.0, 55.0)]


def test_a_moment_without_energy_power_or_charge_level_is_no_reading() -> None:
    assert reduced(sample(230.0, "V", measurand="Voltage")) == []
    assert reduced(sample(55.0, measurand="SoC")) == [Reading(NOON, None, None, None, 55.0)]


def test_moments_come_in_order_and_each_once() -> None:
    later = NOON + timedelta(minutes=1)
    values = [
        MeterValue(later, [sample(200.0)]),
        MeterValue(NOON, [sample(100.0)]),
        MeterValue(later, [sample(7_000.0, measurand="Power.Active.Import")]),
    ]
    assert readings(values, later) == [Reading(NOON, 100.0, None, None), Reading(later, 200.0, None, 7_000.0)]


@pytest.mark.parametrize(
    "stamp",
    [
        datetime(1970, 1, 1, 0, 3, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        NOON + timedelta(minutes=6),
        datetime(2106, 2, 7, tzinfo=UTC),
    ],
)
def test_a_reading_of_an_unset_or_running_ahead_clock_is_put_where_it_was_received(stamp: datetime) -> None:
    (reading,) = reduced(sample(100.0), at=stamp, received_at=NOON)
    assert reading.at == NOON


@pytest.mark.parametrize("stamp", [NOON - timedelta(days=200), NOON + timedelta(minutes=4)])
def test_a_late_reading_and_a_small_lead_are_believed(stamp: datetime) -> None:
    (reading,) = reduced(sample(100.0), at=stamp, received_at=NOON)
    assert reading.at == stamp


def test_what_is_counted_has_no_more_digits_than_what_was_read() -> None:
    """0.3 less 0.1 would be 0.19999999999999998, on a receipt too."""
    meter = EnergyMeter()
    for number, register_wh in enumerate((0.1, 0.3)):
        meter.add(Reading(NOON + timedelta(minutes=number), register_wh, None, None))
    assert meter.energy_wh == 0.2
