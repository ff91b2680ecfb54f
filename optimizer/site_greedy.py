"""Plans for a site without a solver: least laxity first, and a static share for chargers that are on their own.

Both keep every limit and every minimum current, and take a fraction of the time a solver does.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from optimizer.account import Schedule, held
from optimizer.greedy import DUST_KWH
from optimizer.grid import Floats
from optimizer.site_columns import SiteColumns

_NEAR: Final = 1e-9


class Room:
    """A schedule in the making, and what is left of every limit of the site, slot by slot."""

    def __init__(self, columns: SiteColumns) -> None:
        shape = (len(columns.offers), columns.site.grid.slots)
        self.schedule = Schedule(np.zeros(shape), np.zeros(shape))
        self.most_kw = np.zeros(shape)
        self.most_kw[columns.car, columns.slot] = columns.most_kw
        self._columns = columns
        self._weights = np.array([limit.weights for limit in columns.limits]).reshape(-1, shape[0])
        self._left_kw = np.array([limit.most_kw for limit in columns.limits]).reshape(-1, shape[1])

    def reach(self, car: int) -> Floats:
        """Return which power each slot of a car may have, as things are."""
        reach: Floats = self.most_kw[car].copy()
        now_kw = self.schedule.power_kw[car]
        for weight, left_kw in zip(self._weights[:, car], self._left_kw, strict=True):
            if weight > 0:
                reach = np.minimum(reach, now_kw + left_kw / weight)
        return reach

    def reach_in(self, slot: int, car: int) -> float:
        """Return which power one slot of a car may have, as things are."""
        weights = self._weights[:, car]
        shared = self._left_kw[weights > 0, slot] / weights[weights > 0]
        most_kw = float(self.schedule.power_kw[car, slot]) + float(shared.min(initial=math.inf))
        return min(float(self.most_kw[car, slot]), most_kw)

    def give(self, car: int, slot: int, kwh: float) -> None:
        """Let a car have so much in a slot: its mean power, but at least its minimum for a part of the slot."""
        power_kw, amounts = self.schedule
        minimum_kw, hours = self._columns.site.cars[car].minimum_kw, float(self._columns.hours_of_cars[car, slot])
        kw = max(kwh / hours, minimum_kw) if kwh > DUST_KWH else 0.0
        self._left_kw[:, slot] -= self._weights[:, car] * (kw - power_kw[car, slot])
        power_kw[car, slot], amounts[car, slot] = kw, kwh if kw > 0 else 0.0


def least_laxity(columns: SiteColumns) -> Schedule:
    """Return the plan in which the car with the least time to spare chooses first, its cheapest slots with room."""
    room = Room(columns)
    most_kwh = columns.most_kwh()
    for car in _by_urgency(columns, most_kwh):
        buy(columns, room, car, float(most_kwh[car]) / columns.site.cars[car].efficiency)
        cut_to_money(columns, room, car)
    return room.schedule


def buy(columns: SiteColumns, room: Room, car: int, more_kwh: float) -> None:
    """Let a car have so much more, in its cheapest slots that have room for its minimum.

    A slot that it does not use yet is left when it would be on for less than the minimum on-time, unless it has none.
    """
    offer, minimum_kw = columns.offers[car], columns.site.cars[car].minimum_kw
    direction = -1 if columns.site.cars[car].wish.late else 1
    reach_kw, has_kwh = room.reach(car), room.schedule.kwh[car]
    least_kwh = minimum_kw * np.minimum(offer.hours, columns.site.minimum_on_s / 3600.0)
    for slot in np.lexsort((direction * np.arange(len(reach_kw)), offer.worth)).tolist():
        if more_kwh <= DUST_KWH:
            return
        if reach_kw[slot] <= 0 or reach_kw[slot] < minimum_kw:
            continue
        added_kwh = min(more_kwh, float(reach_kw[slot] * offer.hours[slot] - has_kwh[slot]))
        too_short = has_kwh[slot] + added_kwh < least_kwh[slot] - DUST_KWH and has_kwh.any()
        if added_kwh > DUST_KWH and not too_short:
            room.give(car, slot, float(has_kwh[slot]) + added_kwh)
            more_kwh -= added_kwh


def cut_to_money(columns: SiteColumns, room: Room, car: int) -> None:
    """Take the dearest slots from a car until its budget, and its cap on the average, are kept."""
    offer = columns.offers[car]
    for most, each_kwh in ((offer.budget, offer.price), (0.0, offer.price - offer.average_cap)):
        if not math.isfinite(most) or not np.isfinite(each_kwh).all():
            continue
        kwh = room.schedule.kwh[car]
        excess = float(each_kwh @ kwh) - most
        for slot in np.argsort(-each_kwh, kind="stable").tolist():
            if excess <= _NEAR or each_kwh[slot] <= 0:
                break
            cut_kwh = min(float(kwh[slot]), excess / float(each_kwh[slot]))
            excess -= cut_kwh * float(each_kwh[slot])
            room.give(car, slot, float(kwh[slot]) - cut_kwh)


def static_share(columns: SiteColumns) -> Schedule:
    """Return one power for each car, safe in every slot and whatever the others do: to be held by chargers alone.

    No slot is dearer than a car's cap on the average. All get the same share of their maximum; while that is less than
    somebody's minimum, the last car of the lowest priority gets nothing.
    """
    cars = columns.site.cars
    maximum_kw, minimum_kw = (np.array([getattr(car, name) for car in cars]) for name in ("maximum_kw", "minimum_kw"))
    ranks = sorted(range(len(cars)), key=lambda car: -cars[car].priority)
    share_kw = np.zeros(len(cars))
    while ranks and not share_kw.any():
        chosen_kw = np.zeros(len(cars))
        chosen_kw[ranks] = maximum_kw[ranks]
        wanted_kw = [(float(limit.weights @ chosen_kw), float(limit.most_kw.min())) for limit in columns.limits]
        share = min([1.0, *(most / wanted for wanted, most in wanted_kw if wanted > 0)])
        if (share * chosen_kw[ranks] >= minimum_kw[ranks]).all():
            share_kw = share * chosen_kw
        ranks.pop()
    power_kw = np.zeros((len(cars), columns.site.grid.slots))
    allowed_kw = np.minimum(columns.most_kw, share_kw[columns.car])
    averages = np.array([offer.average_cap for offer in columns.offers])[columns.car]
    allowed_kw[np.array(columns.site.prices.per_kwh)[columns.slot] > averages] = 0.0
    power_kw[columns.car, columns.slot] = np.where(allowed_kw >= columns.minimum_kw, allowed_kw, 0.0)
    return held(columns, power_kw)


def _by_urgency(columns: SiteColumns, most_kwh: Floats) -> list[int]:
    """Return the cars by priority, and of one priority those first that can wait least."""
    full_kwh = np.bincount(columns.car, columns.battery_kwh * columns.most_kw, len(most_kwh))
    hours = np.bincount(columns.car, columns.hours, len(most_kwh))
    with np.errstate(divide="ignore", invalid="ignore"):
        laxity = np.where(full_kwh > 0, hours * (1 - most_kwh / full_kwh), np.inf)
    return sorted(range(len(most_kwh)), key=lambda car: (-columns.site.cars[car].priority, laxity[car]))
