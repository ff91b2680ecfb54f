"""How long a thousand sites take to plan on Ray, with one planner and with two, and to agree on a common feeder.

Run by itself it measures with so many planners and prints seconds: a Ray cluster takes its size when it starts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.processes import free_port
from benchmarks.rows import Rows, row
from cluster import runtime
from cluster.fleet.planners import RayShards
from configs.settings import Settings
from optimizer.car import Car, Wish
from optimizer.cluster import Feeder, coordinate
from optimizer.grid import Grid
from optimizer.prices import Prices
from optimizer.site import Site
from optimizer.site_plan import plan_site

SITES = 1000
CARS = 50
SLOTS = 96
ROUNDS = 12
AGREEING = 40
_GRID = Grid(datetime(2026, 1, 15, 12, tzinfo=UTC), (900,) * SLOTS)


def site(random: np.random.Generator) -> Site:
    """Return a site: cars of 6 A at least come and go, prices differ by the hour, a third of all power is allowed."""
    hours = np.arange(SLOTS) / 4
    prices = 0.2 + 0.08 * np.sin((hours - 3) * np.pi / 6) + random.normal(0, 0.01, SLOTS)
    cars = []
    for number in range(CARS):
        arrives, stays = int(random.integers(0, 64)), int(random.integers(8, 56))
        leaves = min(SLOTS, arrives + stays)
        cars.append(
            Car(
                car_id=str(number),
                maximum_kw=11.0,
                minimum_kw=4.14,
                wish=Wish(energy_kwh=float(random.uniform(4.0, 2.0 * (leaves - arrives) / 4))),
                arrives=_GRID.edges[arrives],
                leaves=_GRID.edges[leaves],
            )
        )
    return Site(
        grid=_GRID,
        prices=Prices(per_kwh=tuple(prices.tolist())),
        cars=tuple(cars),
        grid_limit_kw=(0.35 * 11.0 * CARS,) * SLOTS,
    )


def run(folder: str, planners: int, sites: int, agreeing: int) -> dict[str, float]:
    """Measure on a cluster of so many CPUs, on loopback."""
    random = np.random.default_rng(3)
    every = [site(random) for _ in range(max(sites, agreeing))]
    keys = {"data_dir": folder, "api.port": free_port(), "api.haproxy": False, "ray.num_cpus": planners}
    running = runtime.start(Settings.load("embedded", env={}, overrides=keys))
    shards = RayShards([every[number::planners] for number in range(planners)], plan_site)
    shards.keep()  # answered when all planners run and have their sites
    began = time.perf_counter()
    asked = shards.ask(np.zeros(SLOTS), 1.0)
    took = {"plan_s": time.perf_counter() - began}
    shards.close()
    if agreeing:
        alone = sum(each.load_kw for each in asked) * (agreeing / sites)
        some = every[:agreeing]
        shards = RayShards([some[number::planners] for number in range(planners)], plan_site)
        feeder = Feeder(grid=_GRID, limit_kw=(float(0.8 * np.max(alone)),) * SLOTS, most_per_kwh=1.0)
        began = time.perf_counter()
        found = coordinate(feeder, shards, rounds=ROUNDS)
        took |= {"agree_s": time.perf_counter() - began, "gap": found.gap if found.gap is not None else -1.0}
        took["overload_kw"] = float(np.max(found.load_kw - np.array(feeder.limit_kw)))
        shards.close()
    running.stop()
    return took


def measure(folder: Path) -> Rows:
    """Measure with one and with two planners, each on a cluster of its own."""
    one, two = _measured(folder / "one", 1, 0), _measured(folder / "two", 2, AGREEING)
    return {
        "sites1000_s": row(two["plan_s"], "s"),
        "sites1000_1_worker_s": row(one["plan_s"], "s"),
        "sites1000_scaling": row(one["plan_s"] / two["plan_s"], "x", ">=1.7"),
        "sites_feeder_s": row(two["agree_s"], "s"),
        "sites_feeder_gap_pct": row(100 * two["gap"], "%"),
        "sites_feeder_overload_kw": row(max(0.0, two["overload_kw"]), "kW", "0"),
    }


def _measured(folder: Path, planners: int, agreeing: int) -> dict[str, float]:
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.planners", str(folder), str(planners), str(SITES), str(agreeing)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], *map(int, sys.argv[2:5]))))
