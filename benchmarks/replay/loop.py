"""The replay: sessions come and go, a policy sets limits, batteries take what they can, second by second.

It knows no prices and no planner; what happened is judged by `scores.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from benchmarks.replay.sessions import SECOND_H, Batteries, Floats, Ints, Session

MINIMUM_A: Final = 6.0
"""A station cannot offer less (IEC 61851-1)."""
TOLERANCE: Final = 1e-6
QUARTER_S: Final = 900


@dataclass(frozen=True, slots=True)
class Site:
    """Who came, and what may be drawn for all of them together."""

    sessions: list[Session]
    limit_kw: float = float("inf")
    minimum_a: float = MINIMUM_A

    @property
    def seconds(self) -> int:
        """Return how long it takes until the last one has left, in whole quarter hours."""
        return -(-max(each.leaves_s for each in self.sessions) // QUARTER_S) * QUARTER_S


@dataclass(frozen=True, slots=True)
class Present:
    """The cars that are there, as a platform knows them: no state of charge, no battery, no later arrival."""

    index: Ints
    """Which sessions of the site they are."""
    arrived_s: Ints
    leaves_s: Ints
    """As the drivers said; they keep to it."""
    missing_kwh: Floats
    """What the drivers asked for, less what was metered since."""
    max_a: Floats
    minimum_a: float
    kw_per_a: Floats
    offered_a: Floats
    """The limits until now."""
    drawn_kw: Floats
    """What the meters read in the last second."""


class Policy(Protocol):
    """Who says how much each car may take; asked whenever one comes or goes, and every so many seconds."""

    def limits_a(self, now_s: int, present: Present) -> Floats:
        """Return the limit of each car that is there, in amperes on each of its phases."""
        ...


@dataclass(slots=True)
class Run:
    """What happened."""

    site: Site
    power_kw: Floats
    """Of the site in each second."""
    delivered_kwh: Floats
    """To each session."""
    violations_s: int = 0
    """Seconds in which what was offered or drawn exceeded the limit of the site or of a car."""
    messages: int = 0
    """Limits that changed: each is a message to a station."""
    traces: list[Trace] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trace:
    """The powers of the cars in a stretch of time, for pictures."""

    begin_s: int
    index: Ints
    power_kw: Floats
    """By second and car."""
    offered_kw: Floats


class _Cars:
    """What the loop holds of each session, in arrays."""

    def __init__(self, site: Site) -> None:
        sessions = site.sessions
        self.batteries = Batteries.of(sessions)
        self.arrives_s = np.array([each.arrives_s for each in sessions], dtype=np.int64)
        self.leaves_s = np.array([each.leaves_s for each in sessions], dtype=np.int64)
        self.kw_per_a = np.array([each.kw_per_a for each in sessions])
        self.max_a = self.batteries.max_kw / self.kw_per_a
        self.offered_a = np.zeros(len(sessions))
        self.drawn_kw = np.zeros(len(sessions))
        self.minimum_a = site.minimum_a

    def present(self, now_s: int) -> Present:
        index = np.flatnonzero((self.arrives_s <= now_s) & (now_s < self.leaves_s))
        return Present(
            index,
            self.arrives_s[index],
            self.leaves_s[index],
            self.batteries.missing_kwh[index],
            self.max_a[index],
            self.minimum_a,
            self.kw_per_a[index],
            self.offered_a[index],
            self.drawn_kw[index],
        )


def replay(site: Site, policy: Policy, every_s: int = 300, watch: range = range(0)) -> Run:
    """Return what happens under a policy; in the seconds of `watch` it is kept car by car."""
    cars = _Cars(site)
    run = Run(site, np.zeros(site.seconds), np.zeros(len(site.sessions)))
    moments = {0, site.seconds, *range(0, site.seconds, every_s), *cars.arrives_s.tolist(), *cars.leaves_s.tolist()}
    for now_s, until_s in pairwise(sorted(moments)):
        present = cars.present(now_s)
        if not len(present.index):
            continue
        limits_a = policy.limits_a(now_s, present)
        run.messages += int(np.count_nonzero(limits_a != present.offered_a))
        offered_kw = np.where(limits_a >= site.minimum_a, limits_a, 0.0) * present.kw_per_a
        power_kw = cars.batteries.part(present.index).powers(offered_kw, until_s - now_s)
        drawn_kwh = power_kw.sum(axis=0) * SECOND_H
        cars.batteries.charge(present.index, drawn_kwh)
        cars.offered_a[present.index], cars.drawn_kw[present.index] = limits_a, power_kw[-1]
        run.delivered_kwh[present.index] += drawn_kwh
        run.power_kw[now_s:until_s] = power_kw.sum(axis=1)
        over = offered_kw.sum() > site.limit_kw + TOLERANCE or bool(np.any(limits_a > present.max_a + TOLERANCE))
        drawn_over = np.count_nonzero(run.power_kw[now_s:until_s] > site.limit_kw + TOLERANCE)
        run.violations_s += until_s - now_s if over else int(drawn_over)
        if now_s in watch:
            run.traces.append(Trace(now_s, present.index, power_kw, offered_kw))
    return run
