"""What the slots offer to one car, as numbers: the common ground of the greedy plan, the models and the crowd."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.car import Car
from optimizer.errors import InvalidProblem
from optimizer.grid import Floats, Grid, check_series
from optimizer.prices import Prices


@dataclass(frozen=True, slots=True)
class Offer:
    """One car's slots; energies in kWh at the meter."""

    hours: Floats
    """Of each slot in which it may charge."""
    maximum_kw: Floats
    """Zero where a limit lies below the car's minimum."""
    open: NDArray[np.bool_]
    """Whether the price caps let the slot be used."""
    price: Floats
    worth: Floats
    """What slots are compared by: the price, and what is lost if the car is gone by then."""
    wanted_kwh: float
    budget: float
    average_cap: float

    @property
    def most_kwh(self) -> Floats:
        """Return what each slot can give, whatever it costs."""
        most: Floats = self.hours * self.maximum_kw
        return most

    @property
    def usable_kwh(self) -> Floats:
        """Return what each slot can give under the price caps."""
        usable: Floats = np.where(self.open, self.hours * self.maximum_kw, 0.0)
        return usable


def offer_of(grid: Grid, prices: Prices, car: Car) -> Offer:
    """Return what the slots offer to a car. Raises InvalidProblem when series and grid do not fit."""
    check_series("prices.per_kwh", prices.per_kwh, grid)
    wish = car.wish
    if wish.budget is not None and wish.budget < 0:
        raise InvalidProblem(f"car {car.car_id!r}: a budget is not below zero")
    price = np.array(prices.per_kwh)
    maximum_kw = np.full(grid.slots, car.maximum_kw)
    if car.limit_kw is not None:
        maximum_kw = np.minimum(maximum_kw, car.limit_kw)
        maximum_kw[(maximum_kw < car.minimum_kw) | (maximum_kw < 0)] = 0.0
    worth = price
    if car.survival is not None:
        there = np.array(car.survival)
        worth = there * price + (1.0 - there) * car.loss_per_kwh
    is_open = np.ones(grid.slots, dtype=np.bool_)
    if wish.price_cap_per_kwh is not None:
        is_open &= price <= wish.price_cap_per_kwh
    if wish.later_price_per_kwh is not None and may_be_put_off(grid, car):
        is_open &= worth <= wish.later_price_per_kwh
    return Offer(
        hours=car.hours(grid),
        maximum_kw=maximum_kw,
        open=is_open,
        price=price,
        worth=worth,
        wanted_kwh=car.wanted_kwh() / car.efficiency,
        budget=math.inf if wish.budget is None else wish.budget,
        average_cap=math.inf if wish.average_cap_per_kwh is None else wish.average_cap_per_kwh,
    )


def may_be_put_off(grid: Grid, car: Car) -> bool:
    """Return whether energy can wait until after the known prices: a later price is given, and no end comes first."""
    ends = [end for end in (car.leaves, car.wish.by) if end is not None]
    return car.wish.later_price_per_kwh is not None and all(end > grid.end for end in ends)
