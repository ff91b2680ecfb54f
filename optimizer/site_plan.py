"""The plan for a site: who gets how much, then the least cost of it, then early; then the minimum current.

In the order of trust: the linear program with its repair, a greedy plan, a static share. Every one of them is checked
against every limit before it is given out, and what was not taken is told in the plan's notes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from optimizer.account import Schedule, expected_cost, site_plan
from optimizer.check import violations
from optimizer.errors import SolverFailed
from optimizer.fairness import SLACK, fair_kwh
from optimizer.grid import Floats
from optimizer.limits import other_kw
from optimizer.minimum import WIDTHS, below_minimum, complete, restricted, rounded, weigh
from optimizer.plan import Method, SitePlan
from optimizer.site import Site
from optimizer.site_columns import SiteColumns, columns_of
from optimizer.site_greedy import least_laxity, static_share
from optimizer.solver import INFINITE, Infeasible, Program

GAP: Final = 1e-4
_NEAR_MONEY: Final = 1e-5
_MOST_BINARIES: Final = 1500
"""The largest integer program that is tried when the restricted one leaves a gap."""


def plan_site(site: Site, gap: float = GAP, time_limit_s: float = 10.0) -> SitePlan:
    """Return a plan that keeps every limit; `proven` when no fair one costs less, but for the relative gap.

    Raises InvalidProblem for a site that contradicts itself.
    """
    columns = columns_of(site)
    notes: list[str] = []
    ways: tuple[tuple[Method, Callable[[], Schedule]], ...] = (
        ("least laxity", lambda: least_laxity(columns)),
        ("static share", lambda: static_share(columns)),
    )
    try:
        plan = _by_program(columns, gap, time_limit_s, notes)
        if not (broken := violations(site, plan.power_kw, plan.metered_kwh)):
            return plan
        notes.append(f"{plan.method}: breaks {broken[0].what} by {broken[0].excess:g}")
    except SolverFailed as failure:
        notes.append(f"lp: {failure}")
    for method, way in ways:
        plan = site_plan(columns, way(), method, -INFINITE, proven=False, notes=notes)
        if not (broken := violations(site, plan.power_kw, plan.metered_kwh)):
            return plan
        notes.append(f"{method}: breaks {broken[0].what} by {broken[0].excess:g}")
    return site_plan(columns, _nothing(columns), "static share", -INFINITE, proven=False, notes=notes)


def least_cost(columns: SiteColumns, least_kwh: Floats, most_kwh: Floats, time_limit_s: float) -> tuple[Floats, float]:
    """Return the powers at the least cost of these energies, the earliest such, and their cost.

    Raises Infeasible when the energies cannot all be had.
    """
    lower, upper = columns.bounds()
    blocks = [
        columns.energy_rows(least_kwh, most_kwh),
        columns.shared_rows(),
        columns.grid_rows(),
        columns.money_rows(),
    ]
    program = Program(lower, upper, blocks, time_limit_s)
    cost = columns.cost()
    least = float(cost @ program.minimise(cost))
    priced = np.flatnonzero(cost)
    program.add_row(priced, cost[priced], -INFINITE, least + SLACK * max(1.0, abs(least)))
    return columns.powers_of(program.minimise(columns.earliness())), least


def _by_program(columns: SiteColumns, gap: float, time_limit_s: float, notes: list[str]) -> SitePlan:
    standing = expected_cost(columns, _nothing(columns).kwh) - _standing_peak_cost(columns)
    if not columns.powers:
        return site_plan(columns, _nothing(columns), "lp", -INFINITE, proven=True)
    most_kwh = columns.most_kwh()
    try:
        target_kwh = most_kwh * (1 - SLACK)
        mean_kw, least = least_cost(columns, target_kwh, most_kwh, time_limit_s)
    except Infeasible:
        target_kwh, spent_s = fair_kwh(columns, most_kwh, time_limit_s)
        mean_kw, least = least_cost(columns, target_kwh, most_kwh, max(0.0, time_limit_s - spent_s))
    bound = least + standing
    if not len(below_minimum(columns, mean_kw)):
        schedule = Schedule(mean_kw, mean_kw * columns.hours_of_cars)
        return site_plan(columns, schedule, "lp", bound, proven=True, notes=notes)
    return _with_minimum(columns, mean_kw, target_kwh, least, standing, gap, time_limit_s, notes)


def _with_minimum(
    columns: SiteColumns, mean_kw: Floats, target_kwh: Floats, least: float, standing: float, gap: float,
    time_limit_s: float, notes: list[str],
) -> SitePlan:  # fmt: skip
    """Return the best of the rounded plan, the restricted program and, if it is small, the complete one.

    A plan with as much missing pays the same penalty, so less that penalty the bound is one of its cost.
    """
    best = rounded(columns, mean_kw, target_kwh)
    bound, near = least + standing, max(gap * abs(least), _NEAR_MONEY)
    try:
        for width in WIDTHS:
            if weigh(columns, best, target_kwh) > bound + near:
                found = restricted(columns, mean_kw, target_kwh, width, near / 4, time_limit_s / 3)
                best = min(best, found, key=lambda schedule: weigh(columns, schedule, target_kwh))
        if weigh(columns, best, target_kwh) > bound + near and np.count_nonzero(columns.minimum_kw) <= _MOST_BINARIES:
            found, least = complete(columns, target_kwh, near / 4, time_limit_s / 3)
            bound = max(bound, least + standing)
            best = min(best, found, key=lambda schedule: weigh(columns, schedule, target_kwh))
    except SolverFailed as failure:
        notes.append(f"milp: {failure}; the best plan known by then is taken")
    weight = weigh(columns, best, target_kwh)
    penalty = weight - expected_cost(columns, best.kwh)
    return site_plan(columns, best, "milp", bound - penalty, proven=weight <= bound + near, notes=notes)


def _nothing(columns: SiteColumns) -> Schedule:
    shape = (len(columns.offers), columns.site.grid.slots)
    return Schedule(np.zeros(shape), np.zeros(shape))


def _standing_peak_cost(columns: SiteColumns) -> float:
    """Return what the least peak costs, which the costs of the columns count and those of the site count otherwise."""
    prices = columns.site.prices
    peak_kw = max(float(np.max(other_kw(columns.site), initial=0.0)), prices.peak_so_far_kw)
    return prices.peak_per_kw * peak_kw
