"""`make bench`: measures, prints ratios, and writes benchmarks/results.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import load, platform, reference

RESULTS = Path(__file__).with_name("results.json")


def measure(stations: int, seconds: float, data_dir: Path) -> dict[str, dict[str, Any]]:
    """Run everything one after the other on an otherwise idle machine."""
    _say("first start, which makes the data folder")
    with platform(data_dir) as first:
        first_s = first.ready_s
    _say("second start, then the load")
    with platform(data_dir) as running:
        load(running.stations, stations, 5)  # warm: connections known, plans cached
        spent: dict[str, float] = {}

        def look() -> None:
            """Compare two moments of the load: connecting and leaving are not what an event costs."""
            time.sleep(seconds * 0.1)
            before = running.work()
            time.sleep(seconds * 0.7)
            spent.update(running.work().us_per_message(before))

        ours = load(running.stations, stations, seconds, look)
    _say("the reference")
    with reference() as (address, _):
        theirs = load(address, stations, seconds)
    return _rows(first_s, running.ready_s, ours, theirs, spent)


def _rows(
    first_s: float, second_s: float, ours: dict[str, Any], theirs: dict[str, Any], us: dict[str, float]
) -> dict[str, dict[str, Any]]:
    return {
        "events_ratio": _row(ours["events_per_s"] / theirs["events_per_s"], "x", ">=6"),
        "events_per_s": _row(ours["events_per_s"], "1/s"),
        "reference_events_per_s": _row(theirs["events_per_s"], "1/s"),
        "errors": _row(ours["errors"] + ours["disconnects"], "count", "0"),
        "latency_p50_ms": _row(ours["latency_p50_s"] * 1000, "ms"),
        "latency_p99_ms": _row(ours["latency_p99_s"] * 1000, "ms"),
        "cpu_us_per_event": _row(us["gateway"] + us["host"], "us", "<=150"),
        "cpu_us_per_event_gateway": _row(us["gateway"], "us"),
        "cpu_us_per_event_host": _row(us["host"], "us"),
        "cpu_us_per_event_database": _row(us["database"], "us"),
        "cpu_us_per_event_load": _row(ours["cpu_us_per_event"], "us"),
        "up_seconds": _row(second_s, "s", "<=40"),
        "up_seconds_first": _row(first_s, "s"),
    }


def _row(value: float, unit: str, goal: str | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {"value": round(value, 2), "unit": unit}
    return row if goal is None else {**row, "goal": goal}


def _say(text: str) -> None:
    print(f"-- {text}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--stations", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cloudbay-bench-") as folder:
        rows = measure(arguments.stations, arguments.seconds, Path(folder))
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    width = max(len(name) for name in rows)
    for name, row in rows.items():
        print(f"{name:<{width}}  {row['value']:>10}  {row['unit']:<6} {row.get('goal', '')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
