"""One site: what is shared is shared fairly, under every limit, and then at the least cost."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from msgspec import structs

from optimizer.car import Battery, Car, Wish
from optimizer.check import violations
from optimizer.errors import InvalidProblem
from optimizer.fairness import fair_kwh
from optimizer.grid import Grid
from optimizer.minimum import rounded
from optimizer.plan import SitePlan
from optimizer.prices import Prices
from optimizer.replan import carried, changes, steady
from optimizer.segments import segments_of_site
from optimizer.site import Circuit, Site
from optimizer.site_columns import columns_of
from optimizer.site_greedy import least_laxity, static_share
from optimizer.site_plan import least_cost, plan_site
from tests.optimizer.cars import START
from tests.optimizer.sites import broken, kw_of_amps, site, sites, with_cars


def car(kwh: float, kw: float = 10.0, **more: Any) -> Car:
    return Car(maximum_kw=kw, wish=Wish(energy_kwh=kwh), **more)


def got(plan: SitePlan) -> list[float]:
    return [outcome.energy_kwh for outcome in plan.outcomes]


# Cost.


def test_equal_cars_under_one_limit_fill_the_cheapest_slots_by_their_number() -> None:
    """Three cars, and a limit for two of them: the optimum is the sorted prices, each used twice."""
    plan = plan_site(site(*[car(20.0)] * 3, slots=5, price=(0.5, 0.1, 0.3, 0.2, 0.4), grid_limit_kw=(20.0,) * 5))
    assert plan.cost == pytest.approx(20 * (0.1 + 0.2 + 0.3))
    assert plan.proven
    assert plan.bound == pytest.approx(plan.cost)


def test_of_equally_cheap_plans_the_earliest_is_taken_and_the_latest_for_who_wants_that() -> None:
    late = structs.replace(car(10.0), wish=Wish(energy_kwh=10.0, late=True))
    plan = plan_site(site(car(10.0), late))
    assert plan.power_kw[0] == pytest.approx((10, 0, 0, 0))
    assert plan.power_kw[1] == pytest.approx((0, 0, 0, 10))


def test_the_order_of_the_cars_changes_nothing_that_is_paid() -> None:
    cars = [car(7.0), car(12.0, 5.0), car(20.0, arrives=START), car(3.0, 3.0)]
    costs = []
    for seed in range(4):
        random.Random(seed).shuffle(cars)
        costs.append(plan_site(site(*cars, price=(0.3, 0.1, 0.2, 0.1), grid_limit_kw=(14.0,) * 4)).cost)
    assert costs == pytest.approx([costs[0]] * 4)


@given(sites(minimum=False))
@settings(max_examples=40)
def test_more_room_never_costs_more_for_the_same_energy(narrow: Site) -> None:
    plan = plan_site(narrow)
    wishes = zip(narrow.cars, plan.outcomes, strict=True)
    cars = tuple(
        structs.replace(each, wish=structs.replace(each.wish, energy_kwh=outcome.energy_kwh), survival=None)
        for each, outcome in wishes
    )
    same = with_cars(narrow, cars)
    wide = structs.replace(same, margin=0.0, grid_limit_kw=None)
    assert plan_site(wide).cost <= plan_site(same).cost + 1e-4


def test_the_sun_is_used_before_anything_is_bought() -> None:
    plan = plan_site(site(car(10.0), price=(0.1, 0.3, 0.3, 0.3), pv_kw=(0.0, 0.0, 8.0, 0.0)))
    assert plan.power_kw[0] == pytest.approx((2, 0, 8, 0))
    assert plan.cost == pytest.approx(0.2)


def test_energy_that_could_be_sold_dear_is_sold() -> None:
    prices = Prices(per_kwh=(0.1, 0.3, 0.3, 0.3), feed_in_per_kwh=(0.0, 0.0, 0.2, 0.0))
    sunny = structs.replace(site(car(10.0), pv_kw=(0.0, 0.0, 8.0, 0.0)), prices=prices)
    plan = plan_site(sunny)
    assert plan.power_kw[0] == pytest.approx((10, 0, 0, 0))
    assert plan.cost == pytest.approx(10 * 0.1 - 8 * 0.2)


def test_a_price_of_the_peak_spreads_the_load_and_a_peak_already_paid_does_not() -> None:
    prices = Prices(per_kwh=(0.2, 0.2, 0.2, 0.21), peak_per_kw=1.0)
    spread = plan_site(structs.replace(site(car(8.0)), prices=prices))
    assert spread.power_kw[0] == pytest.approx((2, 2, 2, 2))
    paid = structs.replace(prices, peak_so_far_kw=4.0)
    assert plan_site(structs.replace(site(car(8.0)), prices=paid)).power_kw[0] == pytest.approx((4, 4, 0, 0))


# Limits.


def test_every_limit_has_its_own_other_load_and_its_margin() -> None:
    main = Circuit(circuit_id="main", limit_a=40.0, other_load_a=((10.0, 0.0, 4.0),))
    plan = plan_site(site(car(100.0, 22.0, circuit_id="main"), circuits=(main,), margin=0.1))
    assert plan.power_kw[0] == pytest.approx([kw_of_amps(40 * 0.9 - 10, 3)] * 4)
    plan = plan_site(site(car(100.0, 22.0), grid_limit_kw=(20.0,) * 4, base_load_kw=(3.0,) * 4, margin=0.1))
    assert plan.power_kw[0] == pytest.approx([15.0] * 4)


def test_where_the_building_takes_all_cars_get_nothing_and_the_plan_stands() -> None:
    plan = plan_site(site(car(10.0), grid_limit_kw=(5.0,) * 4, base_load_kw=(9.0, 9.0, 9.0, 0.0)))
    assert plan.power_kw[0] == pytest.approx((0, 0, 0, 5))
    assert plan.outcomes[0].binding == "site"


def test_one_phase_cars_count_on_their_own_phase() -> None:
    """Two cars of 16 A on L1 and on L3 do not add up to 32 A; on one phase they do."""
    fuse = (Circuit(circuit_id="fuse", limit_a=16.0),)
    full = kw_of_amps(16, 1)
    first = Car(maximum_kw=full, phases=("L1",), circuit_id="fuse")
    apart = plan_site(site(first, structs.replace(first, phases=("L3",)), circuits=fuse))
    assert got(apart) == pytest.approx([4 * full] * 2)
    together = plan_site(site(first, first, circuits=fuse))
    assert got(together) == pytest.approx([2 * full] * 2)


def test_a_circuit_binds_what_hangs_on_the_circuits_below_it() -> None:
    tree = (
        Circuit(circuit_id="main", limit_a=20.0),
        Circuit(circuit_id="east", limit_a=16.0, parent_id="main"),
        Circuit(circuit_id="west", limit_a=16.0, parent_id="main"),
    )
    cars = [Car(maximum_kw=11.04, circuit_id=name) for name in ("east", "west")]
    plan = plan_site(site(*cars, circuits=tree))
    assert sum(got(plan)) == pytest.approx(4 * kw_of_amps(20, 3))
    assert plan_site(site(cars[0], circuits=tree)).outcomes[0].energy_kwh == pytest.approx(4 * kw_of_amps(16, 3))


def test_a_site_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(InvalidProblem, match="no circuit"):
        site(car(1.0, circuit_id="moon"), circuits=(Circuit(circuit_id="main", limit_a=1),))
    with pytest.raises(InvalidProblem, match="hangs on itself"):
        site(circuits=(Circuit(circuit_id="a", limit_a=1, parent_id="a"),))
    with pytest.raises(InvalidProblem, match="3 values for 4 slots"):
        site(pv_kw=(1.0,) * 3)


# Who gets how much.


def test_the_least_share_is_raised_first_and_then_the_next() -> None:
    """The one that leaves first is stuck at 40 %; the others get the same share of what they could not give to it."""
    cars = (car(10.0, leaves=START + timedelta(hours=1)), car(10.0, 30.0), car(20.0, 30.0))
    plan = plan_site(site(*cars, slots=2, grid_limit_kw=(4.0, 26.0)))
    assert got(plan) == pytest.approx([4, 26 / 3, 52 / 3], abs=1e-4)
    assert not any(outcome.binding == "wish" for outcome in plan.outcomes)


def test_nobody_who_asks_for_the_impossible_drags_the_others_down() -> None:
    plan = plan_site(site(car(1000.0, 2.0), car(10.0), slots=2, grid_limit_kw=(7.0, 7.0)))
    assert got(plan) == pytest.approx([4, 10], abs=1e-4)
    assert plan.outcomes[0].binding == "time and power"


def test_an_operator_may_choose_the_most_energy_or_the_most_drivers() -> None:
    narrow = site(car(10.0), car(6.0), car(6.0, efficiency=0.9), slots=1, grid_limit_kw=(12.7,))
    assert got(plan_site(narrow)) == pytest.approx([5.6, 3.4, 3.4], abs=0.1)
    most_energy = structs.replace(narrow, fairness="energy")
    assert got(plan_site(most_energy))[2] == pytest.approx(0, abs=1e-3)
    most_drivers = structs.replace(narrow, fairness="drivers")
    assert got(plan_site(most_drivers)) == pytest.approx([0, 6, 6], abs=0.05)


def test_a_higher_priority_gets_all_it_can_before_others_get_anything() -> None:
    plan = plan_site(site(car(10.0), car(10.0, priority=1), slots=1, grid_limit_kw=(12.0,)))
    assert got(plan) == pytest.approx([2, 10], abs=1e-4)


def test_who_may_leave_early_goes_first() -> None:
    wavering = car(5.0, 5.0, survival=(1.0, 0.5, 0.4, 0.3), loss_per_kwh=1.0)
    plan = plan_site(site(car(5.0, 5.0), wavering, slots=4, price=(0.2, 0.1, 0.1, 0.1), grid_limit_kw=(5.0,) * 4))
    assert plan.power_kw[0] == pytest.approx((0, 5, 0, 0), abs=1e-4)
    assert plan.power_kw[1] == pytest.approx((5, 0, 0, 0), abs=1e-4)


# The minimum current.


def test_where_not_even_the_minimum_currents_fit_cars_take_turns() -> None:
    cars = [car(4.14 * 2, 11.0, minimum_kw=4.14, car_id=str(number)) for number in range(4)]
    many = Site(
        grid=Grid(START, (900,) * 16), prices=Prices(per_kwh=(0.2,) * 16), cars=tuple(cars), grid_limit_kw=(5,) * 16
    )
    plan = plan_site(many)
    assert not broken(many, plan)
    assert all(sum(row[slot] > 0 for row in plan.power_kw) <= 1 for slot in range(16))
    assert got(plan) == pytest.approx([5.0] * 4, rel=0.15)


def test_turns_follow_the_share_that_is_owed_and_not_who_wants_most() -> None:
    """A car that wants little and leaves early is not passed over for one that is owed more kWh."""
    small = car(1.5, 4.14, minimum_kw=4.14, leaves=START + timedelta(hours=1))
    large = car(10.0, 22.0, minimum_kw=4.14)
    grid = Grid(START, (900,) * 8)
    shared = Site(grid=grid, prices=Prices(per_kwh=(0.2,) * 8), cars=(small, large, large), grid_limit_kw=(5.0,) * 8)
    columns = columns_of(shared)
    target_kwh, _ = fair_kwh(columns, columns.most_kwh(), 10.0)
    mean_kw, _ = least_cost(columns, target_kwh, columns.most_kwh(), 10.0)
    schedule = rounded(columns, mean_kw, target_kwh)
    assert schedule.kwh[0].sum() > 0.6 * target_kwh[0]


def test_a_slot_below_the_minimum_is_charged_for_a_part_at_the_minimum() -> None:
    narrow = site(car(11.0, minimum_kw=4.0), slots=2, price=(0.1, 0.2))
    plan = plan_site(narrow)
    assert plan.power_kw[0] == pytest.approx((10, 4))
    assert plan.metered_kwh[0] == pytest.approx((10, 1), abs=1e-4)
    (segments,) = segments_of_site(narrow, plan)
    assert [each.power_kw for each in segments] == [10, 4]
    assert (segments[1].end - segments[1].start).total_seconds() == pytest.approx(900, abs=1)


def test_no_car_is_switched_on_for_less_than_the_minimum_on_time() -> None:
    narrow = site(car(10.1, minimum_kw=4.0), slots=2, price=(0.1, 0.2), minimum_on_s=600)
    plan = plan_site(narrow)
    assert plan.metered_kwh[0][1] == pytest.approx(4 * 600 / 3600, abs=1e-4)
    assert got(plan) == pytest.approx([10.1])


@given(sites())
@settings(max_examples=60)
def test_the_seconds_of_a_site_are_its_powers_and_its_energies(any_site: Site) -> None:
    """At no second is any car above the power that was checked against the limits, and each gets its energy."""
    plan = plan_site(any_site)
    for powers, kwh, segments in zip(plan.power_kw, plan.metered_kwh, segments_of_site(any_site, plan), strict=True):
        given_kwh = 0.0
        for each in segments:
            given_kwh += (each.end - each.start).total_seconds() / 3600 * each.power_kw
            for slot, (begin, end) in enumerate(pairwise(plan.grid.edges)):
                if each.start < end and each.end > begin:
                    assert each.power_kw <= powers[slot] + 1e-6
        assert given_kwh == pytest.approx(sum(kwh), abs=1e-4)


def test_a_battery_that_tapers_is_never_offered_more_than_was_checked() -> None:
    battery = Battery(capacity_kwh=20, soc=0.7, taper_from_soc=0.8)
    tapering = Car(maximum_kw=10, battery=battery, wish=Wish(target_soc=0.95))
    narrow = site(tapering, slots=2, grid_limit_kw=(5.0, 5.0))
    (segments,) = segments_of_site(narrow, plan_site(narrow))
    assert max(each.power_kw for each in segments) <= 5.0 + 1e-6


def test_a_site_without_cars_has_an_empty_plan() -> None:
    plan = plan_site(site(base_load_kw=(3.0,) * 4))
    assert (plan.power_kw, plan.proven) == ((), True)
    assert plan.cost == pytest.approx(4 * 3 * 0.2)


# When the solver is not there, and what is never trusted.


def test_without_time_for_the_solver_the_plan_is_greedy_and_says_why() -> None:
    narrow = site(*[car(15.0, minimum_kw=4.0)] * 3, price=(0.1, 0.2, 0.3, 0.15), grid_limit_kw=(13.0,) * 4)
    plan = plan_site(narrow, time_limit_s=0.0)
    assert (plan.method, plan.proven) == ("least laxity", False)
    assert "Time limit" in plan.notes[0]
    assert not broken(narrow, plan)


def test_what_time_does_not_suffice_to_prove_is_not_called_proven() -> None:
    """Forty cars take turns at a connection for two of them, which no solver settles in a second."""
    rng = random.Random(5)
    grid = Grid(START, (900,) * 96)
    cars = [
        Car(
            maximum_kw=rng.choice([7.36, 11.0, 22.0]),
            minimum_kw=4.14,
            arrives=grid.edges[rng.randrange(40)],
            leaves=grid.edges[rng.randrange(50, 96)],
            wish=Wish(energy_kwh=rng.uniform(5, 45)),
        )
        for _ in range(40)
    ]
    price = tuple(round(rng.gauss(0.2, 0.05), 4) for _ in range(96))
    crowded = Site(grid=grid, prices=Prices(per_kwh=price), cars=tuple(cars), grid_limit_kw=(11.0,) * 96)
    plan = plan_site(crowded, time_limit_s=1.0)
    assert not plan.proven
    assert plan.notes
    assert not broken(crowded, plan)


@given(sites())
@settings(max_examples=100)
def test_greedy_plans_and_static_shares_keep_every_limit(any_site: Site) -> None:
    columns = columns_of(any_site)
    for schedule in (least_laxity(columns), static_share(columns)):
        assert not violations(any_site, schedule.power_kw.tolist(), schedule.kwh.tolist())


def test_a_static_share_is_safe_whoever_else_charges() -> None:
    schedule = static_share(columns_of(site(car(99.0), car(99.0), grid_limit_kw=(9.0, 6.0, 9.0, 9.0))))
    assert schedule.power_kw.tolist() == [pytest.approx([3.0] * 4)] * 2
    squeezed = site(car(99.0, minimum_kw=4.0), car(99.0, minimum_kw=4.0, priority=1), grid_limit_kw=(6.0,) * 4)
    assert static_share(columns_of(squeezed)).power_kw.tolist() == [[0.0] * 4, [6.0] * 4]


PLANTED = [
    ("grid limit", {"grid_limit_kw": (9.0,) * 4}, (10, 0, 0, 0), None),
    ("circuit main on L2", {"circuits": (Circuit(circuit_id="main", limit_a=14.0),)}, (10, 0, 0, 0), None),
    ("less than its minimum", {}, (3, 0, 0, 0), None),
    ("more than its maximum", {}, (11, 0, 0, 0), None),
    ("power below zero", {}, (-1, 0, 0, 0), None),
    ("power while it is not there", {}, (0, 0, 0, 5), None),
    ("dearer than its price cap", {}, (0, 0, 5, 0), None),
    ("more than it wants", {}, (10, 10, 0, 0), None),
    ("energy that its power does not give", {}, (5, 0, 0, 0), (6, 0, 0, 0)),
    ("beyond its budget", {}, (0, 9, 0, 0), None),
    ("dearer than its cap on the average", {}, (0, 7, 0, 0), None),
    ("other cars or slots", {}, (0, 7, 0), None),
]


@pytest.mark.parametrize(("what", "limits", "powers", "kwh"), PLANTED, ids=[row[0] for row in PLANTED])
def test_the_checker_sees_a_broken_limit(
    what: str, limits: dict[str, Any], powers: tuple[float, ...], kwh: object
) -> None:
    wish = Wish(energy_kwh=15.0, budget=2.2, price_cap_per_kwh=0.3, average_cap_per_kwh=0.2)
    one = Car(maximum_kw=10, minimum_kw=4, leaves=START.replace(hour=21), circuit_id="main", wish=wish)
    checked = site(one, price=(0.1, 0.25, 0.4, 0.1), **limits)
    found = violations(checked, [powers], [kwh or powers])  # type: ignore[list-item]
    assert any(what in each.what for each in found), found
    assert not violations(checked, [(5, 0, 0, 0)], [(5, 0, 0, 0)])


# Planning again.


def test_a_plan_in_force_is_kept_while_a_new_one_saves_too_little() -> None:
    was = site(car(10.0), price=(0.20, 0.21, 0.3, 0.3))
    now = site(car(10.0), price=(0.22, 0.21, 0.3, 0.3))
    old, new = plan_site(was), plan_site(now)
    assert changes(np.array(new.power_kw), np.array(old.power_kw)) == 2
    assert steady(now, new, old.power_kw, change_cost=0.1).power_kw == old.power_kw
    assert steady(now, new, old.power_kw, change_cost=0.01).power_kw == new.power_kw


def test_a_plan_in_force_that_breaks_a_limit_or_serves_less_is_given_up() -> None:
    was = site(car(10.0))
    old = plan_site(was)
    lower = site(car(10.0), grid_limit_kw=(5.0,) * 4)
    assert steady(lower, plan_site(lower), old.power_kw, change_cost=100.0).power_kw[0][0] == pytest.approx(5)
    more = site(car(20.0))
    assert got(steady(more, plan_site(more), old.power_kw, change_cost=100.0)) == pytest.approx([20])


def test_old_powers_are_carried_to_a_new_grid() -> None:
    old = Grid(START, (3600, 3600, 3600))
    new = Grid(old.edges[1].replace(minute=30), (1800, 3600, 3600, 3600))
    assert carried(old, (1.0, 2.0, 3.0), new) == [2.0, 2.0, 3.0, 0.0]
