"""What could have been done by somebody who knew everything beforehand: a linear program over a whole replay.

It shares no code with the planner that is measured against it. Every true run, averaged over slots, satisfies its
constraints, so its optimum is a bound: no policy delivers the same at less cost, or at a lower peak.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import highspy
import numpy as np

from benchmarks.replay.loop import QUARTER_S, Site
from benchmarks.replay.prices import Prices
from benchmarks.replay.sessions import SECOND_H, Floats, Ints, Session

SLACK_KWH = 1e-6
"""So that what is asked for is not lost in a solver's tolerance."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """An optimal plan: the energy of each session in each slot in which it is there."""

    session: Ints
    slot: Ints
    energy_kwh: Floats
    slot_s: int
    bound: float
    """The least cost, the lowest peak or the most energy: what was asked for."""
    peak_kw: float = 0.0
    """Of the site, over slots; only where it was asked for."""

    def site_kw(self, slots: int) -> Floats:
        """Return the power of the site in each slot."""
        power: Floats = np.bincount(self.slot, self.energy_kwh, slots) / (self.slot_s * SECOND_H)
        return power

    def delivered_kwh(self, sessions: int) -> Floats:
        """Return what each session gets."""
        delivered: Floats = np.bincount(self.session, self.energy_kwh, sessions).astype(np.float64)
        return delivered


@dataclass(slots=True)
class _Rows:
    """A sparse matrix while it grows: blocks of rows that are alike."""

    count: int = 0
    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    entries: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)

    def add(self, lower: Floats, upper: Floats, *terms: tuple[Ints, Ints, Floats]) -> None:
        """Add rows; each term is the rows (from 0 in this block), the columns and the coefficients."""
        self.entries += [(row + self.count, column, factor) for row, column, factor in terms]
        self.lower.append(lower)
        self.upper.append(upper)
        self.count += len(lower)


