"""Durable events a second against the reference, CPU by stage, and how long a start takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.processes import Platform, load, platform, reference
from benchmarks.rows import Rows, row

STATIONS = 2000
SECONDS = 20.0


def measure(folder: Path) -> Rows:
    """Start twice, load the platform in closed loop, then the reference, in one run."""
    with platform(folder) as first:
        first_s = first.ready_s
    with platform(folder) as running:
        load(running.stations, STATIONS, 5)  # warm: connections known, plans cached
        ours, us = loaded(running)
    with reference() as (address, _):
        theirs = load(address, STATIONS, SECONDS)
    return {
        "events_ratio": row(ours["events_per_s"] / theirs["events_per_s"], "x", ">=8"),
        "events_per_s": row(ours["events_per_s"], "1/s"),
        "reference_events_per_s": row(theirs["events_per_s"], "1/s"),
        "errors": row(ours["errors"] + ours["disconnects"], "count", "0"),
        "latency_p50_ms": row(ours["latency_p50_s"] * 1000, "ms"),
        "latency_p99_ms": row(ours["latency_p99_s"] * 1000, "ms"),
        "cpu_us_per_event": row(us["gateway"] + us["host"], "us", "<=120"),
        "cpu_us_per_event_gateway": row(us["gateway"], "us"),
        "cpu_us_per_event_host": row(us["host"], "us"),
        "cpu_us_per_event_database": row(us["database"], "us"),
        "cpu_us_per_event_load": row(ours["cpu_us_per_event"], "us"),
        "up_seconds": row(running.ready_s, "s", "<=40"),
        "up_seconds_first": row(first_s, "s"),
    }


def loaded(running: Platform) -> tuple[dict[str, Any], dict[str, float]]:
    """Load a platform in closed loop; return the load's figures and the CPU us of an event by stage."""
    spent: dict[str, float] = {}

    def look() -> None:
        """Compare two moments of the load: connecting and leaving are not what an event costs."""
        time.sleep(SECONDS * 0.1)
        before = running.work()
        time.sleep(SECONDS * 0.7)
        spent.update(running.work().us_per_message(before))

    return load(running.stations, STATIONS, SECONDS, look), spent


def measure_scaling(folder: Path) -> Rows:
    """What an event costs with one host, and with two."""
    with platform(folder, hosts__count=1) as running:
        load(running.stations, STATIONS, 5)
        _, one = loaded(running)
        running.scale(2)
        _, two = loaded(running)
    growth = (two["gateway"] + two["host"]) / (one["gateway"] + one["host"])
    return {"scale_cpu_growth": row(growth, "x", "<=1.15")}
