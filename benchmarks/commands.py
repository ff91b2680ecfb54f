"""How long a command takes: API, host, gateway, station and back, on an idle platform."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import platform
from benchmarks.rows import Rows, percentile, row

COMMANDS = 300


def measure(folder: Path) -> Rows:
    """Give commands one after the other to a station that answers at once (it refuses them; the way is the same)."""
    with platform(folder) as running, running.client() as client:
        station = [sys.executable, "-m", "simulator.lean", "--to", running.stations, "--stations", "1"]
        with subprocess.Popen(
            [*station, "--seconds", "600", "--heartbeat-s", "60", "--charging-share", "0"]
        ) as process:
            while not client.get("/admin/v1/stations", params={"connected": "true"}).json()["_embedded"]["cb:station"]:
                time.sleep(0.2)
            waits = []
            for number in range(COMMANDS + 20):
                began = time.perf_counter()
                answer = client.post(
                    "/admin/v1/stations/LEAN-00000/commands",
                    json={"action": "ClearChargingProfile", "payload": {"chargingProfileId": number}},
                    headers={"Prefer": "wait=10"},
                )
                waits.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
            process.terminate()
    waits = waits[20:]  # the first ones find caches cold
    return {
        "command_p50_ms": row(percentile(waits, 0.5) * 1000, "ms", "<=15"),
        "command_p99_ms": row(percentile(waits, 0.99) * 1000, "ms", "<=60"),
    }
