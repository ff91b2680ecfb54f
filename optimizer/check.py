"""Says which limits a site's plan breaks. It shares no code with what makes plans: each limit is read off the site.

Slot by slot and car by car, in plain loops; every plan passes here before it is given out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from optimizer.car import PHASES, Car
from optimizer.site import Circuit, Site

TOLERANCE: Final = 1e-5
"""In kW, A or money: ten milliwatts."""


class Violation(msgspec.Struct, frozen=True):
    """A limit that is broken, and by how much."""

    what: str
    slot: int | None
    excess: float
    """In the unit of the limit."""


def violations(
    site: Site, power_kw: Sequence[Sequence[float]], metered_kwh: Sequence[Sequence[float]]
) -> list[Violation]:
    """Return what a plan breaks: of the site, of its circuits on each phase, and of each car."""
    shapes = {(len(rows), len(row)) for rows in (power_kw, metered_kwh) for row in rows}
    if shapes - {(len(site.cars), site.grid.slots)}:
        return [Violation("the plan has other cars or slots than the site", None, float("inf"))]
    found = list(_shared(site, power_kw))
    for car, powers, kwh in zip(site.cars, power_kw, metered_kwh, strict=True):
        found += _slots_of_car(site, car, powers)
        found += _energy_of_car(site, car, powers, kwh)
    return found


def _shared(site: Site, power_kw: Sequence[Sequence[float]]) -> Iterator[Violation]:
    keep = 1 - site.margin
    for slot in range(site.grid.slots):
        cars_kw = sum(row[slot] for row in power_kw)
        if site.grid_limit_kw is not None:
            load = 0.0 if site.base_load_kw is None else site.base_load_kw[slot]
            sun = 0.0 if site.pv_kw is None else site.pv_kw[slot]
            free_kw = max(0.0, site.grid_limit_kw[slot] * keep - load + sun)
            if cars_kw > free_kw + TOLERANCE:
                yield Violation("grid limit", slot, cars_kw - free_kw)
        for circuit in site.circuits:
            for number, phase in enumerate(PHASES):
                free_a = max(0.0, circuit.limit_a * keep - _other_a(circuit, slot, number))
                flowing_a = 0.0
                for car, row in zip(site.cars, power_kw, strict=True):
                    if phase in car.phases and _hangs_on(site, car, circuit):
                        flowing_a += row[slot] * 1000.0 / site.volts / len(car.phases)
                if flowing_a > free_a + TOLERANCE:
                    yield Violation(f"circuit {circuit.circuit_id} on {phase}", slot, flowing_a - free_a)


def _other_a(circuit: Circuit, slot: int, phase: int) -> float:
    loads = circuit.other_load_a
    if not loads:
        return 0.0
    return loads[0][phase] if len(loads) == 1 else loads[slot][phase]


def _hangs_on(site: Site, car: Car, circuit: Circuit) -> bool:
    parents = {each.circuit_id: each.parent_id for each in site.circuits}
    current: str | None = car.circuit_id
    while current is not None:
        if current == circuit.circuit_id:
            return True
        current = parents[current]
    return False


def _slots_of_car(site: Site, car: Car, row: Sequence[float]) -> Iterator[Violation]:
    name = f"car {car.car_id}"
    for slot, kw in enumerate(row):
        if kw < 0:
            yield Violation(f"{name}: power below zero", slot, -kw)
        if kw <= 0:
            continue
        begin, end = site.grid.edges[slot], site.grid.edges[slot + 1]
        ends = [moment for moment in (car.leaves, car.wish.by) if moment is not None]
        if (car.arrives is not None and car.arrives >= end) or any(moment <= begin for moment in ends):
            yield Violation(f"{name}: power while it is not there", slot, kw)
        limit_kw = car.maximum_kw if car.limit_kw is None else min(car.maximum_kw, car.limit_kw[slot])
        if kw > limit_kw + TOLERANCE:
            yield Violation(f"{name}: more than its maximum", slot, kw - limit_kw)
        if kw < car.minimum_kw - TOLERANCE:
            yield Violation(f"{name}: less than its minimum", slot, car.minimum_kw - kw)
        cap = car.wish.price_cap_per_kwh
        if cap is not None and site.prices.per_kwh[slot] > cap:
            yield Violation(f"{name}: dearer than its price cap", slot, site.prices.per_kwh[slot] - cap)


def _energy_of_car(site: Site, car: Car, powers: Sequence[float], kwh: Sequence[float]) -> Iterator[Violation]:
    name = f"car {car.car_id}"
    for slot, (kw, amount, hours) in enumerate(zip(powers, kwh, car.hours(site.grid).tolist(), strict=True)):
        if not -TOLERANCE <= amount <= kw * hours + TOLERANCE:
            yield Violation(f"{name}: energy that its power does not give", slot, amount - kw * hours)
    metered, wanted = sum(kwh), car.wanted_kwh() / car.efficiency
    if metered > wanted + TOLERANCE:
        yield Violation(f"{name}: more than it wants", None, metered - wanted)
    cost = sum(price * amount for price, amount in zip(site.prices.per_kwh, kwh, strict=True))
    if car.wish.budget is not None and cost > car.wish.budget + TOLERANCE:
        yield Violation(f"{name}: beyond its budget", None, cost - car.wish.budget)
    average = car.wish.average_cap_per_kwh
    if average is not None and cost > average * metered + TOLERANCE:
        yield Violation(f"{name}: dearer than its cap on the average", None, cost - average * metered)
