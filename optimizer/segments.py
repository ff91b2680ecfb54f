"""From energies by slot to the minutes in which a charger runs, to the second."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from msgspec import structs

from optimizer.car import Car
from optimizer.grid import Grid
from optimizer.offer import Offer, offer_of
from optimizer.plan import Segment, SitePlan
from optimizer.site import Site
from optimizer.taper import hours_to_add, offered, steady_kw


def segments_of_car(grid: Grid, offer: Offer, car: Car, kwh: Sequence[float]) -> tuple[Segment, ...]:
    """Return the stretches in which a car charges, so that each slot has its energy.

    One power is held through a slot; where that would be less than the car charges with, it is the minimum for a part
    of the slot, beside a neighbour that charges.
    """
    stored_kwh = 0.0 if car.battery is None else car.battery.soc * car.battery.capacity_kwh
    segments: list[Segment] = []
    for slot, amount in enumerate(kwh):
        if amount <= 0:
            continue
        most_kw, hours = float(offer.maximum_kw[slot]), float(offer.hours[slot])
        power_kw = min(most_kw, _power_kw(car, stored_kwh, most_kw, amount, hours))
        if power_kw < car.minimum_kw:
            power_kw = car.minimum_kw
            hours = min(hours, _hours(car, stored_kwh, most_kw, amount))
        stored_kwh += amount * car.efficiency
        late = _at_the_end(kwh, slot, late=car.wish.late)
        segments.append(_place(grid, car, slot, power_kw, hours, late=late))
    return tuple(_joined(segments))


def segments_of_site(site: Site, plan: SitePlan) -> list[tuple[Segment, ...]]:
    """Return the stretches of each car of a site; never above the plan's power, whatever the battery takes."""
    cars = [structs.replace(car, battery=None, wish=structs.replace(car.wish, target_soc=None)) for car in site.cars]
    return [
        segments_of_car(site.grid, offer_of(site.grid, site.prices, car), car, kwh)
        for car, kwh in zip(cars, plan.metered_kwh, strict=True)
    ]


def _power_kw(car: Car, stored_kwh: float, most_kw: float, amount_kwh: float, hours: float) -> float:
    if car.battery is None:
        return amount_kwh / hours
    taken_kwh = amount_kwh * car.efficiency
    return steady_kw(car.battery, stored_kwh, most_kw * car.efficiency, taken_kwh, hours) / car.efficiency


def _hours(car: Car, stored_kwh: float, most_kw: float, amount_kwh: float) -> float:
    """Return for how long a car must be offered its minimum."""
    if car.battery is None or car.battery.taper_from_soc == 1:
        return amount_kwh / car.minimum_kw
    seen = offered(car.battery, most_kw, car.minimum_kw)
    return hours_to_add(seen, stored_kwh, car.minimum_kw * car.efficiency, amount_kwh * car.efficiency)


def _at_the_end(kwh: Sequence[float], slot: int, *, late: bool) -> bool:
    before = slot > 0 and kwh[slot - 1] > 0
    after = slot + 1 < len(kwh) and kwh[slot + 1] > 0
    return late if before == after else after


def _place(grid: Grid, car: Car, slot: int, power_kw: float, hours: float, *, late: bool) -> Segment:
    ends = [end for end in (car.leaves, car.wish.by) if end is not None]
    begin = max([grid.edges[slot], *([car.arrives] if car.arrives is not None else [])])
    end = min([grid.edges[slot + 1], *ends])
    length = timedelta(seconds=round(hours * 3600.0, 3))
    if late:
        return Segment(max(begin, end - length), end, power_kw)
    return Segment(begin, min(end, begin + length), power_kw)


def _joined(segments: list[Segment]) -> list[Segment]:
    """Return segments of equal power that touch as one."""
    joined = segments[:1]
    for before, segment in pairwise(segments):
        if before.end == segment.start and before.power_kw == segment.power_kw:
            joined[-1] = Segment(joined[-1].start, segment.end, segment.power_kw)
        else:
            joined.append(segment)
    return joined
