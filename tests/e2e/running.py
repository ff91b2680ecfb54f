"""A whole platform as a stranger starts it: `cloudbay up` in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

READY_WITHIN_S = 120.0
T = TypeVar("T")


class Running:
    """A running platform and an admin's HTTP client for it."""

    def __init__(self, process: subprocess.Popen[str], data_dir: Path, gateway_port: int, api_port: int) -> None:
        self.process = process
        self.data_dir = data_dir
        self.stations = f"ws://127.0.0.1:{gateway_port}/ocpp"
        token = cloudbay("token", "--data-dir", str(data_dir)).strip()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{api_port}", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def get(self, path: str, **query: str) -> Any:
        response = self.http.get(f"/api/v1{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def command(self, station_id: str, action: str, payload: dict[str, object], wait_s: int = 20) -> Any:
        body = {"action": action, "payload": payload}
        headers = {"Prefer": f"wait={wait_s}"}
        response = self.http.post(f"/api/v1/stations/{station_id}/commands", json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def transaction(self, station_id: str, *, ended: bool) -> Any:
        """Wait for the newest transaction of a station to be open or ended."""

        def look() -> Any:
            items = self.get("/transactions", station=station_id)["items"]
            return items[0] if items and (items[0].get("endedAt") is not None) == ended else None

        return eventually(look)

    def host_pids(self) -> set[int]:
        return {int(host["pid"]) for host in self.get("/status")["hosts"].values()}


def eventually(look: Callable[[], T | None], within_s: float = 30.0) -> T:
    """Return what `look` finds, as soon as it finds something; fails after a deadline."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return found


def cloudbay(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "cluster", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@contextmanager
def platform(data_dir: Path) -> Iterator[Running]:
    gateway_port, api_port = free_ports(2)
    environment = {
        **os.environ,
        "CLOUDBAY_GATEWAY__PORT": str(gateway_port),
        "CLOUDBAY_API__PORT": str(api_port),
    }
    command = [sys.executable, "-m", "cluster", "up", "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        _await_ready(process)
        yield Running(process, data_dir, gateway_port, api_port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _await_ready(process: subprocess.Popen[str]) -> None:
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready"):
            return
    raise AssertionError("the platform did not get ready:\n" + "".join(lines))