class Foresight:
    """The program of one site: `y` is what a session takes in a slot, `e` what it has in the end of it."""

    def __init__(self, site: Site, slot_s: int = QUARTER_S) -> None:
        self._site = site
        self._slot_s = slot_s
        self._slots = site.seconds // slot_s
        spans = [_slots_of(each, slot_s) for each in site.sessions]
        self._session = np.repeat(np.arange(len(spans)), [len(slots) for slots in spans])
        self._slot = np.concatenate(spans)
        sessions = site.sessions
        arrives = np.array([each.arrives_s for each in sessions])[self._session]
        leaves = np.array([each.leaves_s for each in sessions])[self._session]
        begins = self._slot * slot_s
        self._hours = (np.minimum(leaves, begins + slot_s) - np.maximum(arrives, begins)) * SECOND_H
        self._most_kwh = np.array([each.max_kw for each in sessions])[self._session] * self._hours

    def cheapest(self, prices: Prices, delivered_kwh: Floats, *, by_peak: bool = False) -> Optimum:
        """Return the cheapest way to deliver to each session what it got, by energy or by energy and peak."""
        cost = prices.per_kwh[self._slot * self._slot_s // QUARTER_S]
        at_least_kwh = np.maximum(delivered_kwh - SLACK_KWH, 0.0)
        return self._solve(cost, at_least_kwh, peak_cost=prices.peak_per_kw if by_peak else 0.0)

    def most_energy(self) -> Optimum:
        """Return how the most energy is delivered; its bound is that energy."""
        best = self._solve(np.full(len(self._slot), -1.0), at_least_kwh=np.zeros(len(self._site.sessions)))
        return replace(best, bound=-best.bound)

    def lowest_peak(self) -> Optimum:
        """Return how all get what they can get at the lowest peak of the site; its bound is that peak, in kW."""
        deliverable = np.array([each.deliverable_kwh() for each in self._site.sessions])
        cost = np.zeros(len(self._slot))
        return self._solve(cost, at_least_kwh=np.maximum(deliverable - SLACK_KWH, 0.0), peak_cost=1.0)

    def _solve(self, cost: Floats, at_least_kwh: Floats, peak_cost: float = 0.0) -> Optimum:
        """Columns are y of each session and slot, e of each session and slot where the battery tapers, and the peak."""
        sessions = self._site.sessions
        wanted = np.array([each.wanted_kwh for each in sessions])
        taken = len(self._slot)
        tapered = np.flatnonzero(np.array([each.taper_from < 1 for each in sessions])[self._session])
        peak = taken + len(tapered)
        rows = _Rows()
        y = np.arange(taken)
        rows.add(at_least_kwh, wanted, (self._session, y, np.ones(taken)))
        self._add_limit(rows, y, peak, by_peak=peak_cost > 0)
        self._add_tapers(rows, tapered, taken)
        solution = _highs(
            np.concatenate([cost, np.zeros(len(tapered)), [peak_cost]]),
            np.concatenate([self._most_kwh, wanted[self._session[tapered]], [np.inf]]),
            rows,
        )
        energy = np.clip(solution[:taken], 0.0, None)
        peak_kw = float(solution[peak])
        bound = float(cost @ energy) + peak_cost * peak_kw
        return Optimum(self._session, self._slot, energy, self._slot_s, bound, peak_kw)

    def _add_limit(self, rows: _Rows, y: Ints, peak: int, *, by_peak: bool) -> None:
        """What all take in a slot is under the site's limit, and under the peak."""
        hours = self._slot_s * SECOND_H
        nothing = np.full(self._slots, -np.inf)
        each_slot = np.arange(self._slots)
        if np.isfinite(self._site.limit_kw):
            limit = np.full(self._slots, self._site.limit_kw * hours)
            rows.add(nothing, limit, (self._slot, y, np.ones(len(y))))
        if by_peak:
            under = (each_slot, np.full(self._slots, peak), np.full(self._slots, -hours))
            rows.add(nothing, np.zeros(self._slots), (self._slot, y, np.ones(len(y))), under)

    def _add_tapers(self, rows: _Rows, tapered: Ints, first: int) -> None:
        """e grows by y; y is at most what a battery takes in the slot that has e at its start.

        A battery in its second stage takes the share 1 - q^n of what is missing to its capacity in n seconds, and
        never more than that share before it.
        """
        if not len(tapered):
            return
        whose = [self._site.sessions[session] for session in self._session[tapered]]
        room = np.array([each.capacity_kwh * (1 - each.soc) for each in whose])
        stage = np.array([each.capacity_kwh * (1 - each.taper_from) / each.max_kw for each in whose])
        share = 1 - (1 - SECOND_H / stage) ** np.round(self._hours[tapered] / SECOND_H)
        each = np.arange(len(tapered))
        later = np.flatnonzero(np.diff(self._session[tapered], prepend=-1) == 0)
        one = np.ones(len(tapered))
        nothing = np.zeros(len(tapered))
        before = (later, first + later - 1, -one[later])
        rows.add(nothing, nothing, (each, first + each, one), (each, tapered, -one), before)
        held = (later, first + later - 1, share[later])
        rows.add(np.full(len(tapered), -np.inf), share * room, (each, tapered, one), held)


def _slots_of(session: Session, slot_s: int) -> Ints:
    return np.arange(session.arrives_s // slot_s, -(-session.leaves_s // slot_s))


def _highs(cost: Floats, most: Floats, rows: _Rows) -> Floats:
    """Return the columns of the proven optimum; all are zero or more."""
    row, column, factor = (np.concatenate(parts) for parts in zip(*rows.entries, strict=True))
    order = np.argsort(row, kind="stable")
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(cost), rows.count
    program.col_cost_, program.col_lower_, program.col_upper_ = cost, np.zeros(len(cost)), most
    program.row_lower_, program.row_upper_ = np.concatenate(rows.lower), np.concatenate(rows.upper)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows.count))])
    program.a_matrix_.index_, program.a_matrix_.value_ = column[order], factor[order]
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    solver.setOptionValue("solver", "ipm")
    solver.setOptionValue("threads", 1)
    solver.passModel(program)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"no optimum: {solver.modelStatusToString(solver.getModelStatus())}")
    return np.array(solver.getSolution().col_value)
