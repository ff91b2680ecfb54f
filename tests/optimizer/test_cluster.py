"""Sites that share a feeder keep its limit by a price signal, and the bound on what that costs holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import highspy
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.car import Car, Wish
from optimizer.check import violations
from optimizer.cluster import Feeder, InOrder, SiteShard, coordinate
from optimizer.grid import Grid
from optimizer.plan import Outcome, SitePlan
from optimizer.prices import Prices
from optimizer.site import Site
from optimizer.site_plan import plan_site

GRID = Grid(datetime(2026, 1, 15, 12, tzinfo=UTC), (3600,) * 6)
MOST = 2.0


def site(energies: Sequence[float], prices: Sequence[float], limit_kw: float, margin: float = 0.0) -> Site:
    cars = tuple(Car(car_id=f"{n}", maximum_kw=11.0, wish=Wish(energy_kwh=kwh)) for n, kwh in enumerate(energies))
    base = tuple(0.5 * (slot % 3) for slot in range(GRID.slots))
    return Site(
        grid=GRID,
        prices=Prices(per_kwh=tuple(prices)),
        cars=cars,
        grid_limit_kw=(limit_kw,) * GRID.slots,
        base_load_kw=base,
        margin=margin,
    )


def least_cost(sites: Sequence[Site], limit_kw: Sequence[float] | None = None) -> tuple[float, list[np.ndarray], float]:
    """Return cost, powers and missing energy of the best common plan: one linear program, cars of all sites in it."""
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    powers, missing = [], []
    for each in sites:
        own = np.array(
            [[_column(highs, each.prices.per_kwh[t], car.maximum_kw) for t in range(GRID.slots)] for car in each.cars]
        )
        powers.append(own.reshape(-1, GRID.slots))
        for car, row in zip(each.cars, powers[-1], strict=True):
            lacking = _column(highs, 1000.0, np.inf)
            missing.append(lacking)
            energy = car.wanted_kwh()
            highs.addRow(energy, energy, len(row) + 1, [*map(int, row), lacking], [1.0] * (len(row) + 1))
        for t in range(GRID.slots):
            most = (each.grid_limit_kw or ())[t] * (1 - each.margin) - (each.base_load_kw or ())[t]
            column = [int(c) for c in powers[-1][:, t]]
            highs.addRow(-np.inf, max(0.0, most), len(column), column, [1.0] * len(column))
    for t in range(GRID.slots) if limit_kw is not None else ():
        column = [int(c) for own in powers for c in own[:, t]]
        highs.addRow(-np.inf, (limit_kw or ())[t], len(column), column, [1.0] * len(column))
    highs.run()
    values = np.array(highs.getSolution().col_value)
    lacks = float(values[missing].sum())
    standing = sum(float(np.dot(each.prices.per_kwh, each.base_load_kw or ())) for each in sites)
    cost = highs.getInfo().objective_function_value - 1000.0 * lacks + standing
    return cost, [values[own] for own in powers], lacks


def _column(highs: highspy.Highs, cost: float, upper: float) -> int:
    highs.addCol(cost, 0.0, upper, 0, [], [])
    return int(highs.getNumCol()) - 1


def plan_exactly(each: Site) -> SitePlan:
    cost, (powers,), lacks = least_cost([each])
    base = np.array(each.base_load_kw or ())
    outcome = Outcome(energy_kwh=0.0, metered_kwh=0.0, cost=0.0, missing_kwh=lacks)
    return SitePlan(
        grid=GRID,
        power_kw=tuple(map(tuple, powers.tolist())),
        metered_kwh=tuple(map(tuple, powers.tolist())),
        outcomes=(outcome,),
        site_kw=tuple((powers.sum(axis=0) + base).tolist()),
        peak_kw=0.0,
        cost=cost,
        method="lp",
        proven=True,
        bound=cost,
    )


def shards_of(sites: Sequence[Site], parts: int) -> InOrder:
    return InOrder([SiteShard(sites[start::parts], plan_exactly) for start in range(parts)])


prices = st.lists(st.sampled_from([0.1, 0.15, 0.2, 0.3]), min_size=GRID.slots, max_size=GRID.slots)
sites = st.lists(
    st.builds(
        site,
        st.lists(st.integers(1, 30).map(float), min_size=1, max_size=3),
        prices,
        st.sampled_from([12.0, 30.0]),
        st.sampled_from([0.0, 0.1]),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(sites, st.floats(0.4, 1.2), st.integers(1, 2))
def test_a_common_plan_keeps_the_limit_and_its_bound_is_below_the_best_there_is(
    drawn: list[Site], tightness: float, parts: int
) -> None:
    wanted = sum(car.wanted_kwh() for each in drawn for car in each.cars)
    limit = [tightness * wanted / GRID.slots * (1 + slot % 2) for slot in range(GRID.slots)]
    feeder = Feeder(grid=GRID, limit_kw=tuple(limit), most_per_kwh=MOST)
    shards = shards_of(drawn, parts)
    found = coordinate(feeder, shards, rounds=20)
    assert np.all(found.load_kw <= np.array(limit) + 1e-6)
    kept = sum(np.array(plan.power_kw).sum(axis=0) for shard in shards.shards for plan in shard.plans)
    assert kept == pytest.approx(found.load_kw)
    assert sum(plan.cost for shard in shards.shards for plan in shard.plans) == pytest.approx(found.cost)
    _, _, lacks_alone = least_cost(drawn)
    best, _, lacks = least_cost(drawn, limit)
    if lacks <= lacks_alone + 1e-6:
        assert found.bound <= best + 1e-6
    if found.gap is not None:
        assert best <= found.cost + 1e-6
        assert (found.cost - best) / abs(found.cost) <= found.gap + 1e-6


def test_without_a_shortage_nobody_pays_a_surcharge() -> None:
    own = [site([20.0, 5.0], [0.1, 0.2, 0.3, 0.1, 0.2, 0.3], 30.0) for _ in range(3)]
    feeder = Feeder(grid=GRID, limit_kw=(200.0,) * GRID.slots, most_per_kwh=MOST)
    found = coordinate(feeder, shards_of(own, 2))
    assert found.rounds == 1
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert found.cost == pytest.approx(sum(plan_exactly(each).cost for each in own))


def test_who_is_flexible_makes_room_for_who_is_not() -> None:
    """One site can charge at any hour, the other one only in the first: the cheap hour is the other one's."""
    flexible = site([22.0], [0.1, 0.11, 0.12, 0.13, 0.14, 0.15], 30.0)
    bound_to = msgspec.structs.replace(
        site([11.0], [0.1] * 6, 30.0),
        cars=(Car(maximum_kw=11.0, wish=Wish(energy_kwh=10.0)),),
    )
    late_is_dear = msgspec.structs.replace(bound_to, prices=Prices(per_kwh=(0.1, 1.0, 1.0, 1.0, 1.0, 1.0)))
    feeder = Feeder(grid=GRID, limit_kw=(11.0,) * GRID.slots, most_per_kwh=MOST)
    shards = shards_of([flexible, late_is_dear], 2)
    found = coordinate(feeder, shards, rounds=60)
    best, _, _ = least_cost([flexible, late_is_dear], feeder.limit_kw)
    assert found.gap is not None
    assert found.gap < 0.05
    assert found.cost <= best * 1.05
    assert found.surcharge[0] > 0.01


