"""What a site's plan does and costs, counted from its powers and energies alone, whoever made them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optimizer.charger import NEAR, binding_of
from optimizer.grid import Floats
from optimizer.limits import other_kw
from optimizer.plan import Method, Outcome, SitePlan
from optimizer.site_columns import SiteColumns


class Schedule(NamedTuple):
    """What a plan gives each car in each slot: a power for as long as its energy takes."""

    power_kw: Floats
    kwh: Floats
    """At the meter; less than the power gives in the slot where the car charges for a part of it."""


def held(columns: SiteColumns, power_kw: Floats) -> Schedule:
    """Return the schedule of powers that are held through their slots, until a car has all it wants and may pay for."""
    wanted = np.array([offer.wanted_kwh for offer in columns.offers])
    kwh = power_kw * columns.hours_of_cars
    before = np.cumsum(kwh, axis=1) - kwh
    kwh = np.clip(wanted[:, None] - before, 0.0, kwh)
    for number, offer in enumerate(columns.offers):
        if math.isfinite(offer.budget):
            kwh[number] *= _share_within(kwh[number] * offer.price, offer.budget)
    return Schedule(power_kw, kwh)


def site_cost(columns: SiteColumns, kwh: Floats) -> float:
    """Return what the site pays: energy from the grid, less what is given back, and the peak beyond the paid one."""
    prices = columns.site.prices
    flows_kwh = kwh.sum(axis=0) + other_kw(columns.site) * columns.site.grid.hours
    each_kwh = np.where(flows_kwh > 0, np.array(prices.per_kwh), columns.feed_in)
    beyond_kw = max(0.0, peak_of(columns, kwh) - prices.peak_so_far_kw)
    return float(each_kwh @ flows_kwh) + prices.peak_per_kw * beyond_kw


def peak_of(columns: SiteColumns, kwh: Floats) -> float:
    """Return the highest power from the grid, as it is billed: the mean over a slot (of a car, while it is there)."""
    hours = columns.hours_of_cars
    mean_kw = np.divide(kwh, hours, out=np.zeros_like(kwh), where=hours > 0)
    return float(np.max(mean_kw.sum(axis=0) + other_kw(columns.site), initial=0.0))


def expected_cost(columns: SiteColumns, kwh: Floats) -> float:
    """Return the cost with what is lost if cars leave before they have been charged."""
    cost = site_cost(columns, kwh)
    for number, car in enumerate(columns.site.cars):
        if car.survival is not None:
            gone = 1.0 - np.array(car.survival)
            cost += float(np.sum(gone * (car.loss_per_kwh - columns.marginal) * kwh[number]))
    return cost


def site_plan(
    columns: SiteColumns, schedule: Schedule, method: Method, bound: float, *, proven: bool, notes: Sequence[str] = ()
) -> SitePlan:
    """Return the plan that a schedule is."""
    most_kwh = columns.most_kwh()
    return SitePlan(
        grid=columns.site.grid,
        power_kw=_rows(schedule.power_kw),
        metered_kwh=_rows(schedule.kwh),
        outcomes=tuple(_outcome(columns, car, row, float(most_kwh[car])) for car, row in enumerate(schedule.kwh)),
        site_kw=tuple((schedule.power_kw.sum(axis=0) + other_kw(columns.site)).tolist()),
        peak_kw=peak_of(columns, schedule.kwh),
        cost=site_cost(columns, schedule.kwh),
        method=method,
        proven=proven,
        bound=bound,
        notes=tuple(notes),
    )


def _rows(values: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def _share_within(costs: Floats, budget: float) -> Floats:
    """Return the share of each cost that the budget still pays."""
    before = np.cumsum(costs) - costs
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(costs > 0, np.clip((budget - before) / costs, 0.0, 1.0), 1.0)
    return share


def _outcome(columns: SiteColumns, number: int, kwh: Floats, most_kwh: float) -> Outcome:
    car, offer = columns.site.cars[number], columns.offers[number]
    metered = float(kwh.sum())
    wanted = offer.wanted_kwh if math.isfinite(offer.wanted_kwh) else metered
    missing = max(0.0, wanted - metered) if wanted - metered > NEAR * wanted else 0.0
    alone = binding_of(offer, car, kwh.tolist())
    kept_back = metered * car.efficiency < most_kwh * (1 - NEAR) and alone not in ("wish", "battery")
    return Outcome(
        energy_kwh=metered * car.efficiency,
        metered_kwh=metered,
        cost=float(offer.price @ kwh),
        missing_kwh=missing * car.efficiency,
        binding="site" if kept_back else alone,
    )
