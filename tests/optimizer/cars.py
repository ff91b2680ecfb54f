"""Random cars, prices and grids, on few round values so that ties, empty windows and exact fits are common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import strategies as st

from optimizer.car import Battery, Car, Wish
from optimizer.grid import Grid
from optimizer.plan import Plan
from optimizer.prices import Prices

START = datetime(2026, 3, 28, 18, 7, tzinfo=UTC)

PRICES = st.sampled_from([-0.2, -0.05, 0.0, 0.1, 0.15, 0.15, 0.2, 0.3, 0.45])


class Case(NamedTuple):
    grid: Grid
    prices: Prices
    car: Car


def maybe(strategy: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | strategy


WISHES = st.builds(
    Wish,
    energy_kwh=maybe(st.sampled_from([0.0, 0.3, 2.0, 7.5, 20.0, 100.0])),
    budget=maybe(st.sampled_from([0.0, 0.4, 1.0, 3.0])),
    price_cap_per_kwh=maybe(st.sampled_from([-0.1, 0.1, 0.15, 0.3])),
    average_cap_per_kwh=maybe(st.sampled_from([-0.05, 0.1, 0.14, 0.2])),
    later_price_per_kwh=maybe(st.sampled_from([0.1, 0.2])),
    late=st.booleans(),
)


@st.composite
def grids(draw: st.DrawFn, most: int = 12) -> Grid:
    first_s = draw(st.sampled_from([60, 480, 900]))
    return Grid(START, (first_s, *[900] * (draw(st.integers(1, most)) - 1)))


@st.composite
def cases(draw: st.DrawFn, wishes: st.SearchStrategy[Wish] = WISHES) -> Case:
    grid = draw(grids())
    slots = st.lists(PRICES, min_size=grid.slots, max_size=grid.slots)
    minutes = st.integers(-10, grid.slots * 15 + 10)
    moments = st.none() | minutes.map(lambda after: START + timedelta(minutes=after))
    limits = st.lists(st.sampled_from([0.0, 3.0, 6.0, 22.0]), min_size=grid.slots, max_size=grid.slots)
    car = Car(
        maximum_kw=draw(st.sampled_from([3.68, 7.36, 11.0])),
        minimum_kw=draw(st.sampled_from([0.0, 1.38, 3.68])),
        efficiency=draw(st.sampled_from([1.0, 0.9])),
        arrives=draw(moments),
        leaves=draw(moments),
        limit_kw=draw(st.none() | limits.map(tuple)),
        wish=draw(wishes),
    )
    return Case(grid, Prices(per_kwh=tuple(draw(slots))), car)


@st.composite
def tapering_cases(draw: st.DrawFn) -> Case:
    case = draw(cases())
    battery = Battery(capacity_kwh=8.0, soc=draw(st.sampled_from([0.1, 0.5, 0.85])), taper_from_soc=0.8)
    wish = Wish(target_soc=draw(st.sampled_from([0.7, 0.9, 1.0])), late=draw(st.booleans()))
    car = Car(maximum_kw=case.car.maximum_kw, minimum_kw=1.38, efficiency=0.9, wish=wish, battery=battery)
    return Case(case.grid, case.prices, car)


def delivered_by_segments(plan: Plan) -> float:
    """Return the energy at the meter that the segments stand for, for a car that takes all it is offered."""
    return sum((segment.end - segment.start).total_seconds() / 3600 * segment.power_kw for segment in plan.segments)
