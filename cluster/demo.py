"""The demonstration: the platform, and simulated stations of both versions that plug in, charge and unplug."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cluster.bearer import mint
from cluster.up import platform
from configs.settings import Settings
from simulator.fleet import Fleet, FleetProgress, FleetSettings

_LOOK_EVERY_S = 5.0

# The simulated clock runs fast; it begins in the past, because nobody believes a station whose clock runs ahead.
_BEGINS_BEFORE = timedelta(hours=24)


async def demo(settings: Settings, stations: int, *, once: bool) -> None:
    """Run the platform with `stations` simulated ones, until stopped or (`once`) until each has charged one car."""
    async with platform(settings) as (addresses, keys):
        token = mint(keys.token, ["admin"], settings.api.token_ttl_s, subject="demo")
        print(_what_to_look_at(addresses.api, token), flush=True)
        fleet = Fleet(
            FleetSettings(
                to=addresses.stations,
                stations=stations,
                version="mixed",
                scenario="once" if once else "repeat",
                speed=settings.demo.speed,
                start=datetime.now(UTC) - _BEGINS_BEFORE,
            )
        )
        last = await fleet.run(_now_and_then())
        print(last.line(), flush=True)


def _now_and_then() -> Callable[[FleetProgress], None]:
    shown_at = 0.0

    def show(progress: FleetProgress) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= _LOOK_EVERY_S:
            shown_at = time.monotonic()
            print(progress.line(), flush=True)

    return show


def _what_to_look_at(api: str, token: str) -> str:
    return f"""
Look at it:
  {api}/docs   the API, to read and to try (Authorize with the token below)
  export TOKEN={token}
  curl -H "Authorization: Bearer $TOKEN" {api}/admin/v1/stations
  curl -H "Authorization: Bearer $TOKEN" {api}/admin/v1/transactions
  .venv/bin/cloudbay status   in another terminal
Ctrl-C stops everything.
"""
