"""Many cars at once get what each of them would get alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from optimizer.car import Battery, Car
from optimizer.charger import plan_car
from optimizer.crowd import ROWS, crowd_of, plan_crowd
from optimizer.errors import InvalidProblem
from optimizer.grid import Grid
from optimizer.prices import Prices
from tests.optimizer.cars import PRICES, START, cases, grids


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Grid, Prices, list[Car]]:
    grid = draw(grids(most=8))
    price = draw(st.lists(PRICES, min_size=grid.slots, max_size=grid.slots))
    several = st.lists(cases().map(lambda case: structs.replace(case.car, limit_kw=None)), min_size=1, max_size=4)
    return grid, Prices(per_kwh=tuple(price)), draw(several)


@given(crowds())
@settings(max_examples=250)
def test_a_crowd_gets_what_each_car_gets_alone(case: tuple[Grid, Prices, list[Car]]) -> None:
    grid, prices, cars = case
    kwh = plan_crowd(grid, prices, crowd_of(grid, cars))
    for row, car in zip(kwh, cars, strict=True):
        assert row == pytest.approx(plan_car(grid, prices, car).metered_kwh, abs=1e-9)


def test_a_crowd_larger_than_a_piece_is_planned_to_its_last_car() -> None:
    grid = Grid(START, (900,) * 8)
    prices = Prices(per_kwh=(0.3, 0.1, 0.2, 0.1, 0.4, 0.2, 0.1, 0.5))
    cars = [Car(maximum_kw=11, leaves=grid.edges[1 + number % 8]) for number in range(ROWS + 7)]
    kwh = plan_crowd(grid, prices, crowd_of(grid, cars))
    assert kwh.shape == (ROWS + 7, 8)
    assert np.allclose(kwh[-1], plan_car(grid, prices, cars[-1]).metered_kwh)


def test_a_car_that_needs_more_than_arithmetic_is_refused() -> None:
    grid = Grid(START, (900,))
    for car in (
        Car(maximum_kw=11, limit_kw=(5.0,)),
        Car(maximum_kw=11, survival=(0.5,)),
        Car(maximum_kw=11, battery=Battery(capacity_kwh=50, soc=0.5, taper_from_soc=0.8)),
    ):
        with pytest.raises(InvalidProblem):
            crowd_of(grid, [car])
