"""A plan in words: when, how much, for what, compared with charging at once, and what stood in the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from optimizer.car import Car
from optimizer.charger import charge_at_once
from optimizer.plan import Binding, Outcome, Plan, SitePlan
from optimizer.prices import Prices
from optimizer.site import Site

WHY: Final[dict[Binding, str]] = {
    "wish": "all that is wanted is bought",
    "battery": "the battery takes no more",
    "time and power": "there is no more time at this power",
    "budget": "the budget is spent",
    "price cap": "all other slots are dearer than the price cap",
    "average cap": "one more kWh would lift the average above its cap",
    "later price": "the rest is expected to be cheaper later",
    "site": "the site's limits leave no more",
}
_HOW: Final = {
    "greedy": "the cheapest slots first",
    "lp": "a linear program",
    "milp": "an integer program",
    "least laxity": "the car with the least time to spare first",
    "static share": "the same share for all",
}


class Stretch(NamedTuple):
    """A time of one power and one price."""

    start: datetime
    end: datetime
    power_kw: float
    kwh: float
    price: float


def stretches(plan: Plan, prices: Prices) -> list[Stretch]:
    """Return the stretches of a plan, each at one power and one price."""
    found: list[Stretch] = []
    for slot, (kwh, price) in enumerate(zip(plan.metered_kwh, prices.per_kwh, strict=True)):
        parts = [
            (max(each.start, plan.grid.edges[slot]), min(each.end, plan.grid.edges[slot + 1]), each.power_kw)
            for each in plan.segments
            if each.start < plan.grid.edges[slot + 1] and each.end > plan.grid.edges[slot]
        ]
        for start, end, power_kw in parts if kwh > 0 else []:
            if found and (found[-1].end, found[-1].power_kw, found[-1].price) == (start, power_kw, price):
                start, kwh = found[-1].start, kwh + found.pop().kwh
            found.append(Stretch(start, end, power_kw, kwh, price))
    return found


def explain_car(plan: Plan, prices: Prices, car: Car, zone: str) -> Iterator[str]:
    """Yield the lines that explain a plan for one car."""
    local, unit, outcome = ZoneInfo(zone), prices.currency, plan.outcome
    yield f"From {_when(plan.grid.edges[0], local)} to {_when(plan.grid.end, local)} ({zone}), {plan.grid.slots} slots"
    yield ""
    for each in stretches(plan, prices):
        yield (
            f"  {_when(each.start, local)} - {each.end.astimezone(local):%H:%M:%S}  {each.power_kw:6.2f} kW"
            f"  {each.kwh:7.3f} kWh  at {each.price:8.4f} {unit}/kWh  {each.kwh * each.price:7.2f} {unit}"
        )
    if not plan.segments:
        yield "  nothing is charged"
    yield ""
    yield f"Bought   {_bought(outcome, unit)}"
    yield from _left(outcome)
    yield f"Because  {WHY[outcome.binding]}"
    at_once = charge_at_once(plan.grid, prices, car, outcome.metered_kwh).outcome
    if outcome.metered_kwh > 0 and at_once.metered_kwh >= outcome.metered_kwh * (1 - 1e-6):
        yield f"At once  {at_once.cost:.2f} {unit}; this plan saves {_saved(at_once.cost, outcome.cost, unit)}"
    yield f"Found by {_how(plan.method, proven=plan.proven)}"


def explain_site(plan: SitePlan, site: Site, zone: str) -> Iterator[str]:
    """Yield the lines that explain a plan for a site."""
    local, unit = ZoneInfo(zone), site.prices.currency
    yield f"From {_when(plan.grid.edges[0], local)} to {_when(plan.grid.end, local)} ({zone}), {plan.grid.slots} slots"
    yield ""
    for number, (car, outcome) in enumerate(zip(site.cars, plan.outcomes, strict=True)):
        yield f"  {car.car_id or number!s:<12} {_bought(outcome, unit)}; {WHY[outcome.binding]}"
        yield from (f"  {'':<12} {line}" for line in _left(outcome))
    yield ""
    bound = f"no plan that serves as well is below {plan.bound:.2f}"
    yield f"Cost     {plan.cost:.2f} {unit} for all the site takes; {bound}"
    yield f"Peak     {plan.peak_kw:.2f} kW from the grid"
    yield f"Found by {_how(plan.method, proven=plan.proven)}"
    yield from (f"Note     {note}" for note in plan.notes)


def _when(at: datetime, local: ZoneInfo) -> str:
    return f"{at.astimezone(local):%a %d %b %H:%M:%S}"


def _bought(outcome: Outcome, unit: str) -> str:
    mean = outcome.cost / outcome.metered_kwh if outcome.metered_kwh > 0 else 0.0
    metered = f", {outcome.metered_kwh:.2f} at the meter," if outcome.metered_kwh > outcome.energy_kwh + 0.005 else ""
    return f"{outcome.energy_kwh:.2f} kWh{metered} for {outcome.cost:.2f} {unit} ({mean:.4f} {unit}/kWh)"


def _left(outcome: Outcome) -> Iterator[str]:
    if outcome.missing_kwh > 0:
        yield f"Missing  {outcome.missing_kwh:.2f} kWh"
    if outcome.put_off_kwh > 0:
        yield f"Put off  {outcome.put_off_kwh:.2f} kWh"


def _saved(at_once: float, cost: float, unit: str) -> str:
    share = f" ({(at_once - cost) / at_once:.0%})" if at_once > 0 else ""
    return f"{at_once - cost:.2f} {unit}{share}"


def _how(method: str, *, proven: bool) -> str:
    return f"{_HOW[method]}; {'proven: no plan does better' if proven else 'not proven'}"
