"""The plan for one charger and its car: the cheapest slots, and the minutes in which it runs.

A slot that needs less than the minimum current on average is not charged through but for a part, at that minimum: a
charger's schedule counts in seconds, so no cheapest plan is lost to the minimum, and no slot needs a binary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from msgspec import structs

from optimizer.car import Car, Wish
from optimizer.errors import SolverFailed
from optimizer.formulation import solve_car
from optimizer.greedy import DUST_KWH, take, take_cheapest
from optimizer.grid import Grid
from optimizer.offer import Offer, may_be_put_off, offer_of
from optimizer.plan import Binding, Method, Outcome, Plan
from optimizer.prices import Prices
from optimizer.segments import segments_of_car
from optimizer.steadiness import Steadiness
from optimizer.taper import added_kwh

NEAR: Final = 1e-6
"""Relative; what differs by less is the same."""
CALM: Final = Steadiness()


def plan_car(grid: Grid, prices: Prices, car: Car, steadiness: Steadiness = CALM, time_limit_s: float = 10.0) -> Plan:
    """Return the plan with the most energy that is wanted and allowed, at its least cost.

    Whatever is asked for, there is a plan; its outcome says what is missing and why. Where a solver is needed and
    fails, the greedy plan is returned as not proven. Raises InvalidProblem for what contradicts itself.
    """
    offer = offer_of(grid, prices, car)
    taken_kwh = take_cheapest(offer, late=car.wish.late, running_kw=steadiness.running_kw)
    greedy = _plan(grid, offer, car, taken_kwh, "greedy")
    exact = _greedy_is_exact(offer, car)
    if exact and steadiness.start_cost <= 0 and not _too_short(greedy, steadiness):
        return greedy
    calm = steadiness.start_cost > 0 or steadiness.minimum_on_s > 0
    for tried in (steadiness, structs.replace(steadiness, running_kw=None)):
        try:
            kwh = solve_car(offer, car, tried, time_limit_s)
        except SolverFailed:
            continue
        if exact and sum(kwh) < sum(taken_kwh) * (1 - NEAR):
            return greedy  # energy goes before calm: what is left is too little for a whole on-time
        return _plan(grid, offer, car, kwh, "milp" if calm else "lp")
    feasible_kwh = taken_kwh if exact else _under_taper(offer, car, taken_kwh)
    return structs.replace(_plan(grid, offer, car, feasible_kwh, "greedy"), proven=False)


def charge_at_once(grid: Grid, prices: Prices, car: Car, metered_kwh: float) -> Plan:
    """Return the plan that buys so much from the first moment on, whatever it costs: what others are compared with."""
    anyhow = structs.replace(car, wish=Wish(energy_kwh=metered_kwh * car.efficiency))
    offer = offer_of(grid, prices, anyhow)
    if _tapers(offer, anyhow):
        kwh = _under_taper(offer, anyhow, offer.usable_kwh.tolist(), metered_kwh)
    else:
        kwh = take(offer, range(grid.slots))
    return structs.replace(_plan(grid, offer, anyhow, kwh, "greedy"), proven=False)


def _greedy_is_exact(offer: Offer, car: Car) -> bool:
    weighed = car.survival is not None and min(offer.budget, offer.average_cap) < math.inf
    return not weighed and not _tapers(offer, car)


def _tapers(offer: Offer, car: Car) -> bool:
    """Return whether the plan may reach the state of charge from which the battery takes less."""
    battery = car.battery
    if battery is None or battery.taper_from_soc == 1:
        return False
    before_kwh = (battery.taper_from_soc - battery.soc) * battery.capacity_kwh
    return offer.wanted_kwh * car.efficiency > before_kwh


def _under_taper(offer: Offer, car: Car, kwh: list[float], total_kwh: float = math.inf) -> list[float]:
    """Return what the battery really takes of a plan that knows no taper, until it is so much in all."""
    if not _tapers(offer, car) or car.battery is None:
        return kwh
    stored, real = car.battery.soc * car.battery.capacity_kwh, []
    for slot, planned in enumerate(kwh):
        takes = min(planned, total_kwh)
        if takes > DUST_KWH:
            full_kw = float(offer.maximum_kw[slot]) * car.efficiency
            most_kwh = added_kwh(car.battery, stored, full_kw, float(offer.hours[slot]))
            takes = min(takes, most_kwh / car.efficiency)
        total_kwh -= takes
        stored += takes * car.efficiency
        real.append(takes)
    return real


def _plan(grid: Grid, offer: Offer, car: Car, kwh: list[float], method: Method) -> Plan:
    bought = [amount if amount > DUST_KWH else 0.0 for amount in kwh]
    metered_kwh = sum(bought)
    wanted_kwh = offer.wanted_kwh if math.isfinite(offer.wanted_kwh) else metered_kwh
    missing_kwh = wanted_kwh - metered_kwh
    if missing_kwh <= NEAR * wanted_kwh:
        missing_kwh = 0.0
    put_off_kwh = missing_kwh if may_be_put_off(grid, car) else 0.0
    return Plan(
        grid=grid,
        metered_kwh=tuple(bought),
        segments=segments_of_car(grid, offer, car, bought),
        outcome=Outcome(
            energy_kwh=metered_kwh * car.efficiency,
            metered_kwh=metered_kwh,
            cost=_cost(offer, bought),
            missing_kwh=(missing_kwh - put_off_kwh) * car.efficiency,
            put_off_kwh=put_off_kwh * car.efficiency,
            binding=binding_of(offer, car, bought),
        ),
        method=method,
    )


def _cost(offer: Offer, kwh: Sequence[float]) -> float:
    return math.fsum(price * amount for price, amount in zip(offer.price.tolist(), kwh, strict=True))


def binding_of(offer: Offer, car: Car, kwh: Sequence[float]) -> Binding:
    """Return what keeps a car from getting more than so much in each slot."""
    metered_kwh, cost = math.fsum(kwh), _cost(offer, kwh)
    if metered_kwh >= offer.wanted_kwh * (1 - NEAR):
        return "battery" if car.wish.energy_kwh is None and car.wish.target_soc is None else "wish"
    near_money, usable_kwh = NEAR * max(1.0, abs(cost)), offer.usable_kwh.tolist()
    if any(usable > bought + DUST_KWH for usable, bought in zip(usable_kwh, kwh, strict=True)):
        if cost >= offer.budget - near_money:
            return "budget"
        if cost >= offer.average_cap * metered_kwh - near_money:
            return "average cap"
        return "battery" if _tapers(offer, car) else "time and power"
    if bool(((offer.most_kwh > 0) & ~offer.open).any()):
        cap = car.wish.price_cap_per_kwh
        dearer = (offer.most_kwh > 0) & (offer.price > (math.inf if cap is None else cap))
        return "price cap" if bool(dearer.any()) else "later price"
    return "time and power"


def _too_short(plan: Plan, steadiness: Steadiness) -> bool:
    """Return whether a stretch of charging is shorter than the minimum on-time."""
    if steadiness.minimum_on_s <= 0:
        return False
    begun = None
    for segment, following in zip(plan.segments, [*plan.segments[1:], None], strict=True):
        begun = begun or segment.start
        if following is None or following.start > segment.end:
            if (segment.end - begun).total_seconds() < steadiness.minimum_on_s - 1:
                return True
            begun = None
    return False