def test_what_a_feeder_cannot_carry_is_missing_and_nothing_is_called_proven() -> None:
    own = [site([30.0, 30.0], [0.1] * 6, 60.0) for _ in range(2)]
    feeder = Feeder(grid=GRID, limit_kw=(10.0,) * GRID.slots, most_per_kwh=MOST)
    found = coordinate(feeder, shards_of(own, 2), rounds=20)
    assert found.missing_kwh == pytest.approx(60.0)
    assert found.gap is None


def test_a_limit_for_another_number_of_slots_or_none_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="2 values for 6 slots"):
        Feeder(grid=GRID, limit_kw=(1.0, 2.0), most_per_kwh=MOST)
    with pytest.raises(ValueError, match="a round at least"):
        coordinate(Feeder(grid=GRID, limit_kw=(1.0,) * 6, most_per_kwh=MOST), InOrder([]), rounds=0)


def test_sites_with_sun_and_minimum_currents_agree_too() -> None:
    """The site planner itself, with all that it knows."""
    sun = tuple(4.0 if slot in (1, 2) else 0.0 for slot in range(GRID.slots))
    own = [
        msgspec.structs.replace(
            site([12.0, 9.0], [0.2, 0.1, 0.1, 0.2, 0.3, 0.3], 25.0),
            pv_kw=sun,
            cars=tuple(Car(car_id=name, maximum_kw=11.0, minimum_kw=4.14, wish=Wish(energy_kwh=10.0)) for name in "ab"),
        )
        for _ in range(3)
    ]
    limit = (30.0,) * GRID.slots
    shards = InOrder([SiteShard(own, plan_site)])
    found = coordinate(Feeder(grid=GRID, limit_kw=limit, most_per_kwh=MOST), shards, rounds=20)
    assert np.all(found.load_kw <= np.array(limit) + 1e-6)
    assert found.missing_kwh == pytest.approx(0.0, abs=1e-3)
    for each, plan in zip(own, shards.shards[0].plans, strict=True):
        assert violations(each, plan.power_kw, plan.metered_kwh) == []
