"""Our site planner as a policy: what a platform would do with it, knowing only what a platform knows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from benchmarks.replay.loop import Present
from benchmarks.replay.prices import QUARTER_S, Prices
from benchmarks.replay.sessions import Floats, Ints
from optimizer.car import PHASES, Car, Wish
from optimizer.grid import Grid
from optimizer.prices import Prices as SlotPrices
from optimizer.site import Site
from optimizer.site_plan import plan_site

HOUR_S: Final = 3600
FINE_S: Final = 12 * HOUR_S
"""So far ahead a plan is in quarter hours, then in hours."""
HORIZON_S: Final = 36 * HOUR_S
GAP: Final = 3e-3
TIME_LIMIT_S: Final = 1.0
"""What a plan may be dearer than its bound, and how long may be looked for a better one."""
ASTRAY_KWH: Final = 0.05
"""A car that is so far behind its plan makes a new one necessary."""
NOTHING_KWH: Final = 1e-3
BELOW: Final = 0.97
"""A car that draws less than this share of its limit is held back by its battery."""
RESERVE: Final = 0.35
"""The last stage of a battery may take longer, by the time in which full power brings this share of what is wanted."""
RESERVE_H: Final = 0.25
"""The same in hours, once that stage is seen."""
SLACK: Final = 0.9
"""The share of a car's spare time that is reserved at most."""
STEPS_PER_A: Final = 10
"""Limits are sent in tenths of an ampere."""


@dataclass(slots=True)
class _Standing:
    """The plan in force."""

    cars: Ints
    edges_s: Ints
    power_kw: Floats
    """By car and slot: what is offered."""
    taken: Floats
    """The share of it that each car will take, which is less in the last stage of its battery."""
    missing_kwh: Floats
    """Of each car, when it was made."""
    known_quarters: int

    def slot(self, now_s: int) -> int:
        return int(np.searchsorted(self.edges_s, now_s, side="right")) - 1

    def planned_kwh(self, now_s: int) -> Floats:
        """Return what each car was to get from the making of the plan until now."""
        spent_s = np.clip(now_s - self.edges_s[:-1], 0, np.diff(self.edges_s))
        planned: Floats = np.minimum(self.power_kw @ spent_s / HOUR_S * self.taken, self.missing_kwh)
        return planned


_ONE_PHASE_KW_PER_A: Final = 0.3
_MOST_FALL: Final = 0.95
"""Power falls to a twentieth at the most: beyond that a line through two readings tells nothing."""


@dataclass(slots=True)
class _Taper:
    """What the meter tells of a battery near its end: power falls in proportion to what is still missing."""

    power_kw: float
    missing_kwh: float
    per_kwh: float = 0.0
    """So many kW less for each kWh that is in."""

    def follow(self, power_kw: float, missing_kwh: float) -> None:
        """Take one more reading."""
        if self.missing_kwh - missing_kwh > 0.01 and power_kw < self.power_kw:
            self.per_kwh = (self.power_kw - power_kw) / (self.missing_kwh - missing_kwh)
        self.power_kw, self.missing_kwh = power_kw, missing_kwh

    def mean_kw(self, missing_kwh: float) -> float:
        """Return the mean power until nothing is missing."""
        power_kw = self.power_kw - self.per_kwh * (self.missing_kwh - missing_kwh)
        fall = self.per_kwh * missing_kwh / power_kw
        return power_kw if fall < 1e-3 else power_kw * fall / -math.log1p(-min(fall, _MOST_FALL))


