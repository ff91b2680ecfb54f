"""What a fault costs the stations that are not to blame: a host's death, a storm of reconnecting stations."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.processes import Platform, load, platform
from benchmarks.rows import Rows, row
from benchmarks.witnesses import Witnesses
from simulator.histogram import Histogram


def measure_kill(folder: Path) -> Rows:
    """Kill a host under 1,000 events/s."""
    with platform(folder) as running:
        return asyncio.run(_kill(running))


async def _kill(running: Platform) -> Rows:
    witnesses = Witnesses(running, 1000, 1.0, "KILL")
    await witnesses.begin()
    await asyncio.sleep(5)
    plan = witnesses.load.plan
    victim = random.choice(sorted(await asyncio.to_thread(running.pids, "hosts")))
    plan.latencies = Histogram()
    os.kill(victim, signal.SIGKILL)
    await witnesses.all_go_on(within_s=60)
    recovery_s = plan.latencies.max_s  # who waited longest was asked by a station just before the kill
    await asyncio.sleep(5)
    closed, audit = witnesses.disconnects, await witnesses.end()
    return {
        "kill_lost": row(audit.lost, "count", "0"),
        "kill_doubled": row(audit.doubled, "count", "0"),
        "kill_closed": row(closed, "count", "0"),
        "kill_recovery_s": row(recovery_s, "s", "<=3"),
    }


def measure_storm(folder: Path) -> Rows:
    """Cut 5,000 stations at once, while 200 others go on; those cut come back within a tenth of a second."""
    with platform(folder) as running:
        return asyncio.run(_storm(running))


async def _storm(running: Platform) -> Rows:
    crowd = Witnesses(running, 5000, 60.0, "STORM", reconnect_s=(0.0, 0.1))
    await crowd.load.connect()
    calm = await asyncio.to_thread(_others, running, lambda: None)
    # The others live in a process of their own, which the storm of this one does not slow down.
    begun = threading.Event()
    others = asyncio.create_task(asyncio.to_thread(_others, running, begun.set))
    await asyncio.to_thread(begun.wait)
    began = time.monotonic()
    crowd.drop_all()
    await crowd.all_connected(within_s=120)
    storm_s = time.monotonic() - began
    during = await others
    await crowd.load.stop()
    return {
        "storm_s": row(storm_s, "s"),
        "storm_p99_ratio": row(during["latency_p99_s"] / calm["latency_p99_s"], "x", "<=4"),
        "storm_p99_calm_ms": row(calm["latency_p99_s"] * 1000, "ms"),
        "storm_p99_ms": row(during["latency_p99_s"] * 1000, "ms"),
    }


def _others(running: Platform, meanwhile: Callable[[], None]) -> dict[str, Any]:
    """Let 200 stations report each second for 15 s, and return what they saw."""
    return load(running.stations, 200, 15, meanwhile, ["--sample-s", "1", "--id-pattern", "CALM-%05d"])
