"""One site in PuLP: the problem as it is written on paper, and the oracle of the arrays in `optimizer.site_columns`.

It is built from the site itself and shares none of the arrays, so that a mistake in one is not a mistake in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pulp

from optimizer.car import PHASES
from optimizer.formulation import Goals
from optimizer.offer import offer_of
from optimizer.site import Circuit, Site


@dataclass(frozen=True, slots=True)
class SiteModel:
    """A model with what its goals speak of."""

    problem: Any
    power: dict[tuple[int, int], Any]
    """Of each car and slot in which it may charge, in kW."""
    delivered: list[Any]
    """To each battery, in kWh."""
    cost: Any
    """Of all that the site draws, of its peak, and of what is lost if cars leave."""


def least_cost_in_pulp(
    site: Site, least_kwh: Sequence[float], time_limit_s: float = 60.0, *, whole: bool = False
) -> float:
    """Return the least cost at which each battery gets so much; `whole` keeps minimum currents, which needs binaries.

    Raises SolverFailed when that is not to be had, or not proven in time.
    """
    model = site_model(site, whole=whole)
    problem = model.problem
    for number, (delivered, least) in enumerate(zip(model.delivered, least_kwh, strict=True)):
        problem += delivered >= least, f"energy_{number}"
    return Goals(problem, time_limit_s).reach(model.cost)


def largest_share_in_pulp(site: Site, most_kwh: Sequence[float], time_limit_s: float = 60.0) -> float:
    """Return the share of `most_kwh` that every battery can get."""
    model = site_model(site)
    problem = model.problem
    share = problem.add_variable("share", 0, 1)
    for number, (delivered, most) in enumerate(zip(model.delivered, most_kwh, strict=True)):
        problem += delivered >= share * most, f"share_{number}"
    return -Goals(problem, time_limit_s).reach(-share)


def site_model(site: Site, *, whole: bool = False) -> SiteModel:
    """Return the model without a goal; `whole` with minimum currents."""
    problem = pulp.LpProblem("site", pulp.LpMinimize)
    offers = [offer_of(site.grid, site.prices, car) for car in site.cars]
    power = {
        (number, slot): problem.add_variable(f"power_{number}_{slot}", 0, float(offer.maximum_kw[slot]))
        for number, offer in enumerate(offers)
        for slot in range(site.grid.slots)
        if offer.usable_kwh[slot] > 0
    }
    kwh = {(number, slot): float(offers[number].hours[slot]) * kw for (number, slot), kw in power.items()}
    delivered = []
    for number, (car, offer) in enumerate(zip(site.cars, offers, strict=True)):
        mine = {slot: kwh[number, slot] for slot in range(site.grid.slots) if (number, slot) in kwh}
        metered = pulp.lpSum(mine.values())
        paid = pulp.lpSum(float(offer.price[slot]) * bought for slot, bought in mine.items())
        if offer.wanted_kwh < float("inf"):
            problem += metered <= offer.wanted_kwh, f"wanted_{number}"
        if offer.budget < float("inf"):
            problem += paid <= offer.budget, f"budget_{number}"
        if offer.average_cap < float("inf"):
            problem += paid - offer.average_cap * metered <= 0, f"average_cap_{number}"
        delivered.append(car.efficiency * metered)
    counted = _minimum(problem, site, power) if whole else power
    for name, terms, most in _limits(site, counted):
        if terms:
            problem += pulp.lpSum(terms) <= max(0.0, most), name
    return SiteModel(problem, power, delivered, _cost(problem, site, power, kwh))


def _limits(site: Site, power: dict[tuple[int, int], Any]) -> Iterator[tuple[str, list[Any], float]]:
    """Yield each limit in each slot: what counts, and the most of it; kW at the grid, amperes at a circuit's phase."""
    cars, keep = range(len(site.cars)), 1 - site.margin
    paths = [[each.circuit_id for each in site.path(car.circuit_id)] if site.circuits else [] for car in site.cars]
    for slot in range(site.grid.slots):
        if site.grid_limit_kw is not None:
            terms = [power[car, slot] for car in cars if (car, slot) in power]
            yield f"grid_{slot}", terms, site.grid_limit_kw[slot] * keep - _other_kw(site, slot)
        for circuit in site.circuits:
            for number, phase in enumerate(PHASES):
                below = [car for car in cars if circuit.circuit_id in paths[car] and phase in site.cars[car].phases]
                terms = [
                    power[car, slot] * (1000.0 / site.volts / len(site.cars[car].phases))
                    for car in below
                    if (car, slot) in power
                ]
                name = f"circuit_{circuit.circuit_id}_{phase}_{slot}"
                yield name, terms, circuit.limit_a * keep - _other_a(circuit, slot, number)


