"""A process that lets planners on a Ray cluster agree, as Ray keeps the token that a process read first.

Run as `python -m tests.ray.planners_process ADDRESS`; prints what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import numpy as np
import ray

from actors.errors import Unavailable
from cluster.fleet.planners import RayShards
from optimizer.car import Car, Wish
from optimizer.cluster import Agreement, Feeder, Shards, coordinate
from optimizer.grid import Grid
from optimizer.prices import Prices
from optimizer.site import Site
from optimizer.site_plan import plan_site

GRID = Grid(datetime(2026, 1, 15, 12, tzinfo=UTC), (3600,) * 8)


def parts() -> list[list[Site]]:
    """Return the sites of two planners."""
    random = np.random.default_rng(5)
    sites = [
        Site(
            grid=GRID,
            prices=Prices(per_kwh=tuple(random.choice([0.1, 0.15, 0.2, 0.3], GRID.slots).tolist())),
            cars=tuple(Car(maximum_kw=11.0, wish=Wish(energy_kwh=float(random.integers(5, 25)))) for _ in range(3)),
            grid_limit_kw=(25.0,) * GRID.slots,
        )
        for _ in range(6)
    ]
    return [sites[:4], sites[4:]]


def agree(shards: Shards) -> Agreement:
    """Return what comes of some rounds under a limit that is felt."""
    wanted = sum(car.wanted_kwh() for part in parts() for site in part for car in site.cars)
    feeder = Feeder(grid=GRID, limit_kw=(wanted / 6,) * GRID.slots, most_per_kwh=2.0)
    return coordinate(feeder, shards, rounds=12)


def main(address: str) -> None:
    """Agree on the cluster, then ask planners that are gone."""
    ray.init(address=address, namespace="planners", log_to_driver=False)
    planners = RayShards(parts(), plan_site)
    found = agree(planners)
    report: dict[str, object] = {
        "figures": [found.cost, found.bound, found.missing_kwh],
        "plans": [len(part) for part in planners.plans()],
        "cost_of_plans": sum(plan.cost for part in planners.plans() for plan in part),
    }
    planners.close()
    try:
        planners.ask(np.zeros(GRID.slots), 1.0)
    except Unavailable as lost:
        report["lost"] = str(lost)
    ray.shutdown()
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
