"""Sites planned on a Ray cluster come to the same plans as in one process, and a lost planner is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from optimizer.cluster import InOrder, SiteShard
from optimizer.site_plan import plan_site
from tests.ray.planners_process import agree, parts
from tests.ray.ray_cluster import RayCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]


def test_planners_on_ray_agree_as_those_in_one_process_do_and_lost_ones_are_told() -> None:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # short: sockets lie below it
        cluster = RayCluster(Path(folder))
        try:
            command = [sys.executable, "-m", "tests.ray.planners_process", cluster.address]
            environment = {**os.environ, **cluster.environment}
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
            )
        finally:
            cluster.stop()
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    here = agree(InOrder([SiteShard(part, plan_site) for part in parts()]))
    assert there["figures"] == pytest.approx([here.cost, here.bound, here.missing_kwh])
    assert there["plans"] == [4, 2]
    assert there["cost_of_plans"] == pytest.approx(here.cost)
    assert there["lost"].startswith("a planner of sites does not answer")