def _other_kw(site: Site, slot: int) -> float:
    load, sun = ((0.0 if series is None else series[slot]) for series in (site.base_load_kw, site.pv_kw))
    return load - sun


def _other_a(circuit: Circuit, slot: int, phase: int) -> float:
    if not circuit.other_load_a:
        return 0.0
    return circuit.other_load_a[slot if len(circuit.other_load_a) > 1 else 0][phase]


def _cost(problem: Any, site: Site, power: dict[tuple[int, int], Any], kwh: dict[tuple[int, int], Any]) -> Any:
    """Each slot's flow is drawn from the grid or given back; giving back is paid at most what drawing costs."""
    prices, terms = site.prices, []
    peak = problem.add_variable("peak", prices.peak_so_far_kw)
    for slot, hours in enumerate(site.grid.hours.tolist()):
        drawn = problem.add_variable(f"drawn_{slot}", 0)
        given = problem.add_variable(f"given_{slot}", 0)
        cars = [car for car in range(len(site.cars)) if (car, slot) in power]
        flow = pulp.lpSum(kwh[car, slot] for car in cars) + _other_kw(site, slot) * hours
        problem += drawn - given == flow, f"flow_{slot}"
        problem += peak >= pulp.lpSum(power[car, slot] for car in cars) + _other_kw(site, slot), f"peak_{slot}"
        price = prices.per_kwh[slot]
        paid = min(price, 0.0 if prices.feed_in_per_kwh is None else prices.feed_in_per_kwh[slot])
        surplus = _other_kw(site, slot) < 0
        terms.append(price * drawn - paid * given)
        for number in cars:
            car = site.cars[number]
            if car.survival is not None:
                worth = car.loss_per_kwh - (paid if surplus else price)
                terms.append((1 - car.survival[slot]) * worth * kwh[number, slot])
    return pulp.lpSum(terms) + prices.peak_per_kw * (peak - prices.peak_so_far_kw)


def _minimum(problem: Any, site: Site, power: dict[tuple[int, int], Any]) -> dict[tuple[int, int], Any]:
    """Let a car charge with its minimum or more, or not at all, and return what it takes of the limits meanwhile.

    A mean power below the minimum is the minimum for a part of the slot, which is not shorter than the minimum
    on-time. Each big-M is the power's own maximum.
    """
    counted = {}
    for (number, slot), kw in power.items():
        car = site.cars[number]
        on = problem.add_variable(f"on_{number}_{slot}", cat=pulp.LpBinary)
        room = problem.add_variable(f"room_{number}_{slot}", 0, car.minimum_kw)
        least_share = min(1.0, site.minimum_on_s / 3600.0 / float(car.hours(site.grid)[slot]))
        problem += kw <= kw.upBound * on, f"off_{number}_{slot}"
        problem += kw >= car.minimum_kw * least_share * on, f"least_{number}_{slot}"
        problem += kw + room >= car.minimum_kw * on, f"room_for_minimum_{number}_{slot}"
        counted[number, slot] = kw + room
    return counted
