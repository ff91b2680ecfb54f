"""Starts what is measured as processes of its own, and reads what they cost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from cluster.screens import as_wanted

_READY_WITHIN_S = 180.0
_PLACEMENTS = "/admin/v1/placements/station"


@dataclass(frozen=True)
class Platform:
    """A running platform: where it is, and its data folder."""

    stations: str
    api: str
    data_dir: Path
    pid: int
    ready_s: float
    """From the start of the process to the ready line."""

    def client(self) -> httpx.Client:
        """Return an admin's client of the API."""
        token = cloudbay("token", "--data-dir", str(self.data_dir)).strip()
        return httpx.Client(base_url=self.api, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def status(self) -> dict[str, Any]:
        with self.client() as client:
            answer: dict[str, Any] = client.get("/admin/v1/status").raise_for_status().json()
        return answer

    def pids(self, kind: str) -> set[int]:
        """Return the processes of the `hosts` or the `gateways` that answer."""
        return {int(member["pid"]) for member in self.status()[kind].values()}

    def whole(self) -> bool:
        """Tell whether as many hosts and gateways as wanted are there, and every partition is held."""
        with self.client() as client:
            answer = client.get("/readyz")
            hosts = client.get("/admin/v1/hosts")
        if answer.status_code != 200 or hosts.status_code != 200:
            return False
        return as_wanted(hosts.json())

    def scale(self, hosts: int) -> None:
        """Run so many hosts, and wait until they hold everything."""
        cloudbay("hosts", "scale", str(hosts), "--data-dir", str(self.data_dir))

    def restart(self) -> None:
        """Start all processes anew, and wait until that is done."""
        cloudbay("restart", "--data-dir", str(self.data_dir))

    def dedicated(self) -> set[str]:
        """Return the stations that are held by a host of their own."""
        with self.client() as client:
            hosts = client.get("/admin/v1/hosts").raise_for_status().json()["hosts"]
        return {host["stationId"] for host in hosts if host["stationId"] is not None and host["partitions"]}

    def place(self, station_ids: Iterable[str], *, dedicated: bool) -> None:
        """Ask for hosts of their own for these stations, or take that back; it happens within seconds."""
        with self.client() as client:
            for station_id in station_ids:
                client.request("PUT" if dedicated else "DELETE", f"{_PLACEMENTS}/{station_id}").raise_for_status()

    def work(self) -> Work:
        """Return what has been done so far, and what it has cost."""
        status = self.status()
        gateways, hosts = status["gateways"].values(), status["hosts"].values()
        return Work(
            sum(host["framesOut"] for host in hosts),
            {
                "gateway": sum(_cpu_s(int(gateway["pid"])) for gateway in gateways),
                "host": sum(_cpu_s(int(host["pid"])) for host in hosts),
                "database": _postgres_cpu_s(self.data_dir),
            },
        )


@dataclass(frozen=True)
class Work:
    """Messages answered, and CPU seconds by stage: gateways, hosts, PostgreSQL with all its processes."""

    answered: int
    cpu_s: dict[str, float]

    def us_per_message(self, before: Work) -> dict[str, float]:
        """Return the CPU time of a message since `before`, by stage."""
        answered = self.answered - before.answered
        return {stage: (cpu_s - before.cpu_s[stage]) / answered * 1e6 for stage, cpu_s in self.cpu_s.items()}


@contextmanager
def platform(data_dir: Path, **settings: object) -> Iterator[Platform]:
    """Run `cloudbay up` on free ports; `settings` are more keys, as `gateway__count=6`."""
    gateway, api = (settings.pop(key, None) or free_port() for key in ("gateway__port", "api__port"))
    environment = {
        **os.environ,
        "CLOUDBAY_GATEWAY__PORT": str(gateway),
        "CLOUDBAY_API__PORT": str(api),
        "CLOUDBAY_LOG__LEVEL": "warning",
        **{f"CLOUDBAY_{key.upper()}": str(value) for key, value in settings.items()},
    }
    began = time.monotonic()
    command = [sys.executable, "-m", "cluster", "up", "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        _wait_for_ready_line(process)
        ready_s = time.monotonic() - began
        yield Platform(f"ws://127.0.0.1:{gateway}/ocpp", f"http://127.0.0.1:{api}", data_dir, process.pid, ready_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def reference() -> Iterator[tuple[str, int]]:
    """Run the reference CSMS; yields its address and process id."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.reference", str(port)])
    try:
        _wait_for_port(port)
        yield f"ws://127.0.0.1:{port}/ocpp", process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def load(
    to: str, stations: int, seconds: float, meanwhile: Callable[[], None] = lambda: None, more: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the lean simulator, in closed loop unless `more` says otherwise, and return its figures.

    `meanwhile` runs once all stations are ready.
    """
    command = [sys.executable, "-m", "simulator.lean", "--to", to, "--stations", str(stations), *more]
    command += ["--seconds", str(seconds), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if "measuring" in line:
                meanwhile()
                break
        result: dict[str, Any] = json.loads(process.stdout.read())
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cloudbay(*arguments: str) -> str:
    """Run the command and return what it prints."""
    return _output([sys.executable, "-m", "cluster", *arguments])


def _output(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _wait_for_ready_line(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    assert process.stdout is not None
    for line in process.stdout:
        print("   ", line.rstrip(), file=sys.stderr)
        if line.startswith("ready"):
            return
        if time.monotonic() > deadline:
            break
    raise RuntimeError("the platform did not get ready")


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _postgres_cpu_s(data_dir: Path) -> float:
    (pid_file,) = (data_dir / "postgres").rglob("postmaster.pid")
    postmaster = int(pid_file.read_text().split()[0])
    parent = psutil.Process(postmaster)
    return sum(_cpu_s(p.pid) for p in [parent, *parent.children(recursive=True)])
