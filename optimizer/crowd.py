"""Many independent cars at once: the greedy plan as arithmetic on arrays, equal to `plan_car` for each of them.

All slots in order of price, what may be bought is a running sum, cut off where the wish or the money ends; each of
these is one share of each slot, and the least of them holds. Nothing is shared between the cars, so rows are worked
on in pieces that fit into a processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optimizer.car import Car
from optimizer.errors import InvalidProblem
from optimizer.grid import Floats, Grid, check_series
from optimizer.offer import may_be_put_off
from optimizer.prices import Prices

ROWS: Final = 1024
_NUMBERS: Final = ("maximum_kw", "arrives_s", "leaves_s", "wanted_kwh", "budget", "price_cap", "average_cap")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many cars, a value of each array for each of them; energies at the meter, infinity where nothing is asked."""

    maximum_kw: Floats
    arrives_s: Floats
    """From the start of the grid."""
    leaves_s: Floats
    wanted_kwh: Floats
    budget: Floats
    price_cap: Floats
    average_cap: Floats
    late: NDArray[np.bool_]

    def part(self, rows: slice | NDArray[np.intp]) -> Crowd:
        """Return some of the cars."""
        return Crowd(*(getattr(self, name)[rows] for name in self.__slots__))


def crowd_of(grid: Grid, cars: Sequence[Car]) -> Crowd:
    """Return cars as arrays. Raises InvalidProblem for a car that needs `plan_car`: with a taper, or limits by slot."""
    rows = [_row(grid, car) for car in cars]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 8).T
    numbers = dict(zip(_NUMBERS, columns, strict=False))
    return Crowd(**numbers, late=columns[-1].astype(np.bool_))


def plan_crowd(grid: Grid, prices: Prices, crowd: Crowd) -> Floats:
    """Return the kWh at the meter of each car in each slot."""
    check_series("prices.per_kwh", prices.per_kwh, grid)
    price = np.array(prices.per_kwh)
    kwh = np.empty((len(crowd.wanted_kwh), grid.slots))
    slots = np.arange(grid.slots)
    for late, tie in ((False, slots), (True, -slots)):
        order = np.lexsort((tie, price))
        members = np.flatnonzero(crowd.late == late)
        for begin in range(0, len(members), ROWS):
            rows = members[begin : begin + ROWS]
            kwh[np.ix_(rows, order)] = _take(grid, price[order], order, crowd.part(rows))
    return kwh


def _row(grid: Grid, car: Car) -> tuple[float, ...]:
    tapers = car.battery is not None and car.battery.taper_from_soc < 1
    if tapers or car.limit_kw is not None or car.survival is not None:
        raise InvalidProblem(f"car {car.car_id!r} has a taper or limits by slot, which a crowd knows nothing of")
    wish = car.wish
    ends = [grid.seconds(end) for end in (car.leaves, wish.by) if end is not None]
    caps = [cap for cap in (wish.price_cap_per_kwh,) if cap is not None]
    if wish.later_price_per_kwh is not None and may_be_put_off(grid, car):
        caps.append(wish.later_price_per_kwh)
    return (
        car.maximum_kw,
        0.0 if car.arrives is None else grid.seconds(car.arrives),
        min([float(grid.edges_s[-1]), *ends]),
        car.wanted_kwh() / car.efficiency,
        math.inf if wish.budget is None else wish.budget,
        min(caps, default=math.inf),
        math.inf if wish.average_cap_per_kwh is None else wish.average_cap_per_kwh,
        wish.late,
    )


def _take(grid: Grid, price: Floats, order: NDArray[np.intp], crowd: Crowd) -> Floats:
    """Return what is bought, in the order in which it is: `price` is sorted already."""
    begin, end = grid.edges_s[:-1][order], grid.edges_s[1:][order]
    kwh = np.minimum(end, crowd.leaves_s[:, None])
    kwh -= np.maximum(begin, crowd.arrives_s[:, None])
    np.maximum(kwh, 0.0, out=kwh)
    kwh *= (crowd.maximum_kw / 3600.0)[:, None]
    if np.isfinite(crowd.price_cap).any():
        kwh *= price <= crowd.price_cap[:, None]
    taken = _cut(kwh, crowd.wanted_kwh)
    if np.isfinite(crowd.budget).any():
        taken = np.minimum(taken, kwh * _share(kwh * price, crowd.budget))
    if np.isfinite(crowd.average_cap).any():
        cap = np.where(np.isfinite(crowd.average_cap), crowd.average_cap, price[-1])
        taken = np.minimum(taken, kwh * _share(kwh * (price - cap[:, None]), np.zeros(len(cap))))
    return taken


def _cut(kwh: Floats, limit: Floats) -> Floats:
    """Return the amounts until their sum is at the limit."""
    before = np.cumsum(kwh, axis=1)
    before -= kwh
    np.subtract(limit[:, None], before, out=before)
    cut: Floats = np.clip(before, 0.0, kwh, out=before)
    return cut


def _share(amounts: Floats, limit: Floats) -> Floats:
    """Return the share of each amount at which their running sum meets the limit; it falls first, then rises."""
    after = np.cumsum(amounts, axis=1)
    room = limit[:, None] - (after - amounts)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(amounts > 0, room / amounts, 1.0)
    return np.clip(share, 0.0, 1.0)
