"""A platform that runs as a stranger starts it (`benchmarks.processes.platform`), with what tests ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from benchmarks.processes import Platform

T = TypeVar("T")


class Running:
    """A running platform and an admin's HTTP client for it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.stations = platform.stations
        self._http = platform.client()

    def get(self, path: str, **query: str) -> Any:
        response = self._http.get(f"/admin/v1{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def command(self, station_id: str, action: str, payload: dict[str, object], wait_s: int = 20) -> Any:
        body = {"action": action, "payload": payload}
        headers = {"Prefer": f"wait={wait_s}"}
        response = self._http.post(f"/admin/v1/stations/{station_id}/commands", json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def transaction(self, station_id: str, *, ended: bool) -> Any:
        """Wait for the newest transaction of a station to be open or ended."""

        def look() -> Any:
            items = self.get("/transactions", station=station_id)["_embedded"]["cb:transaction"]
            return items[0] if items and (items[0].get("endedAt") is not None) == ended else None

        return eventually(look)

    def pids(self, kind: str) -> set[int]:
        """Return the processes of the `hosts` or the `gateways` that answer."""
        return self.platform.pids(kind)


def eventually(look: Callable[[], T | None], within_s: float = 30.0) -> T:
    """Return what `look` finds, as soon as it finds something; fails after a deadline."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return found
