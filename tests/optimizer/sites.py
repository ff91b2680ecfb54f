"""Random sites: few cars and slots, so that a model of all of it is solved in milliseconds, and every part at once."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from optimizer.car import PHASES, Car, Wish
from optimizer.check import Violation, violations
from optimizer.grid import Grid
from optimizer.plan import SitePlan
from optimizer.prices import Prices
from optimizer.site import Circuit, Site
from tests.optimizer.cars import PRICES, START, grids, maybe

SITE_WISHES = st.builds(
    Wish,
    energy_kwh=st.sampled_from([0.5, 2.0, 5.0, 20.0]),
    budget=st.none() | st.sampled_from([0.3, 1.0]),
    price_cap_per_kwh=maybe(st.sampled_from([0.15, 0.3])),
    average_cap_per_kwh=st.none() | st.sampled_from([0.12, 0.2]),
    late=st.booleans(),
)
WIRED = st.sampled_from([PHASES, ("L1",), ("L2",), ("L3",), ("L2", "L3")])


def kw_of_amps(amps: float, phases: int) -> float:
    """Return the power of a current that flows on each of so many phases of 230 V."""
    return amps * phases * 0.230


def site(*cars: Car, slots: int = 4, price: Any = None, **more: Any) -> Site:
    """Return a site with hourly slots."""
    prices = Prices(per_kwh=tuple(price or [0.2] * slots))
    return Site(grid=Grid(START, (3600,) * slots), prices=prices, cars=cars, **more)


def broken(site: Site, plan: SitePlan) -> list[Violation]:
    return violations(site, plan.power_kw, plan.metered_kwh)


@st.composite
def sites(draw: st.DrawFn, *, minimum: bool = True, most_cars: int = 4) -> Site:
    grid = draw(grids(most=6))
    numbers = st.integers(0, grid.slots)

    def series(*values: float) -> st.SearchStrategy[tuple[float, ...]]:
        return st.lists(st.sampled_from(values), min_size=grid.slots, max_size=grid.slots).map(tuple)

    circuits = (
        Circuit(circuit_id="main", limit_a=draw(st.sampled_from([10.0, 25.0, 63.0]))),
        Circuit(
            circuit_id="east",
            parent_id="main",
            limit_a=draw(st.sampled_from([8.0, 20.0])),
            other_load_a=draw(st.sampled_from([(), ((3.0, 0.0, 12.0),)])),
        ),
    )
    cars = []
    for number in range(draw(st.integers(1, most_cars))):
        begin, end = sorted((draw(numbers), draw(numbers)))
        phases = draw(WIRED)
        cars.append(
            Car(
                car_id=str(number),
                maximum_kw=draw(st.sampled_from([11.0, 22.0])) / 3 * len(phases),
                minimum_kw=1.38 * len(phases) if minimum and draw(st.booleans()) else 0.0,
                phases=phases,
                efficiency=draw(st.sampled_from([1.0, 0.9])),
                circuit_id=draw(st.sampled_from(["main", "east"])),
                arrives=grid.edges[begin],
                leaves=grid.edges[end],
                priority=draw(st.sampled_from([0, 0, 1])),
                survival=draw(st.none() | series(1.0, 0.8, 0.5)),
                loss_per_kwh=0.5,
                wish=draw(SITE_WISHES),
            )
        )
    price = Prices(
        per_kwh=draw(st.lists(PRICES, min_size=grid.slots, max_size=grid.slots).map(tuple)),
        feed_in_per_kwh=draw(st.none() | series(0.0, 0.08)),
        peak_per_kw=draw(st.sampled_from([0.0, 0.0, 0.3])),
        peak_so_far_kw=draw(st.sampled_from([0.0, 4.0])),
    )
    return Site(
        grid=grid,
        prices=price,
        cars=tuple(cars),
        circuits=circuits,
        grid_limit_kw=draw(st.none() | series(0.0, 6.0, 12.0, 30.0)),
        base_load_kw=draw(st.none() | series(0.0, 2.0, 5.0)),
        pv_kw=draw(st.none() | series(0.0, 3.0, 9.0)),
        margin=draw(st.sampled_from([0.0, 0.1])),
        fairness=draw(st.sampled_from(["share", "energy", "drivers"])),
    )


def with_cars(site: Site, cars: tuple[Car, ...]) -> Site:
    return structs.replace(site, cars=cars)
