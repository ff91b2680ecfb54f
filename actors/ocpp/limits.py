"""How many decimals a charging limit may have in each version: more are cut off, never refused (K01).

Cut off and not rounded, so that a limit never grows.
"""

from __future__ import annotations

import math
from typing import Any, Final

from actors.ocpp.frames import Json, OcppVersion

_DECIMALS: Final = {OcppVersion.V16: 1, OcppVersion.V201: 1, OcppVersion.V21: 6}


def truncated(profile: Json, version: OcppVersion) -> Json:
    """Return a copy of a valid 2.x ChargingProfile whose limits have no more decimals than `version` allows."""
    decimals = _DECIMALS[version]
    schedules: Any = profile["chargingSchedule"]
    return {**profile, "chargingSchedule": [_schedule(schedule, decimals) for schedule in schedules]}


def _schedule(schedule: Json, decimals: int) -> Json:
    periods: Any = schedule["chargingSchedulePeriod"]
    return {
        **_numbers(schedule, decimals),
        "chargingSchedulePeriod": [_numbers(period, decimals) for period in periods],
    }


def _numbers(fields: Json, decimals: int) -> Json:
    return {name: _cut(value, decimals) if isinstance(value, float) else value for name, value in fields.items()}


def _cut(value: float, decimals: int) -> float:
    if value.is_integer():
        return value
    scale = 10.0**decimals
    # Rounded first, because 0.000249 * 1e6 is a hair below 249.
    return math.trunc(round(value * scale, 6)) / scale
