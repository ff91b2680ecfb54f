"""Many stations on one machine: what an idle one costs, and 100,000 at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import Platform, platform
from benchmarks.rows import Rows, row

IDLE = 10_000
PROCESSES = 6
CROWD = 100_000
CONNECT_PER_S = 700
SETTLE_S = 30
SECONDS = 120


def measure_idle(folder: Path) -> Rows:
    """Memory of gateways and hosts for each connected station that says nothing but heartbeats."""
    with platform(folder) as running:
        before = _memory_kb(running)
        with _lean(running, 0, IDLE, 60, ["--heartbeat-s", "300", "--charging-share", "0"]) as crowd:
            _wait(crowd, "ready")
            time.sleep(10)
            after = _memory_kb(running)
            crowd.terminate()
    return {"idle_kb_per_station": row((after - before) / IDLE, "KB", "<=20")}


def measure_100k(folder: Path) -> Rows:
    """100,000 stations: heartbeats every 300 s, one in ten charging with a sample a minute."""
    quiet = ["--heartbeat-s", "300", "--charging-share", "0.1", "--sample-s", "60", "--together"]
    with platform(folder, gateway__count=PROCESSES) as running:
        share = -(-CROWD // PROCESSES)
        began = time.monotonic()
        crowds = [
            _lean(running, number, min(share, CROWD - number * share), SECONDS, quiet) for number in range(PROCESSES)
        ]
        for crowd in crowds:
            _wait(crowd, "ready")
        connected_s = time.monotonic() - began
        time.sleep(SETTLE_S)
        for crowd in crowds:  # all measure at once: one that connects or leaves would disturb the others
            _tell(crowd)
        for crowd in crowds:
            _wait(crowd, "measured")
        memory = {kind: _memory_kb(running, kind) for kind in ("gateways", "hosts")}
        results: list[dict[str, Any]] = [json.loads(crowd.communicate()[0]) for crowd in crowds]
    return {
        "stations_100k": row(sum(r["connected"] for r in results), "count", ">=99900"),
        "disconnects_100k": row(sum(r["disconnects"] for r in results), "count", "0"),
        "p99_ms_100k": row(max(r["latency_p99_s"] for r in results) * 1000, "ms", "<=250"),
        "p50_ms_100k": row(max(r["latency_p50_s"] for r in results) * 1000, "ms"),
        "events_per_s_100k": row(sum(r["events_per_s"] for r in results), "1/s"),
        "errors_100k": row(sum(r["errors"] for r in results), "count", "0"),
        "connected_in_s_100k": row(connected_s, "s"),
        "kb_per_station_100k": row(sum(memory.values()) / CROWD, "KB"),
    }


def _lean(running: Platform, number: int, stations: int, seconds: float, more: list[str]) -> subprocess.Popen[str]:
    """Start one process of stations that connects from addresses of its own.

    Two, as the kernel searches long for a free port once half of an address's are taken.
    """
    command = [sys.executable, "-m", "simulator.lean", "--to", running.stations, "--stations", str(stations), "--json"]
    command += ["--seconds", str(seconds), "--id-pattern", f"CROWD{number}-%05d"]
    command += ["--source", f"127.0.1.{number + 1}", "--source", f"127.0.2.{number + 1}"]
    command += ["--connect-rate", str(CONNECT_PER_S / PROCESSES), "--connect-timeout-s", "900", *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _wait(crowd: subprocess.Popen[str], word: str) -> None:
    """Wait until the stations say this word."""
    assert crowd.stderr is not None
    said = []
    for line in crowd.stderr:
        said.append(line)
        if word in line:
            return
    raise RuntimeError(f"the stations did not say {word!r}, but: {''.join(said)}")


def _tell(crowd: subprocess.Popen[str]) -> None:
    """Let the stations go on; the end of `communicate` does as well."""
    assert crowd.stdin is not None
    crowd.stdin.write("\n")
    crowd.stdin.flush()


def _memory_kb(running: Platform, kind: str | None = None) -> float:
    """Return the private memory of hosts, gateways, or both."""
    kinds = [kind] if kind else ["gateways", "hosts"]
    pids = [pid for each in kinds for pid in running.pids(each)]
    return sum(psutil.Process(pid).memory_full_info().uss for pid in pids) / 1024
