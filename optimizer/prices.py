"""What a kWh costs in each slot: tariffs in local time and published steps, compiled to one vector on a grid.

A tariff says when it holds in local time, as contracts do; the vector is on UTC slots, so the two days of the year on
which the clock changes need no case of their own. Published steps (day-ahead or quarter-hourly dynamic tariffs)
replace the tariff where they are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from optimizer.errors import InvalidProblem
from optimizer.grid import QUARTER_S, Grid


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What energy and power cost on a grid, in one currency."""

    per_kwh: tuple[float, ...]
    """For each slot; below zero, taking energy is paid for."""
    feed_in_per_kwh: tuple[float, ...] | None = None
    """What is paid for energy given back; None is nothing."""
    peak_per_kw: float = 0.0
    """What the highest power from the grid costs, counted once over the billing period."""
    peak_so_far_kw: float = 0.0
    """The peak that is paid already: the highest since the billing period began."""
    currency: str = "CHF"

    def __post_init__(self) -> None:
        amounts = (*self.per_kwh, *(self.feed_in_per_kwh or ()), self.peak_per_kw, self.peak_so_far_kw)
        if not all(map(math.isfinite, amounts)):
            raise InvalidProblem("a price is a number, and not infinite")
        if self.peak_per_kw < 0:
            raise InvalidProblem("a peak does not earn money")


class Band(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price with the local times at which it holds; over midnight when `until` is not after `since`."""

    per_kwh: float
    since: time = time()
    until: time = time()
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """0 is Monday. The day is that of the moment asked for, also after midnight."""
    months: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)

    def holds(self, at: datetime) -> bool:
        """Return whether the band holds at a local moment."""
        clock = at.time()
        if self.since < self.until:
            inside = self.since <= clock < self.until
        else:
            inside = clock >= self.since or clock < self.until
        return inside and at.weekday() in self.weekdays and at.month in self.months


class Tariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tariff by the local clock: the first band that holds gives the price."""

    zone: str
    per_kwh: float
    """Where no band holds."""
    bands: tuple[Band, ...] = ()
    peak_per_kw: float = 0.0
    currency: str = "CHF"

    def price_at(self, at: datetime) -> float:
        """Return the price of a kWh at a moment."""
        local = at.astimezone(ZoneInfo(self.zone))
        return next((band.per_kwh for band in self.bands if band.holds(local)), self.per_kwh)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published price, from one moment to another."""

    start: datetime
    end: datetime
    per_kwh: float


def compile_prices(
    grid: Grid, tariff: Tariff | None, steps: Sequence[Step] = (), peak_so_far_kw: float = 0.0
) -> Prices:
    """Return the price of each slot; one with several prices has their mean over time.

    Tariffs change on quarter hours. Raises InvalidProblem where nothing says a price.
    """
    per_kwh = tuple(_mean(_parts(early, late, tariff, steps)) for early, late in pairwise(grid.edges))
    if tariff is None:
        return Prices(per_kwh=per_kwh, peak_so_far_kw=peak_so_far_kw)
    return Prices(
        per_kwh=per_kwh,
        peak_per_kw=tariff.peak_per_kw,
        peak_so_far_kw=peak_so_far_kw,
        currency=tariff.currency,
    )


def _mean(parts: list[tuple[float, float]]) -> float:
    """Return the mean price; of one price it is that price, to the last bit, so that equal slots stay equal."""
    prices = {price for price, _ in parts}
    if len(prices) == 1:
        return prices.pop()
    return sum(price * seconds for price, seconds in parts) / sum(seconds for _, seconds in parts)


def _parts(begin: datetime, end: datetime, tariff: Tariff | None, steps: Sequence[Step]) -> list[tuple[float, float]]:
    """Return the prices of a stretch with their seconds."""
    inside = [edge for step in steps for edge in (step.start, step.end) if begin < edge < end]
    quarter = datetime.fromtimestamp((int(begin.timestamp()) // QUARTER_S + 1) * QUARTER_S, UTC)
    while quarter < end:
        inside.append(quarter)
        quarter += timedelta(seconds=QUARTER_S)
    edges = [begin, *sorted(set(inside)), end]
    return [(_price_at(early, tariff, steps), (late - early).total_seconds()) for early, late in pairwise(edges)]


def _price_at(at: datetime, tariff: Tariff | None, steps: Sequence[Step]) -> float:
    for step in steps:
        if step.start <= at < step.end:
            return step.per_kwh
    if tariff is None:
        raise InvalidProblem(f"nothing says the price at {at.isoformat()}")
    return tariff.price_at(at)
