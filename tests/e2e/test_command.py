"""The `cloudbay` command, as its user meets it."""

from __future__ import annotations

import os
import signal
from base64 import b64encode
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from benchmarks.processes import cloudbay, platform
from tests.e2e.running import Running


async def test_a_station_that_was_added_connects_with_its_password_only(running: Running) -> None:
    """A00.FR.204-207: Basic authentication with the station's own name."""
    folder = ("--data-dir", str(running.platform.data_dir))
    shown = cloudbay("stations", "add", "CLI-1", *folder)
    (password,) = (line.split()[1] for line in shown.splitlines() if line.startswith("password"))
    url = f"{running.stations}/CLI-1"

    def basic(secret: str) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(f"CLI-1:{secret}".encode()).decode()}

    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, subprotocols=["ocpp2.0.1"], additional_headers=basic("wrong")):  # type: ignore[list-item]
            pass
    assert refused.value.response.status_code == 401
    async with connect(url, subprotocols=["ocpp2.0.1"], additional_headers=basic(password)):  # type: ignore[list-item]
        assert "CLI-1" in cloudbay("stations", "list", "--connected", *folder)
    assert password not in cloudbay("stations", "show", "CLI-1", *folder)
    assert "gateway-" in cloudbay("status", *folder)
    assert "host-" in cloudbay("hosts", "list", *folder)
    assert "2047" in cloudbay("partitions", *folder)


@pytest.mark.timeout(300)
def test_a_killed_platform_starts_again_on_its_data_and_stops_without_a_trace(tmp_path: Path) -> None:
    with platform(tmp_path) as first:
        cloudbay("stations", "add", "KEPT", "--data-dir", str(tmp_path))
        os.kill(first.pid, signal.SIGKILL)
    with platform(tmp_path) as second:
        assert "KEPT" in cloudbay("stations", "list", "--data-dir", str(tmp_path))
        family = psutil.Process(second.pid).children(recursive=True)
        assert family
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
