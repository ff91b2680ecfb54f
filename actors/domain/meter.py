"""Energy from meter values: a clean, never falling Wh series out of what stations really send.

The rules are the standard's defaults and the field's traps: units and multipliers, phases to be summed, registers that
start at any value, restart at zero or dip for one sample, several samples of one moment, readings of unset clocks.
Sources: OCPP 2.0.1 part 2, J01, J02 and SampledValueType.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from actors.domain.moment import believable
from actors.ocpp.messages import MeterValue, SampledValue

REGISTER: Final = "Energy.Active.Import.Register"
INTERVAL: Final = "Energy.Active.Import.Interval"
POWER: Final = "Power.Active.Import"
SOC: Final = "SoC"

_READ: Final = frozenset((REGISTER, INTERVAL, POWER, SOC))

_TO_BASE: Final = {"kwh": 1000.0, "kw": 1000.0, "kva": 1000.0, "kvar": 1000.0, "kvarh": 1000.0, "mwh": 1e6, "mw": 1e6}
_PHASES: Final = ("L1", "L2", "L3")
_RANK: Final = {"Transaction.Begin": 2, "Transaction.End": 2}


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """What one moment says about energy: at most one register, one interval, one power."""

    at: datetime
    register_wh: float | None
    interval_wh: float | None
    power_w: float | None
    soc_percent: float | None = None


class EnergyPoint(msgspec.Struct, frozen=True):
    """A point of the charging curve: energy since the start of the transaction, power if known."""

    at: datetime
    energy_wh: float
    power_w: float | None
    soc_percent: float | None = None


class EnergyMeter(msgspec.Struct, omit_defaults=True):
    """The running state of one transaction's energy; fold readings into it in order of time.

    `energy_wh` never falls. A register that falls is believed only when the next reading confirms it: then it has
    been reset and counts on from zero; when it is back where it was, the fall was a glitch.
    """

    last_at: datetime | None = None
    first_register_wh: float | None = None
    last_register_wh: float | None = None
    last_register_at: datetime | None = None
    fallen_to_wh: float | None = None
    energy_wh: float = 0.0
    power_w: float | None = None
    soc_percent: float | None = None
    resets: int = 0

    def add(self, reading: Reading) -> None:
        """Fold in one reading, later than the last one."""
        if reading.register_wh is not None:
            self._register(reading.register_wh, reading.at)
        elif reading.interval_wh is not None and self.last_register_wh is None:
            self._more(max(0.0, reading.interval_wh))
        if reading.power_w is not None:
            self.power_w = reading.power_w
        if reading.soc_percent is not None:
            self.soc_percent = reading.soc_percent
        self.last_at = reading.at

    def _register(self, register_wh: float, at: datetime) -> None:
        last, last_at = self.last_register_wh, self.last_register_at
        if last is None or last_at is None:
            self.first_register_wh = register_wh
        elif register_wh >= last:
            self._more(register_wh - last)
        elif last - register_wh <= _JITTER_WH:
            self.fallen_to_wh = None
            return
        elif self.fallen_to_wh is None:
            self.fallen_to_wh = register_wh
            return
        else:
            # What a reset register shows first was drawn since the last reading, if any car could have drawn it.
            hours = (at - last_at).total_seconds() / 3600
            first = self.fallen_to_wh if 0 < self.fallen_to_wh <= _MAX_POWER_W * hours else 0.0
            self._more(first + max(0.0, register_wh - self.fallen_to_wh))
            self.resets += 1
        self.last_register_wh, self.last_register_at, self.fallen_to_wh = register_wh, at, None

    def _more(self, drawn_wh: float) -> None:
        self.energy_wh = round(self.energy_wh + drawn_wh, _DECIMALS)  # else 0.1 + 0.2 would be on a receipt

    def late(self, readings: Sequence[Reading]) -> bool:
        """Tell whether the first of `readings` is not later than what is folded in: then all must be counted anew."""
        return bool(readings) and self.last_at is not None and readings[0].at <= self.last_at


_DECIMALS: Final = 6
"""Of a Wh, in what is counted."""

_JITTER_WH: Final = 2.0
"""A fall this small is rounding between two displays of one register, not a reset."""

_MAX_POWER_W: Final = 500_000.0
"""More than any car charges with."""

_BEYOND_REASON: Final = 1e15
"""No meter shows this; infinity, which JSON cannot hold, is beyond it too."""


def readings(values: Iterable[MeterValue], received_at: datetime) -> list[Reading]:
    """Reduce meter values to one reading a moment, in order of time.

    A moment that the station's clock cannot mean is replaced by `received_at`.
    """
    moments: dict[datetime, list[SampledValue]] = {}
    for value in values:
        at = value.timestamp if believable(value.timestamp, received_at) else received_at
        moments.setdefault(at, []).extend(value.sampled_value)
    return [reading for at in sorted(moments) if (reading := _reading(at, moments[at])) is not None]


def curve(all_readings: Iterable[Reading]) -> list[EnergyPoint]:
    """Return the charging curve of a transaction from its readings, in any order."""
    meter, points = EnergyMeter(), []
    for reading in merged(all_readings):
        meter.add(reading)
        points.append(EnergyPoint(reading.at, round(meter.energy_wh, 3), reading.power_w, reading.soc_percent))
    return points


def merged(all_readings: Iterable[Reading]) -> list[Reading]:
    """Sort readings and join those of one moment, so that a repeat or a second message adds nothing twice."""
    moments: dict[datetime, Reading] = {}
    for new in all_readings:
        old = moments.get(new.at)
        moments[new.at] = new if old is None else _join(old, new)
    return [moments[at] for at in sorted(moments)]


def _join(one: Reading, other: Reading) -> Reading:
    """Join two readings of one moment; of two values the higher, so that the order in which they came is nothing."""
    return Reading(
        one.at,
        _higher(one.register_wh, other.register_wh),
        _higher(one.interval_wh, other.interval_wh),
        _higher(one.power_w, other.power_w),
        _higher(one.soc_percent, other.soc_percent),
    )


def _higher(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _reading(at: datetime, samples: list[SampledValue]) -> Reading | None:
    fitting: dict[str, list[tuple[SampledValue, float]]] = {}
    for sample in samples:
        if sample.measurand in _READ and sample.value is not None:
            value = base_value(sample)
            if abs(value) < _BEYOND_REASON:
                fitting.setdefault(sample.measurand, []).append((sample, value))
    totals: dict[str, float] = {}
    for measurand, values in fitting.items():
        total = values[0][1] if len(values) == 1 and values[0][0].phase is None else _total(values)
        if total is not None:
            totals[measurand] = total
    if not totals:
        return None
    return Reading(at, totals.get(REGISTER), totals.get(INTERVAL), totals.get(POWER), totals.get(SOC))


def _total(fitting: list[tuple[SampledValue, float]]) -> float | None:
    """Pick a measurand's value: outlet before elsewhere, Begin/End before periodic, total before sum of phases."""
    if len(fitting) > 1:
        if any(s.location == "Outlet" for s, _ in fitting):
            fitting = [(s, value) for s, value in fitting if s.location == "Outlet"]
        best = max(_RANK.get(s.context, 1) for s, _ in fitting)
        fitting = [(s, value) for s, value in fitting if _RANK.get(s.context, 1) == best]
    totals = [value for s, value in fitting if s.phase is None]
    if totals:
        return totals[-1]
    phases = {s.phase.removesuffix("-N"): value for s, value in fitting if s.phase is not None}
    return sum(phases[p] for p in _PHASES if p in phases) if any(p in phases for p in _PHASES) else None


def base_value(sample: SampledValue) -> float:
    """Return a numeric sample in its base unit (Wh, W, A, V, ...)."""
    value, unit = sample.value or 0.0, sample.unit_of_measure
    if unit is None:
        return value
    value *= _TO_BASE.get(unit.unit.lower(), 1.0)
    return value * 10.0 ** max(-30, min(30, unit.multiplier)) if unit.multiplier else value
