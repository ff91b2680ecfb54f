"""What comes out: when a car charges with what power, what that buys and costs, and what stood in the way."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from optimizer.grid import Grid

Method = Literal["greedy", "lp", "milp", "least laxity", "static share"]
"""How a plan was found."""

Binding = Literal["wish", "time and power", "budget", "price cap", "average cap", "later price", "battery", "site"]
"""What keeps a car from getting more: it has all it wants, or one of the limits."""


class Segment(msgspec.Struct, frozen=True):
    """A limit for the charger, from one moment to another."""

    start: datetime
    end: datetime
    power_kw: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan does for one car."""

    energy_kwh: float
    """That reach the battery."""
    metered_kwh: float
    cost: float
    missing_kwh: float
    """Wanted, and not to be had under the limits; infinite never: who wants all that is possible misses nothing."""
    put_off_kwh: float = 0.0
    """Left for after the known prices, as that is expected to be cheaper."""
    binding: Binding = "wish"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan for one car."""

    grid: Grid
    metered_kwh: tuple[float, ...]
    """In each slot."""
    segments: tuple[Segment, ...]
    """When it charges; a part of a slot where a whole one would need less than the minimum current."""
    outcome: Outcome
    method: Method = "greedy"
    proven: bool = True
    """No plan within the limits does better."""


class SitePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan for all cars of a site, in the order of `Site.cars`."""

    grid: Grid
    power_kw: tuple[tuple[float, ...], ...]
    """Of each car in each slot: what it charges with, and takes of every limit."""
    metered_kwh: tuple[tuple[float, ...], ...]
    """Of each car in each slot; where the power would give more, it charges for a part of the slot."""
    outcomes: tuple[Outcome, ...]
    site_kw: tuple[float, ...]
    """From the grid in each slot while all charge, with building and sun; below zero it is given back."""
    peak_kw: float
    """The highest mean of a slot, as it is billed."""
    cost: float
    """Of all energy from the grid and of the peak beyond `peak_so_far_kw`, less what is paid for energy given back."""
    method: Method
    proven: bool
    """It serves as is fair, at a cost within the asked-for gap of `bound`."""
    bound: float
    """No plan that serves as well costs less; minus infinity where nothing is known. For cars that may leave early it
    is a bound of the expected cost, with what is lost then."""
    notes: tuple[str, ...] = ()
    """What was tried before, and why it was not taken."""
