"""The policies everybody compares with: none plans, all know who is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.replay.loop import Policy, Present
from benchmarks.replay.sessions import Floats

Order = Callable[[int, Present], Floats]
"""Who comes first: the car with the least."""

_NOTHING_KWH = 1e-9


class Uncontrolled:
    """Every car takes what it can."""

    def limits_a(self, now_s: int, present: Present) -> Floats:
        del now_s
        return present.max_a


class Sorted:
    """One car after the other gets all it can take, as long as there is some left."""

    def __init__(self, limit_kw: float, order: Order) -> None:
        self._limit_kw = limit_kw
        self._order = order

    def limits_a(self, now_s: int, present: Present) -> Floats:
        limits = np.zeros(len(present.index))
        left_kw = self._limit_kw
        for car in np.argsort(self._order(now_s, present), kind="stable"):
            if present.missing_kwh[car] <= _NOTHING_KWH:
                continue
            amps = min(present.max_a[car], left_kw / present.kw_per_a[car])
            if amps >= present.minimum_a and amps > 0:
                limits[car] = amps
                left_kw -= amps * present.kw_per_a[car]
        return limits


class RoundRobin:
    """All get the same, as far as it goes; if not even the minimum goes round, others get it each time."""

    def __init__(self, limit_kw: float) -> None:
        self._limit_kw = limit_kw
        self._begun = 0

    def limits_a(self, now_s: int, present: Present) -> Floats:
        del now_s
        limits = np.zeros(len(present.index))
        turn = np.roll(np.flatnonzero(present.missing_kwh > _NOTHING_KWH), -self._begun)
        self._begun += 1
        served = turn[np.cumsum(present.minimum_a * present.kw_per_a[turn]) <= self._limit_kw]
        if len(served):
            most_a, kw_per_a = present.max_a[served], present.kw_per_a[served]
            levels = np.unique(np.append(most_a, present.minimum_a))
            used_kw = (np.clip(levels[:, None], present.minimum_a, most_a) * kw_per_a).sum(axis=1)
            level = np.interp(self._limit_kw, used_kw, levels)
            limits[served] = np.clip(level, present.minimum_a, most_a)
        return limits


def _arrival(now_s: int, present: Present) -> Floats:
    del now_s
    return present.arrived_s.astype(np.float64)


def _deadline(now_s: int, present: Present) -> Floats:
    del now_s
    return present.leaves_s.astype(np.float64)


def _laxity(now_s: int, present: Present) -> Floats:
    """Return for how many hours each car could still wait."""
    needed_h = present.missing_kwh / (present.max_a * present.kw_per_a)
    laxity: Floats = (present.leaves_s - now_s) / 3600 - needed_h
    return laxity


BASELINES: Final[dict[str, Callable[[float], Policy]]] = {
    "first_come": lambda limit_kw: Sorted(limit_kw, _arrival),
    "round_robin": RoundRobin,
    "earliest_deadline": lambda limit_kw: Sorted(limit_kw, _deadline),
    "least_laxity": lambda limit_kw: Sorted(limit_kw, _laxity),
}
"""By name, made for the limit of a site."""
