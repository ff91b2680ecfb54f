"""What a run was worth: energy, drivers who got all, peak, cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.replay.loop import QUARTER_S, Run, Site
from benchmarks.replay.optimum import Optimum
from benchmarks.replay.prices import Prices
from benchmarks.replay.sessions import SECOND_H, Floats

SERVED: Final = 0.999
"""The share of what was asked for with which a driver has all."""


def means_kw(run: Run, seconds: int) -> Floats:
    """Return the mean power of each stretch of so many seconds."""
    means: Floats = run.power_kw.reshape(-1, seconds).mean(axis=1)
    return means


def _wanted(site: Site) -> Floats:
    return np.array([each.wanted_kwh for each in site.sessions])


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one run, or of several sites together: then powers are the sums of the sites'."""

    wanted_kwh: float
    delivered_kwh: float
    sessions: int
    served: int
    peak_kw: float
    """The highest mean of five minutes; of a quarter hour in a plan with foresight."""
    energy_cost: float
    violations_s: int
    messages: int

    @classmethod
    def of(cls, run: Run, prices: Prices) -> Score:
        wanted = _wanted(run.site)
        return cls(
            float(wanted.sum()),
            float(run.delivered_kwh.sum()),
            len(wanted),
            int(np.count_nonzero(run.delivered_kwh >= SERVED * wanted)),
            float(means_kw(run, 300).max()),
            prices.cost(means_kw(run, QUARTER_S) * QUARTER_S * SECOND_H),
            run.violations_s,
            run.messages,
        )

    @classmethod
    def planned(cls, site: Site, best: Optimum) -> Score:
        """Return the figures of a plan made with foresight; its powers are means over slots."""
        wanted, delivered = _wanted(site), best.delivered_kwh(len(site.sessions))
        return cls(
            float(wanted.sum()),
            float(delivered.sum()),
            len(wanted),
            int(np.count_nonzero(delivered >= SERVED * wanted)),
            float(best.site_kw(site.seconds // best.slot_s).max()),
            best.bound,
            violations_s=0,
            messages=0,
        )

    def __add__(self, other: Score) -> Score:
        return Score(
            self.wanted_kwh + other.wanted_kwh,
            self.delivered_kwh + other.delivered_kwh,
            self.sessions + other.sessions,
            self.served + other.served,
            self.peak_kw + other.peak_kw,
            self.energy_cost + other.energy_cost,
            self.violations_s + other.violations_s,
            self.messages + other.messages,
        )

    @property
    def energy_pct(self) -> float:
        return 100 * self.delivered_kwh / self.wanted_kwh

    @property
    def kwh_cost(self) -> float:
        return self.energy_cost / self.delivered_kwh

    @property
    def served_pct(self) -> float:
        return 100 * self.served / self.sessions
