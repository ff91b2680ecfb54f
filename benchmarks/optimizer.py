"""How long plans take: one charger, a site with minimum currents, a large site beside PuLP and CBC, and a crowd.

Everything is made from a seed: prices with the shape of a day-ahead market, cars that come and go at any time.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pulp

from benchmarks.rows import Rows, percentile, row
from optimizer.car import PHASES, Car, Wish
from optimizer.charger import plan_car
from optimizer.crowd import Crowd, plan_crowd
from optimizer.fairness import SLACK
from optimizer.grid import Grid
from optimizer.prices import Prices
from optimizer.site import Site
from optimizer.site_columns import columns_of
from optimizer.site_formulation import site_model
from optimizer.site_plan import plan_site
from optimizer.solver import Program

GRID = Grid(datetime(2026, 1, 15, 12, tzinfo=UTC), (900,) * 96)
SITES = 10
CROWD = 100_000
TIMES = 200


def measure(_folder: Path) -> Rows:
    """Measure in this process; nothing else is started."""
    return _one() | _site50() | _site500() | _crowd()


def _prices(seed: int) -> Prices:
    rng = np.random.default_rng(seed)
    hours = np.repeat(np.arange(24), 4)
    shape = 0.20 + 0.06 * np.sin((hours - 13) / 24 * 4 * np.pi) + np.repeat(rng.normal(0, 0.03, 24), 4)
    return Prices(per_kwh=tuple(np.round(shape + rng.normal(0, 0.003, 96), 5).tolist()))


def _cars(count: int, seed: int) -> list[Car]:
    rng = random.Random(seed)
    cars = []
    for number in range(count):
        begin = rng.randrange(88)
        end = min(96, begin + rng.randint(8, 96))
        maximum_kw, minimum_kw, phases = rng.choice(
            [(7.36, 1.38, 1), (11.0, 4.14, 3), (11.0, 4.14, 3), (22.0, 4.14, 3)]
        )
        most_kwh = maximum_kw * 0.25 * (end - begin)
        cars.append(
            Car(
                car_id=str(number),
                maximum_kw=maximum_kw,
                minimum_kw=minimum_kw,
                phases=PHASES[:phases],
                arrives=GRID.edges[begin],
                leaves=GRID.edges[end],
                wish=Wish(energy_kwh=min(most_kwh * rng.uniform(0.2, 0.7), rng.uniform(5, 45))),
            )
        )
    return cars


def _site(cars: int, seed: int) -> Site:
    """Return a site whose limit is 35 % of what its cars could take."""
    chosen = _cars(cars, seed)
    limit_kw = 0.35 * sum(car.maximum_kw for car in chosen)
    return Site(grid=GRID, prices=_prices(seed), cars=tuple(chosen), grid_limit_kw=(limit_kw,) * 96)


def _one() -> Rows:
    prices, cars = _prices(1), _cars(TIMES, 1)
    waits = [_took(partial(plan_car, GRID, prices, car)) for car in cars]
    return {
        "plan_one_ms": row(statistics.median(waits) * 1000, "ms", "<=2"),
        "plan_one_p99_ms": row(percentile(waits, 0.99) * 1000, "ms"),
    }


def _site50() -> Rows:
    waits, gaps, unproven = [], [], 0
    for seed in range(SITES):
        site = _site(50, seed)
        began = time.perf_counter()
        plan = plan_site(site)
        waits.append(time.perf_counter() - began)
        gaps.append((plan.cost - plan.bound) / plan.bound)
        unproven += not plan.proven
    return {
        "site50_ms": row(statistics.median(waits) * 1000, "ms", "<=300"),
        "site50_worst_ms": row(max(waits) * 1000, "ms"),
        "site50_worst_gap_ppm": row(max(gaps) * 1e6, "ppm", "<=100"),
        "site50_unproven": row(unproven, "count", "0"),
    }


def _site500() -> Rows:
    """The same linear program of 500 cars, from the site to the solution, three times each way by turns."""
    site = _site(500, 500)
    ours, theirs, costs = [], [], []
    for _ in range(3):
        ours.append(_took(lambda: costs.append(_by_arrays(site))))
        theirs.append(_took(lambda: costs.append(_by_pulp_and_cbc(site))))
    assert max(costs) - min(costs) < 1e-4 * max(costs), costs
    return {
        "site500_ms": row(min(ours) * 1000, "ms"),
        "site500_pulp_cbc_ms": row(min(theirs) * 1000, "ms"),
        "site500_ratio": row(min(theirs) / min(ours), "x", ">=4"),
    }


def _by_arrays(site: Site) -> float:
    columns = columns_of(site)
    most_kwh = columns.most_kwh()
    lower, upper = columns.bounds()
    blocks = [columns.energy_rows(most_kwh * (1 - SLACK), most_kwh), columns.shared_rows(), columns.grid_rows()]
    cost = columns.cost()
    return float(cost @ Program(lower, upper, blocks, 60.0).minimise(cost))


def _by_pulp_and_cbc(site: Site) -> float:
    model = site_model(site)
    for number, (car, delivered) in enumerate(zip(site.cars, model.delivered, strict=True)):
        model.problem.addConstraint(delivered >= car.wanted_kwh() * (1 - SLACK), f"energy_{number}")
    model.problem.setObjective(model.cost)
    model.problem.solve(pulp.PULP_CBC_CMD(msg=False))
    assert model.problem.sol_status == pulp.LpSolutionOptimal
    return float(model.cost.value())


def _crowd() -> Rows:
    rng = np.random.default_rng(7)
    begin = rng.integers(0, 88, CROWD)
    end = np.minimum(96, begin + rng.integers(8, 96, CROWD))
    none = np.full(CROWD, np.inf)
    crowd = Crowd(
        maximum_kw=rng.choice([3.68, 7.36, 11.0, 22.0], CROWD),
        arrives_s=np.array(begin * 900, dtype=np.float64),
        leaves_s=np.array(end * 900, dtype=np.float64),
        wanted_kwh=rng.uniform(2, 60, CROWD),
        budget=np.where(rng.random(CROWD) < 0.1, rng.uniform(1, 8, CROWD), np.inf),
        price_cap=none,
        average_cap=none,
        late=rng.random(CROWD) < 0.2,
    )
    return {"plan_100k_s": row(min(_took(lambda: plan_crowd(GRID, _prices(7), crowd)) for _ in range(3)), "s", "<=1.5")}


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