class Ours:
    """Plans when a car comes or goes, prices come out, or the last quarter hour did not go as planned."""

    def __init__(self, limit_kw: float, prices: Prices, *, by_peak: bool = False) -> None:
        self._limit_kw = limit_kw
        self._prices = prices
        self._by_peak = by_peak
        self._peak_kw = 0.0
        self._wanted_kwh: dict[int, float] = {}
        self._tapers: dict[int, _Taper] = {}
        self._standing: _Standing | None = None
        self.solve_ms: list[float] = []

    def limits_a(self, now_s: int, present: Present) -> Floats:
        self._learn(present)
        if self._standing is None or self._is_stale(self._standing, now_s, present):
            self._standing = self._plan(now_s, present)
        power_kw = self._standing.power_kw[:, self._standing.slot(now_s)]
        return self._more_for_tapers(present, _in_amperes(present, power_kw))

    def plan_of(self, car: int) -> tuple[list[float], list[float]]:
        """Return the edges of the slots of the plan in force, and the power of a car of it between them."""
        assert self._standing is not None
        [row] = self._standing.power_kw[self._standing.cars == car]
        return self._standing.edges_s.tolist(), row.tolist()

    def _learn(self, present: Present) -> None:
        """Find out from the meters which batteries are near their end."""
        self._peak_kw = max(self._peak_kw, float(present.drawn_kw.sum()))
        offered_kw = present.offered_a * present.kw_per_a
        held_back = (present.offered_a >= present.minimum_a) & (present.drawn_kw < BELOW * offered_kw)
        for car in np.flatnonzero(held_back & (present.drawn_kw > 0)):
            power_kw, missing_kwh = float(present.drawn_kw[car]), float(present.missing_kwh[car])
            taper = self._tapers.setdefault(int(present.index[car]), _Taper(power_kw, missing_kwh))
            taper.follow(power_kw, missing_kwh)

    def _more_for_tapers(self, present: Present, limits: Floats) -> Floats:
        """Offer what is left to batteries that are planned with their mean power: they take more first, less later."""
        most_kw = min(self._limit_kw, self._peak_kw) if self._by_peak else self._limit_kw
        room_kw = min(most_kw, float(present.max_a @ present.kw_per_a)) - float(limits @ present.kw_per_a)
        for car in np.flatnonzero(limits > 0):
            if room_kw > 0 and int(present.index[car]) in self._tapers:
                room_a = math.floor(room_kw / present.kw_per_a[car] * STEPS_PER_A) / STEPS_PER_A
                more_a = min(present.max_a[car] - limits[car], room_a)
                limits[car] += more_a
                room_kw -= more_a * present.kw_per_a[car]
        return limits

    def _is_stale(self, plan: _Standing, now_s: int, present: Present) -> bool:
        if not np.array_equal(plan.cars, present.index) or now_s >= plan.edges_s[-1]:
            return True
        if now_s % QUARTER_S:
            return False
        if self._prices.known_quarters(now_s) != plan.known_quarters:
            return True
        got_kwh = plan.missing_kwh - present.missing_kwh
        planned_kwh, total_kwh = plan.planned_kwh(now_s), plan.planned_kwh(int(plan.edges_s[-1]))
        behind = planned_kwh - got_kwh > ASTRAY_KWH
        over = (total_kwh - planned_kwh < NOTHING_KWH) & (present.missing_kwh > NOTHING_KWH)
        return bool(np.any(behind | over))

    def _plan(self, now_s: int, present: Present) -> _Standing:
        edges_s = _edges(now_s, int(min(present.leaves_s.max(), now_s + HORIZON_S)))
        grid = Grid(
            self._prices.start + timedelta(seconds=now_s), tuple(late - early for early, late in pairwise(edges_s))
        )
        wants = np.flatnonzero(present.missing_kwh > NOTHING_KWH)
        power_kw, taken = np.zeros((len(present.index), grid.slots)), np.ones(len(present.index))
        if len(wants):
            cars, taken[wants] = zip(*(self._car(grid, now_s, present, int(car)) for car in wants), strict=True)
            site = Site(
                grid=grid,
                prices=self._slot_prices(now_s, edges_s),
                cars=cars,
                grid_limit_kw=(self._limit_kw,) * grid.slots if np.isfinite(self._limit_kw) else None,
            )
            began = time.perf_counter()
            plan = plan_site(site, GAP, TIME_LIMIT_S)
            self.solve_ms.append((time.perf_counter() - began) * 1000)
            power_kw[wants] = plan.power_kw
        known = self._prices.known_quarters(now_s)
        return _Standing(present.index, np.array(edges_s), power_kw, taken, present.missing_kwh, known)

    def _slot_prices(self, now_s: int, edges_s: list[int]) -> SlotPrices:
        seen = self._prices.as_seen(now_s)
        per_kwh = [
            float(seen[early // QUARTER_S : max(early // QUARTER_S + 1, late // QUARTER_S)].mean())
            for early, late in pairwise(edges_s)
        ]
        return SlotPrices(
            per_kwh=tuple(per_kwh),
            peak_per_kw=self._prices.peak_per_kw if self._by_peak else 0.0,
            peak_so_far_kw=self._peak_kw if self._by_peak else 0.0,
            currency=self._prices.currency,
        )

    def _car(self, grid: Grid, now_s: int, present: Present, car: int) -> tuple[Car, float]:
        """Return a car as it is planned, and the share of what it is offered that it will take.

        It is gone a little earlier than it says, and what is offered to it is its mean power until it is full, or the
        minimum current, if that is more.
        """
        kw_per_a, missing_kwh = float(present.kw_per_a[car]), float(present.missing_kwh[car])
        full_kw, minimum_kw = float(present.max_a[car]) * kw_per_a, present.minimum_a * kw_per_a
        session = int(present.index[car])
        taper = self._tapers.get(session)
        mean_kw = full_kw if taper is None else taper.mean_kw(missing_kwh)
        offered_kw = min(max(minimum_kw, mean_kw), full_kw)
        stay_h = (int(present.leaves_s[car]) - now_s) / HOUR_S
        wanted_kwh = self._wanted_kwh.setdefault(session, missing_kwh)
        reserve_h = RESERVE * wanted_kwh / full_kw if taper is None else RESERVE_H
        reserve_h = min(reserve_h, SLACK * max(stay_h - missing_kwh / mean_kw, 0.0))
        planned = Car(
            car_id=str(session),
            maximum_kw=offered_kw,
            minimum_kw=minimum_kw,
            phases=PHASES if kw_per_a > _ONE_PHASE_KW_PER_A else PHASES[:1],
            leaves=grid.start + timedelta(hours=stay_h - reserve_h),
            wish=Wish(energy_kwh=missing_kwh * offered_kw / mean_kw),
        )
        return planned, mean_kw / offered_kw


def _in_amperes(present: Present, power_kw: Floats) -> Floats:
    """Return limits that are never above the powers; a car's own maximum is no matter of tenths."""
    tenths = np.floor(power_kw / present.kw_per_a * STEPS_PER_A + 1e-6) / STEPS_PER_A
    full = power_kw >= present.max_a * present.kw_per_a - 1e-6
    return np.where(full, present.max_a, tenths)


def _edges(now_s: int, until_s: int) -> list[int]:
    """Return the edges of slots from now on: quarter hours, then hours."""
    coarse_s = -(-(now_s + FINE_S) // HOUR_S) * HOUR_S
    fine = range((now_s // QUARTER_S + 1) * QUARTER_S, min(until_s, coarse_s), QUARTER_S)
    return [now_s, *fine, *range(coarse_s, until_s, HOUR_S), until_s]
