"""A battery near full takes less and less: how much in what time, and in what time how much.

Above `taper_from_soc` the power is proportional to what is missing, so that decays exponentially, and both questions
have a closed answer. As a function of the energy that is in, the most that a slot can add is concave: a flat part,
a bend, and a straight line down. Tangents describe it from above; `TANGENTS` of them leave an error below 0.2 % of
the slot in which the taper begins, and none elsewhere.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import structs

from optimizer.car import Battery

TANGENTS: Final = 5


def added_kwh(battery: Battery, stored_kwh: float, power_kw: float, hours: float) -> float:
    """Return the most that a battery takes in some hours, offered so much power (both at the battery)."""
    bend_kwh = battery.capacity_kwh * battery.taper_from_soc
    steady_hours = max(0.0, min(hours, (bend_kwh - stored_kwh) / power_kw))
    steady_kwh = steady_hours * power_kw
    room_kwh = max(0.0, battery.capacity_kwh - stored_kwh - steady_kwh)
    if battery.taper_from_soc == 1.0:
        return min(steady_kwh, battery.capacity_kwh - stored_kwh)
    return steady_kwh + room_kwh * -math.expm1(-_rate(battery, power_kw) * (hours - steady_hours))


def hours_to_add(battery: Battery, stored_kwh: float, power_kw: float, wanted_kwh: float) -> float:
    """Return how long a battery needs to take so much; infinite for all that is missing, which it never quite has."""
    bend_kwh = battery.capacity_kwh * battery.taper_from_soc
    steady_kwh = max(0.0, min(wanted_kwh, bend_kwh - stored_kwh))
    rest_kwh = wanted_kwh - steady_kwh
    if rest_kwh <= 0:
        return steady_kwh / power_kw
    room_kwh = battery.capacity_kwh - max(stored_kwh, bend_kwh)
    if rest_kwh >= room_kwh:
        return math.inf
    return steady_kwh / power_kw - math.log1p(-rest_kwh / room_kwh) / _rate(battery, power_kw)


def steady_kw(battery: Battery, stored_kwh: float, full_kw: float, wanted_kwh: float, hours: float) -> float:
    """Return the least offer under which a battery takes so much in so long; at most what there is."""
    low, high = wanted_kwh / hours, full_kw
    if battery.taper_from_soc == 1 or _under_offer(battery, stored_kwh, full_kw, low, hours) >= wanted_kwh:
        return low
    for _ in range(50):
        middle = (low + high) / 2
        enough = _under_offer(battery, stored_kwh, full_kw, middle, hours) >= wanted_kwh
        low, high = (low, middle) if enough else (middle, high)
    return high


def offered(battery: Battery, full_kw: float, power_kw: float) -> Battery:
    """Return how a battery looks that is offered less than full power: its taper begins later, at the same rate."""
    return structs.replace(battery, taper_from_soc=1 - (1 - battery.taper_from_soc) * power_kw / full_kw)


def _under_offer(battery: Battery, stored_kwh: float, full_kw: float, power_kw: float, hours: float) -> float:
    return added_kwh(offered(battery, full_kw, power_kw), stored_kwh, power_kw, hours)


def tangents(battery: Battery, power_kw: float, hours: float) -> list[tuple[float, float]]:
    """Return lines `most + slope * stored` that lie above `added_kwh` and touch it."""
    bend_kwh = battery.capacity_kwh * battery.taper_from_soc
    lines = [(power_kw * hours, 0.0)]
    for number in range(TANGENTS):
        before_kwh = power_kw * hours * number / TANGENTS
        stored_kwh = bend_kwh - before_kwh
        slope = math.expm1(-_rate(battery, power_kw) * (hours - before_kwh / power_kw))
        lines.append((added_kwh(battery, stored_kwh, power_kw, hours) - slope * stored_kwh, slope))
    return lines


def _rate(battery: Battery, power_kw: float) -> float:
    """Return the share of what is missing that is filled in an hour."""
    return power_kw / ((1.0 - battery.taper_from_soc) * battery.capacity_kwh)
