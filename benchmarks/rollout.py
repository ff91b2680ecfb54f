"""How long the rollout of a whole fleet takes to plan: 900,000 stations in 3,000 cells over one week of hours."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.rows import Rows, row
from optimizer.rollout.check import violations
from optimizer.rollout.linear import solve
from optimizer.rollout.placing import greedy, rounded
from optimizer.rollout.plan import Plan
from optimizer.rollout.request import Area, Cell, Limits, Rollout, Traits, Weights, offline_allowance
from optimizer.rollout.risk import failure_bound
from optimizer.rollout.terms import Terms

STATIONS = 900_000
CELLS = 3_000
WEEK_H = 168
_HOMES = 0.8
_REGIONS = 30
_FAMILIES = 12
_IMAGE_MB = 60.0


def fleet(stations: int = STATIONS, cells: int = CELLS, seed: int = 7) -> Rollout:
    """Return a fleet: most cells are homes of a street, the others stations of a site that must not all be away.

    A station is busiest in the evening (homes) or by day (sites); every region has a feeder and promises that no more
    than 2 % of its stations are offline at once. Sites close their WAN to nothing but 20 images an hour.
    """
    random = np.random.default_rng(seed)
    sizes = random.lognormal(0.0, 0.8, cells)
    homes = random.random(cells) < _HOMES
    sizes = np.where(homes, sizes, sizes / 8)
    counts = np.maximum(2, np.rint(sizes / sizes.sum() * stations)).astype(int)
    counts[0] += stations - counts.sum()
    regions = random.integers(0, _REGIONS, cells)
    areas: dict[str, Area] = {}
    members = []
    for number in range(cells):
        region = f"region {regions[number]}"
        shared: tuple[str, ...] = (region,)
        if not homes[number]:
            shared = (region, f"site {number}")
            areas[f"site {number}"] = Area(offline_allowance(int(counts[number]), 0.2), wan_mb=20 * _IMAGE_MB)
        family = f"family {random.integers(0, _FAMILIES)}"
        traits = Traits(
            stratum=family,
            areas=shared,
            usage=f"{'home' if homes[number] else 'site'} {random.integers(0, 40)}",
            image_mb=_IMAGE_MB,
            severity=float(random.choice([0.001, 0.003])),
            restart_kw=2.0,
        )
        members.append(Cell(f"cell {number}", traits, int(counts[number])))
    for place in range(_REGIONS):
        inside = int(counts[regions == place].sum())
        areas[f"region {place}"] = Area(max_offline=int(0.02 * inside), restart_kw=0.03 * inside)
    bound = failure_bound(0, 30_000)
    days = np.arange(WEEK_H) // 24
    return Rollout(
        slots=WEEK_H,
        cells=tuple(members),
        areas=areas,
        busy={f"{kind} {n}": _busy(random, kind) for kind in ("home", "site") for n in range(40)},
        failure_bound={f"family {n}": bound for n in range(_FAMILIES)},
        limits=Limits(
            cdn_mb=0.02 * stations * _IMAGE_MB,
            installs=0.012 * stations,
            returns=0.012 * stations,
            risk=tuple((bound * stations * np.minimum(1.0, 0.02 * 2.2 ** (days + 1))).tolist()),
        ),
        weights=Weights(wan_mb=0.0001),
    )


def _busy(random: np.random.Generator, kind: str) -> tuple[float, ...]:
    hour = np.arange(WEEK_H) % 24
    peak = random.normal(20.0 if kind == "home" else 13.0, 1.5)
    distance = np.minimum(np.abs(hour - peak), 24 - np.abs(hour - peak))
    busy = 0.05 + 0.5 * np.exp(-((distance / 3.0) ** 2)) + random.uniform(0, 0.02, WEEK_H)
    return tuple(busy.tolist())


def measure(_: Path) -> Rows:
    """Measure the parts of one plan, each by itself."""
    rollout = fleet()
    seconds = {}

    def took(what: str, since: float) -> None:
        seconds[what] = time.perf_counter() - since

    began = time.perf_counter()
    terms = Terms(rollout)
    took("terms", began)
    since = time.perf_counter()
    solution = solve(terms)
    took("lp", since)
    if solution is None or not solution.proven:
        raise RuntimeError("the linear program of the fleet was not solved")
    since = time.perf_counter()
    plan = rounded(terms, solution, "lp, rounded")
    took("rounding", since)
    since = time.perf_counter()
    assert isinstance(plan, Plan)
    broken = violations(rollout, plan)
    took("check", since)
    took("all", began)
    since = time.perf_counter()
    quick = greedy(terms)
    took("greedy", since)
    assert isinstance(quick, Plan)
    print(f"{len(plan.installs)} batches, {plan.stations_left} left over, gap {plan.gap}, {broken[:3]}")
    return {
        "rollout_s": row(seconds["all"], "s", "aim for <= 40"),
        "rollout_lp_s": row(seconds["lp"], "s"),
        "rollout_rounding_s": row(seconds["rounding"], "s"),
        "rollout_check_s": row(seconds["check"], "s"),
        "rollout_gap_pct": row(100 * (plan.gap or 0.0), "%"),
        "rollout_left_over": row(plan.stations_left, ""),
        "rollout_violations": row(len(broken) + len(violations(rollout, quick)), "", "0"),
        "rollout_greedy_s": row(seconds["greedy"], "s"),
        "rollout_greedy_cost_ratio": row(quick.cost / plan.cost, "x"),
    }
