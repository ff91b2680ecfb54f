"""A site as arrays: one column for each car and slot in which it may charge, and the rows that bind them.

What is bought is priced where it is bought: in a slot in which the sun makes more than the building takes, cars first
use what would have been given back, at what is paid for that; `imported` is what goes beyond. The peak is one column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optimizer.greedy import take_cheapest
from optimizer.grid import Floats
from optimizer.limits import Limit, limits_of, other_kw
from optimizer.offer import Offer, offer_of
from optimizer.site import Site
from optimizer.solver import INFINITE, Block

Indices = NDArray[np.int64]

NEAR_KW: Final = 1e-6
"""Less is rounding."""


@dataclass(frozen=True)
class SiteColumns:
    """The columns of a site: powers of cars first, then imports of slots with surplus, then the peak."""

    site: Site
    offers: tuple[Offer, ...]
    limits: list[Limit]
    car: Indices
    """Of each power."""
    slot: Indices
    hours: Floats
    most_kw: Floats
    surplus_kwh: Floats
    """Of each slot: what would be given back without any car."""

    @cached_property
    def hours_of_cars(self) -> Floats:
        """Return the hours of each car in each slot."""
        return np.array([offer.hours for offer in self.offers]).reshape(len(self.offers), self.site.grid.slots)

    @property
    def powers(self) -> int:
        """How many columns are powers."""
        return len(self.car)

    @cached_property
    def surplus_slots(self) -> Indices:
        """Return the slots with an `imported` column."""
        if not (np.array(self.site.prices.per_kwh) > self.feed_in).any():
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self.surplus_kwh > 0)

    @cached_property
    def feed_in(self) -> Floats:
        """Return what is paid for energy given back; never above the price, or buying would pay for itself."""
        price = np.array(self.site.prices.per_kwh)
        paid = self.site.prices.feed_in_per_kwh
        feed_in: Floats = np.minimum(price, np.zeros(len(price)) if paid is None else np.array(paid))
        return feed_in

    @property
    def has_peak(self) -> bool:
        """Return whether the peak costs anything."""
        return self.site.prices.peak_per_kw > 0

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return self.powers + len(self.surplus_slots) + self.has_peak

    @cached_property
    def marginal(self) -> Floats:
        """Return by slot what the first kWh of a car costs: what it would have been given back for, or the price."""
        price = np.array(self.site.prices.per_kwh)
        marginal: Floats = np.where(self.surplus_kwh > 0, self.feed_in, price)
        return marginal

    @cached_property
    def battery_kwh(self) -> Floats:
        """Return what a kW of each power adds to its battery."""
        added: Floats = self.hours * self.efficiency[self.car]
        return added

    @cached_property
    def efficiency(self) -> Floats:
        """Return the efficiency of each car."""
        return np.array([car.efficiency for car in self.site.cars])

    @cached_property
    def minimum_kw(self) -> Floats:
        """Return the minimum of each power."""
        return np.array([car.minimum_kw for car in self.site.cars])[self.car]

    def bounds(self) -> tuple[Floats, Floats]:
        """Return what each column may be."""
        more = self.columns - self.powers
        lower, upper = np.zeros(self.columns), np.concatenate([self.most_kw, np.full(more, INFINITE)])
        if self.has_peak:
            lower[-1] = self.site.prices.peak_so_far_kw
        return lower, upper

    def cost(self) -> Floats:
        """Return what each column costs; with departures uncertain, also what is lost by waiting."""
        prices, site = self.site.prices, self.site
        cost = np.zeros(self.columns)
        cost[: self.powers] = self.hours * self.marginal[self.slot]
        for number, car in enumerate(site.cars):
            if car.survival is not None:
                mine = np.flatnonzero(self.car == number)
                there = np.array(car.survival)[self.slot[mine]]
                expected = there * self.marginal[self.slot[mine]] + (1 - there) * car.loss_per_kwh
                cost[mine] = self.hours[mine] * expected
        slots = self.surplus_slots
        cost[self.powers : self.powers + len(slots)] = (np.array(prices.per_kwh) - self.feed_in)[slots]
        if self.has_peak:
            cost[-1] = prices.peak_per_kw
        return cost

    def earliness(self) -> Floats:
        """Return a cost that is least for the plan that charges earliest (latest for cars that want that)."""
        late = np.array([car.wish.late for car in self.site.cars])[self.car]
        cost = np.zeros(self.columns)
        cost[: self.powers] = np.where(late, self.site.grid.slots - self.slot, self.slot + 1) * self.hours
        return cost

    def most_kwh(self) -> Floats:
        """Return what each battery would get if its car were alone here: the most of what is wanted."""
        possible = np.bincount(self.car, self.battery_kwh * self.most_kw, len(self.site.cars))
        most = np.minimum(possible, [car.wanted_kwh() for car in self.site.cars])
        for number, (car, offer) in enumerate(zip(self.site.cars, self.offers, strict=True)):
            if min(offer.budget, offer.average_cap) < INFINITE:
                alone = float(np.sum(take_cheapest(offer))) * car.efficiency
                most[number] = min(alone, float(most[number]))
        return most

    def shared_rows(self, held: Indices | None = None, room: Indices | None = None) -> Block:
        """Return the rows of the limits: one for each limit and slot in which it may bind.

        `room` are more columns that count like those of `held`.
        """
        counted = np.arange(self.powers) if held is None else np.concatenate([np.arange(self.powers), held])
        column = np.arange(self.powers) if room is None else np.concatenate([np.arange(self.powers), room])
        rows, columns, values, uppers = [], [], [], []
        count, slots = 0, self.site.grid.slots
        for limit in self.limits:
            weights = limit.weights[self.car]
            possible = np.bincount(self.slot, weights * self.most_kw, slots)
            tight = np.flatnonzero(possible > limit.most_kw)
            number = np.full(slots, -1)
            number[tight] = count + np.arange(len(tight))
            kept = np.flatnonzero((weights[counted] > 0) & (number[self.slot[counted]] >= 0))
            rows.append(number[self.slot[counted[kept]]])
            columns.append(column[kept])
            values.append(weights[counted[kept]])
            uppers.append(limit.most_kw[tight])
            count += len(tight)
        return _block(rows, columns, values, np.full(count, -INFINITE), uppers)

    def energy_rows(self, lower_kwh: Floats, upper_kwh: Floats) -> Block:
        """Return a row for each car: what reaches its battery."""
        return Block(self.car, np.arange(self.powers), self.battery_kwh, lower_kwh, upper_kwh)

    def grid_rows(self) -> Block:
        """Return the rows of imports (all that goes beyond the surplus) and of the peak."""
        slots, powers = self.surplus_slots, np.arange(self.powers)
        imported = np.full(self.site.grid.slots, -1)
        imported[slots] = np.arange(len(slots))
        mine = powers[imported[self.slot] >= 0]
        rows, columns = [imported[self.slot[mine]], np.arange(len(slots))], [mine, self.powers + np.arange(len(slots))]
        values, uppers = [self.hours[mine], -np.ones(len(slots))], [self.surplus_kwh[slots]]
        if self.has_peak:
            all_slots = np.arange(self.site.grid.slots)
            rows += [len(slots) + self.slot, len(slots) + all_slots]
            columns += [powers, np.full(len(all_slots), self.columns - 1)]
            values += [np.ones(self.powers), -np.ones(len(all_slots))]
            uppers.append(-other_kw(self.site))
        count = sum(len(upper) for upper in uppers)
        return _block(rows, columns, values, np.full(count, -INFINITE), uppers)

    def money_rows(self) -> Block:
        """Return the budgets and the caps on averages."""
        rows: list[Indices] = []
        columns: list[Indices] = []
        values: list[Floats] = []
        uppers: list[Floats] = []
        for number, offer in enumerate(self.offers):
            mine = np.flatnonzero(self.car == number)
            price = offer.price[self.slot[mine]]
            for most, each_kwh in ((offer.budget, price), (0.0, price - offer.average_cap)):
                if most < INFINITE and np.isfinite(each_kwh).all():
                    rows.append(np.full(len(mine), len(uppers)))
                    columns.append(mine)
                    values.append(self.hours[mine] * each_kwh)
                    uppers.append(np.array([most]))
        return _block(rows, columns, values, np.full(len(uppers), -INFINITE), uppers)

    def powers_of(self, solution: Floats) -> Floats:
        """Return the power of each car in each slot."""
        power_kw = np.zeros((len(self.site.cars), self.site.grid.slots))
        kw = np.clip(solution[: self.powers], 0.0, self.most_kw)
        power_kw[self.car, self.slot] = np.where(kw < NEAR_KW, 0.0, kw)
        return power_kw


def columns_of(site: Site) -> SiteColumns:
    """Return the columns of a site."""
    offers = tuple(offer_of(site.grid, site.prices, car) for car in site.cars)
    shape = (len(offers), site.grid.slots)
    hours = np.array([offer.hours for offer in offers]).reshape(shape)
    usable_kw = np.array([np.where(offer.open, offer.maximum_kw, 0.0) for offer in offers]).reshape(shape)
    car, slot = np.nonzero((hours > 0) & (usable_kw > 0))
    return SiteColumns(
        site=site,
        offers=offers,
        limits=limits_of(site),
        car=car,
        slot=slot,
        hours=hours[car, slot],
        most_kw=usable_kw[car, slot],
        surplus_kwh=np.maximum(-other_kw(site), 0.0) * site.grid.hours,
    )


def _block(
    rows: list[Indices], columns: list[Indices], values: list[Floats], lower: Floats, uppers: list[Floats]
) -> Block:
    nothing = np.empty(0)
    return Block(
        np.concatenate([*rows, nothing.astype(np.int64)]),
        np.concatenate([*columns, nothing.astype(np.int64)]),
        np.concatenate([*values, nothing]),
        lower,
        np.concatenate([*uppers, nothing]),
    )
