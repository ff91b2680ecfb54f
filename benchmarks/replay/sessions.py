"""A session as it was, and the battery behind it: what a replay knows and a planner must find out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SECOND_H: Final = 1 / 3600
TAPER_FROM: Final = 0.8
"""Where the second stage begins: the transition of ACN-Sim's two-stage battery (arXiv:2012.02809)."""
FULL: Final = 0.98
"""Where a car ends by itself: with TAPER_FROM it then takes a tenth of its power."""
CAPACITIES_KWH: Final = (8.0, 24.0, 40.0, 60.0, 85.0, 100.0)
"""Batteries that cars may have, from hybrids on; no data set says which car it was."""


@dataclass(frozen=True, slots=True)
class Session:
    """One car at one charger; seconds count from the start of the replay."""

    session_id: str
    arrives_s: int
    leaves_s: int
    wanted_kwh: float
    """What it took when it really charged."""
    max_kw: float
    phases: int = 1
    volts: float = 230.0
    capacity_kwh: float = float("inf")
    soc: float = 0.0
    """At arrival."""
    taper_from: float = 1.0
    """1 is a battery that takes full power to its end."""

    @property
    def kw_per_a(self) -> float:
        """Return the power of one ampere on each of its phases."""
        return self.phases * self.volts / 1000

    def deliverable_kwh(self) -> float:
        """Return what the session gets when nothing holds it back."""
        alone = Batteries.of([self])
        return float(alone.powers(np.array([self.max_kw]), self.leaves_s - self.arrives_s).sum() * SECOND_H)


@dataclass(slots=True)
class Batteries:
    """The batteries of many cars, each as an entry of arrays."""

    max_kw: Floats
    capacity_kwh: Floats
    taper_from: Floats
    soc: Floats
    missing_kwh: Floats
    """Until the car ends by itself."""

    @classmethod
    def of(cls, sessions: list[Session]) -> Batteries:
        """Return the batteries as the cars arrive."""
        columns = ("max_kw", "capacity_kwh", "taper_from", "soc", "wanted_kwh")
        return cls(*(np.array([getattr(each, name) for each in sessions], dtype=np.float64) for name in columns))

    def part(self, cars: Ints) -> Batteries:
        """Return some of them, as copies."""
        return Batteries(
            self.max_kw[cars], self.capacity_kwh[cars], self.taper_from[cars], self.soc[cars], self.missing_kwh[cars]
        )

    def charge(self, cars: Ints, drawn_kwh: Floats) -> None:
        """Put energy into some of them."""
        self.soc[cars] += drawn_kwh / self.capacity_kwh[cars]
        self.missing_kwh[cars] = np.maximum(self.missing_kwh[cars] - drawn_kwh, 0.0)

    def powers(self, limit_kw: Floats, seconds: int) -> Floats:
        """Return the power of each car (columns) in each of the next seconds (rows) under a constant limit.

        In a second a car takes what its state of charge at the second's start allows. That recursion is linear in both
        stages, so it is summed up instead of walked: at the limit first, then with what is missing falling by the same
        share each second.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.minimum(limit_kw, self.max_kw)
            turn = 1 - (1 - self.taper_from) * level / self.max_kw
            step = level * SECOND_H / self.capacity_kwh
            flat = np.where(self.soc <= turn, np.floor((turn - self.soc) / step) + 1, 0.0)
            flat = np.where((self.taper_from >= 1) | (level <= 0), seconds, np.clip(flat, 0, seconds))
            left = 1 - (self.soc + flat * np.where(flat > 0, step, 0.0))
            share = 1 - self.max_kw * SECOND_H / (self.capacity_kwh * (1 - self.taper_from))
            second = np.arange(seconds, dtype=np.float64)[:, None]
            tapered = self.max_kw * left / (1 - self.taper_from) * share ** np.maximum(second - flat, 0)
        free = np.where(second < flat, level, tapered)
        taken = np.minimum(np.cumsum(free, axis=0) * SECOND_H, self.missing_kwh)
        drawn: Floats = np.diff(taken, axis=0, prepend=0.0) / SECOND_H
        return drawn


def with_battery(session: Session) -> Session:
    """Return the session with a battery that tapers, as ACN-Sim finds one for a session that was recorded without.

    It is the smallest that can hold the energy, as full at arrival as is possible if a car that nothing holds back is
    to get its energy before it leaves; empty, if it could not.
    """
    capacity = next((each for each in CAPACITIES_KWH if session.wanted_kwh <= FULL * each), CAPACITIES_KWH[-1])
    wanted = min(session.wanted_kwh, FULL * capacity)
    fullest = FULL - wanted / capacity
    tried = [
        replace(session, wanted_kwh=wanted, capacity_kwh=capacity, soc=fullest * share, taper_from=TAPER_FROM)
        for share in np.linspace(1, 0, 21).tolist()
    ]
    return next((each for each in tried if each.deliverable_kwh() > wanted - 1e-6), tried[-1])
