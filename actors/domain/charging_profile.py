"""A plan of powers as a ChargingProfile, in the words of OCPP 2.x; `actors.ocpp.v16_commands` says it in those of 1.6.

Every profile is Absolute and in UTC: a day on which the clock changes needs no case of its own. Its schedule begins at
once, so that there is no moment without a limit (K01.FR.30; 1.6, 5.16.3). What a profile must keep is the table in
`charging_rules.py`, and none leaves here that breaks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Final

import msgspec

from actors.domain.charging_rules import Sent, SmartCharging, Unit, broken_rules
from actors.domain.moment import wire_time
from actors.errors import BadRequest
from actors.ocpp.frames import Json
from optimizer.levels import Level, levels_of, reduced, seconds_of
from optimizer.plan import Segment
from optimizer.prices import Step as PriceStep

MINIMUM_A: Final = 6.0
"""What a car needs to charge at all (IEC 61851-1)."""


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """Where a car charges: an EVSE, and how many phases it uses there; DC has none (K01.FR.44)."""

    evse_id: int
    phases: int | None = 3
    volts: float = 230.0
    """The set voltage of the area, not the measured one (K01.FR.50)."""
    phase_to_use: int | None = None
    minimum_kw: float | None = None
    """What it charges with at least; None is 6 A on each phase, or nothing for DC."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be allowed: the powers of a plan, and then `after_kw` until the profile ends.

    `until` is its end, when the station's default profile holds again; None is the end of the transaction. Where a
    station takes fewer periods than the plan has, more than planned may be allowed up to `ceilings`, where that is
    cheap by `prices`.
    """

    start: datetime
    """Now; a fraction of a second is cut off."""
    segments: tuple[Segment, ...]
    after_kw: float = 0.0
    until: datetime | None = None
    ceilings: tuple[Segment, ...] = ()
    prices: tuple[PriceStep, ...] = ()


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """How a profile is found again on its station: its id, and its place among those of one purpose."""

    profile_id: int
    stack_level: int = 0


def tx_profile(course: Course, outlet: Outlet, station: SmartCharging, name: Name, transaction_id: str | None) -> Json:
    """Return a TxProfile; without a transaction it is for the request that starts one (K05).

    Raises BadRequest when no profile can say this to this station.
    """
    profile = _profile("TxProfile", name, course, outlet, station)
    if transaction_id is not None:
        profile["transactionId"] = transaction_id
    return _checked(Sent(profile=profile, evse_id=outlet.evse_id, with_start=transaction_id is None), station)


def standing_profile(
    purpose: str, limit_kw: float, start: datetime, outlet: Outlet, station: SmartCharging, name: Name
) -> Json:
    """Return a profile of one limit that holds until it is replaced, also while the platform cannot be reached.

    As TxDefaultProfile it is a car's share whenever nothing else is said; as ChargingStationMaxProfile, for EVSE 0,
    what the station may never exceed. Raises BadRequest when the limit is too low to charge: nobody could lift it
    offline.
    """
    course = Course(start=start, segments=(), after_kw=limit_kw)
    profile = _profile(purpose, name, course, outlet, station)
    return _checked(Sent(profile=profile, evse_id=outlet.evse_id), station)


def _checked(sent: Sent, station: SmartCharging) -> Json:
    if broken := broken_rules(sent, station):
        raise BadRequest("; ".join(broken))
    return sent.profile


def _profile(purpose: str, name: Name, course: Course, outlet: Outlet, station: SmartCharging) -> Json:
    start = course.start.astimezone(UTC).replace(microsecond=0)
    scale = _Scale.of(outlet, station)
    schedule: Json = {
        "id": name.profile_id,
        "startSchedule": wire_time(start),
        "chargingRateUnit": scale.unit,
        "chargingSchedulePeriod": [_period(level, scale, outlet) for level in _levels(course, start, scale, station)],
    }
    if course.until is not None:
        schedule["duration"] = _seconds(course.until, start)
    return {
        "id": name.profile_id,
        "stackLevel": name.stack_level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    }


class _Scale(msgspec.Struct, frozen=True):
    """In what a station is told its limits."""

    unit: Unit
    grain: float
    """The least difference: whole or tenths of an ampere, whole watts."""
    grains_per_kw: float
    least: int
    """Below so many grains a car does not charge."""

    @classmethod
    def of(cls, outlet: Outlet, station: SmartCharging) -> _Scale:
        """Amperes where there is a choice on AC, as they hold whatever the voltage is; DC has only power."""
        unit: Unit = "A" if "A" in station.units and outlet.phases is not None else "W"
        phases = outlet.phases or 0
        grain = 0.1 if unit == "A" and not station.whole_units else 1.0
        per_kw = 1000.0 / grain / (outlet.volts * phases if unit == "A" else 1.0)
        least_kw = MINIMUM_A * phases * outlet.volts / 1000.0 if outlet.minimum_kw is None else outlet.minimum_kw
        return cls(unit, grain, per_kw, ceil(least_kw * per_kw - 1e-6))


def _period(level: Level, scale: _Scale, outlet: Outlet) -> Json:
    period: Json = {"startPeriod": level.start_s, "limit": round(level.grains * scale.grain, 1)}
    if outlet.phases is not None:
        period["numberPhases"] = outlet.phases  # always said: a missing one means three (K01.FR.49)
    if outlet.phase_to_use is not None:
        period["phaseToUse"] = outlet.phase_to_use
    return period


def _levels(course: Course, start: datetime, scale: _Scale, station: SmartCharging) -> tuple[Level, ...]:
    """Return the levels from the start on; the last one holds to the end of the profile."""
    planned_until = max((each.end for each in course.segments), default=start)
    end = course.until or start + timedelta(seconds=_seconds(planned_until, start) + 1) + _LONG
    if _seconds(end, start) <= 0:
        raise BadRequest(f"a profile from {start} on cannot end at {end}")
    segments = (*course.segments, Segment(max(start, planned_until), end, course.after_kw))
    edges = [edge for each in (*segments, *course.ceilings) for edge in (each.start, each.end)]
    edges += [edge for step in course.prices for edge in (step.start, step.end)]
    seconds = seconds_of(edges, start, _seconds(end, start))
    plan = levels_of(segments, start, seconds, scale.grains_per_kw, scale.least)
    roofs = levels_of(course.ceilings, start, seconds, scale.grains_per_kw, scale.least)
    prices = [_price_at(course.prices, start + timedelta(seconds=level.start_s)) for level in plan]
    return reduced(plan, seconds[-1], station.max_periods, prices, [roof.grains for roof in roofs], scale.least)


_LONG: Final = timedelta(days=1)
"""What comes after the plan is taken to last so long, when it is weighed against another level in the plan."""


def _seconds(until: datetime, start: datetime) -> int:
    return floor((until - start).total_seconds())


def _price_at(prices: Sequence[PriceStep], moment: datetime) -> float:
    return next((each.per_kwh for each in prices if each.start <= moment < each.end), 0.0)
