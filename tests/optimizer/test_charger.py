"""One charger: every kind of request is met at the least cost, or as far as it can be, with the reason."""

from __future__ import annotations

import math
from datetime import date, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from optimizer.car import Battery, Car, Wish
from optimizer.charger import charge_at_once, plan_car
from optimizer.errors import InvalidProblem, SolverFailed
from optimizer.formulation import solve_car
from optimizer.grid import Grid, day_grid, make_grid
from optimizer.offer import offer_of
from optimizer.plan import Plan
from optimizer.prices import Band, Prices, Tariff, compile_prices
from optimizer.steadiness import Steadiness
from tests.optimizer.cars import START, Case, cases, delivered_by_segments, tapering_cases

HOURLY = Grid(START, (3600,) * 6)
SIX = Prices(per_kwh=(0.30, 0.10, 0.20, 0.10, 0.40, 0.20))


def planned(wish: Wish, prices: Prices = SIX, **more: Any) -> Plan:
    return plan_car(HOURLY, prices, Car(maximum_kw=10.0, wish=wish, **more))


# Each kind of request, by hand.


def test_energy_by_a_time_takes_the_cheapest_slots_before_it() -> None:
    plan = planned(Wish(energy_kwh=25, by=START + timedelta(hours=4)))
    assert plan.metered_kwh == pytest.approx((0, 10, 5, 10, 0, 0))
    assert plan.outcome.cost == pytest.approx(3.0)
    assert plan.outcome.binding == "wish"


def test_a_state_of_charge_counts_what_reaches_the_battery() -> None:
    battery = Battery(capacity_kwh=50, soc=0.5)
    plan = planned(Wish(target_soc=0.8), battery=battery, efficiency=0.9)
    assert plan.outcome.energy_kwh == pytest.approx(15)
    assert plan.outcome.metered_kwh == pytest.approx(15 / 0.9)


def test_what_cannot_be_had_in_time_is_missing_and_the_plan_is_not_empty() -> None:
    outcome = planned(Wish(energy_kwh=50, by=START + timedelta(hours=2))).outcome
    assert (outcome.metered_kwh, outcome.missing_kwh, outcome.binding) == (20, 30, "time and power")


def test_energy_with_no_time_is_put_off_while_it_is_expected_to_be_cheaper_later() -> None:
    outcome = planned(Wish(energy_kwh=35, later_price_per_kwh=0.15)).outcome
    assert (outcome.metered_kwh, outcome.put_off_kwh, outcome.missing_kwh) == (20, 15, 0)
    assert outcome.binding == "later price"


def test_a_later_price_counts_for_nothing_when_the_car_leaves_before() -> None:
    outcome = planned(Wish(energy_kwh=35, later_price_per_kwh=0.15), leaves=START + timedelta(hours=6)).outcome
    assert outcome.metered_kwh == 35


def test_a_budget_buys_the_most_it_can() -> None:
    plan = planned(Wish(budget=3.0))
    assert plan.metered_kwh == pytest.approx((0, 10, 5, 10, 0, 0))
    assert plan.outcome.cost == pytest.approx(3.0)
    assert plan.outcome.binding == "budget"


def test_a_budget_too_small_for_the_wish_buys_what_it_can_and_says_what_is_missing() -> None:
    outcome = planned(Wish(energy_kwh=40, budget=3.0)).outcome
    assert [outcome.metered_kwh, outcome.missing_kwh] == pytest.approx([25, 15])
    assert outcome.binding == "budget"


def test_under_a_price_cap_no_dearer_slot_is_used() -> None:
    outcome = planned(Wish(energy_kwh=30, price_cap_per_kwh=0.15)).outcome
    assert (outcome.metered_kwh, outcome.missing_kwh, outcome.binding) == (20, 10, "price cap")


def test_under_an_average_cap_cheap_slots_pay_for_dearer_ones() -> None:
    plan = planned(Wish(average_cap_per_kwh=0.15))
    # 20 kWh at 0.10 leave 1.00 of credit: 20 kWh more at 0.05 above the cap.
    assert plan.metered_kwh == pytest.approx((0, 10, 10, 10, 0, 10))
    assert plan.outcome.cost == pytest.approx(0.15 * 40)


def test_prices_below_zero_are_taken_first_and_fill_a_budget_of_nothing() -> None:
    prices = Prices(per_kwh=(0.1, -0.1, 0.1, 0.1, 0.1, 0.1))
    outcome = planned(Wish(budget=0.0), prices).outcome
    assert outcome.metered_kwh == pytest.approx(20)
    assert outcome.cost == pytest.approx(0)


def test_of_equal_slots_the_first_are_taken_or_the_last_by_choice() -> None:
    flat = Prices(per_kwh=(0.2,) * 6)
    assert planned(Wish(energy_kwh=15), flat).metered_kwh == (10, 5, 0, 0, 0, 0)
    assert planned(Wish(energy_kwh=15, late=True), flat).metered_kwh == (0, 0, 0, 0, 5, 10)


def test_who_may_leave_any_time_charges_before_that_is_likely() -> None:
    stays = (1.0, 0.9, 0.8, 0.2, 0.1, 0.1)
    plan = planned(Wish(energy_kwh=10), survival=stays, loss_per_kwh=1.0)
    assert plan.metered_kwh == (0, 10, 0, 0, 0, 0)
    later = planned(
        Wish(energy_kwh=10), Prices(per_kwh=(0.3, 0.3, 0.3, 0.1, 0.1, 0.1)), survival=stays, loss_per_kwh=1.0
    )
    assert later.metered_kwh == (10, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("day", [date(2026, 1, 15), date(2026, 3, 29), date(2026, 10, 25)])
def test_a_night_of_the_ewz_tariff_costs_what_is_counted_by_hand(day: date) -> None:
    tariff = Tariff(zone="Europe/Zurich", per_kwh=0.1551, bands=(Band(per_kwh=0.2618, since=time(6), until=time(22)),))
    grid = day_grid(day, "Europe/Zurich")
    low = {date(2026, 1, 15): 8, date(2026, 3, 29): 7, date(2026, 10, 25): 9}[day]
    plan = plan_car(grid, compile_prices(grid, tariff), Car(maximum_kw=11, wish=Wish(energy_kwh=100)))
    assert plan.outcome.cost == pytest.approx(11 * low * 0.1551 + (100 - 11 * low) * 0.2618)


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(InvalidProblem):
        planned(Wish(energy_kwh=1, target_soc=0.5))
    with pytest.raises(InvalidProblem):
        planned(Wish(budget=-1.0))
    with pytest.raises(InvalidProblem):
        planned(Wish(), limit_kw=(1.0,))
    with pytest.raises(InvalidProblem):
        plan_car(HOURLY, Prices(per_kwh=(0.1,)), Car(maximum_kw=10))


# The minimum current, and the seconds.


def test_less_than_the_minimum_current_is_the_minimum_for_a_part_of_the_slot() -> None:
    grid = make_grid(START.replace(minute=0), START.replace(minute=0) + timedelta(hours=1))
    prices = Prices(per_kwh=(0.3, 0.1, 0.2, 0.3))
    plan = plan_car(grid, prices, Car(maximum_kw=11, minimum_kw=4.14, wish=Wish(energy_kwh=2.75 + 0.345)))
    first, second = plan.segments
    assert (first.end, second.start) == (grid.edges[2], grid.edges[2])
    assert second.power_kw == 4.14
    assert (second.end - second.start).total_seconds() == pytest.approx(300)


def test_a_limit_below_the_minimum_current_closes_a_slot() -> None:
    plan = planned(Wish(energy_kwh=10), minimum_kw=4.0, limit_kw=(10, 3, 10, 10, 10, 10))
    assert plan.metered_kwh == (0, 0, 0, 10, 0, 0)


@given(cases())
@settings(max_examples=300)
def test_the_seconds_hold_what_the_slots_say(case: Case) -> None:
    plan = plan_car(*case)
    assert delivered_by_segments(plan) == pytest.approx(plan.outcome.metered_kwh, abs=1e-4)
    begin = max(case.grid.start, case.car.arrives or case.grid.start)
    end = min(case.grid.end, case.car.leaves or case.grid.end)
    for segment in plan.segments:
        assert begin <= segment.start < segment.end <= end
        assert case.car.minimum_kw <= segment.power_kw <= case.car.maximum_kw + 1e-9
    assert all(early.end <= late.start for early, late in pairwise(plan.segments))


# Greedy against the linear program.


@given(cases())
@settings(max_examples=800)
def test_the_greedy_plan_is_the_optimum_of_the_linear_program(case: Case) -> None:
    plan = plan_car(*case)
    assert (plan.method, plan.proven) == ("greedy", True)
    offer = offer_of(*case)
    kwh = solve_car(offer, case.car, Steadiness())
    assert plan.outcome.metered_kwh == pytest.approx(sum(kwh), abs=2e-5)
    cost = math.fsum(price * amount for price, amount in zip(case.prices.per_kwh, kwh, strict=True))
    assert plan.outcome.cost == pytest.approx(cost, abs=2e-5)


@given(cases())
@settings(max_examples=300)
def test_no_limit_of_a_request_is_ever_broken(case: Case) -> None:
    plan, wish = plan_car(*case), case.car.wish
    outcome = plan.outcome
    assert outcome.energy_kwh <= case.car.wanted_kwh() + 1e-9
    assert outcome.cost <= (math.inf if wish.budget is None else wish.budget) + 1e-9
    if wish.average_cap_per_kwh is not None:
        assert outcome.cost <= wish.average_cap_per_kwh * outcome.metered_kwh + 1e-9
    if wish.price_cap_per_kwh is not None:
        used = [price for price, kwh in zip(case.prices.per_kwh, plan.metered_kwh, strict=True) if kwh > 0]
        assert all(price <= wish.price_cap_per_kwh for price in used)
    if math.isfinite(case.car.wanted_kwh()):
        parts = (outcome.energy_kwh, outcome.missing_kwh, outcome.put_off_kwh)
        assert sum(parts) == pytest.approx(case.car.wanted_kwh(), abs=1e-4)


@given(cases(st.builds(Wish, energy_kwh=st.sampled_from([0.3, 2.0, 7.5]))), st.sampled_from([0.5, 2.0, 10.0]))
@settings(max_examples=200)
def test_dearer_money_changes_the_cost_and_not_the_plan(case: Case, factor: float) -> None:
    dearer = Prices(per_kwh=tuple(price * factor for price in case.prices.per_kwh))
    plan, same = plan_car(*case), plan_car(case.grid, dearer, case.car)
    assert same.metered_kwh == plan.metered_kwh
    assert same.outcome.cost == pytest.approx(plan.outcome.cost * factor)


@given(cases(st.builds(Wish, energy_kwh=st.sampled_from([0.3, 2.0, 7.5]))))
@settings(max_examples=200)
def test_charging_at_once_is_never_cheaper(case: Case) -> None:
    plan = plan_car(*case)
    at_once = charge_at_once(case.grid, case.prices, case.car, plan.outcome.metered_kwh)
    assert at_once.outcome.metered_kwh == pytest.approx(plan.outcome.metered_kwh)
    assert at_once.outcome.cost >= plan.outcome.cost - 1e-9


# What needs a solver.


def test_a_battery_that_tapers_gets_more_time_instead_of_a_target_missed() -> None:
    battery = Battery(capacity_kwh=40, soc=0.6, taper_from_soc=0.8)
    prices = Prices(per_kwh=(0.4, 0.4, 0.4, 0.4, 0.1, 0.1))
    plan = planned(Wish(target_soc=0.95), prices, battery=battery)
    assert plan.method == "lp"
    # 14 kWh would fit into 1.4 hours of full power, but the last of them take longer than the two cheap hours.
    assert plan.metered_kwh[4] == pytest.approx(10 - 0.224, abs=0.01)
    assert plan.outcome.missing_kwh == 0


@given(tapering_cases())
@settings(max_examples=60)
def test_a_plan_for_a_battery_that_tapers_can_be_charged(case: Case) -> None:
    """The battery, step by step of a second, takes what the plan says under the limits that it sets."""
    plan, battery = plan_car(*case), case.car.battery
    assert battery is not None
    stored = battery.soc * battery.capacity_kwh
    for segment in plan.segments:
        step_s = (segment.end - segment.start).total_seconds() / 400
        for _ in range(400):
            full_kw = case.car.maximum_kw * case.car.efficiency
            taper = (1 - stored / battery.capacity_kwh) / (1 - battery.taper_from_soc)
            power_kw = min(segment.power_kw * case.car.efficiency, full_kw * min(1.0, taper))
            stored += power_kw * step_s / 3600
    gained = stored - battery.soc * battery.capacity_kwh
    assert gained == pytest.approx(plan.outcome.energy_kwh, abs=0.02)


def test_likely_departures_and_a_budget_are_weighed_by_the_model() -> None:
    stays = (1.0, 0.9, 0.8, 0.2, 0.1, 0.1)
    plan = planned(Wish(energy_kwh=20, budget=3.0), survival=stays, loss_per_kwh=1.0)
    assert plan.method == "lp"
    assert plan.outcome.metered_kwh == pytest.approx(20, abs=1e-4)
    assert plan.outcome.cost <= 3.0 + 1e-6


# No flapping.

JUMPY = Prices(per_kwh=(0.20, 0.10, 0.20, 0.10, 0.20, 0.10))


def starts(plan: Plan) -> int:
    return len(plan.segments[:1]) + sum(early.end < late.start for early, late in pairwise(plan.segments))


def test_a_start_that_costs_more_than_it_saves_is_not_made() -> None:
    car = Car(maximum_kw=10, minimum_kw=4, wish=Wish(energy_kwh=30))
    jumpy = plan_car(HOURLY, JUMPY, car)
    calm = plan_car(HOURLY, JUMPY, car, Steadiness(start_cost=2.0))
    assert (starts(jumpy), starts(calm)) == (3, 1)
    assert calm.outcome.cost == pytest.approx(22 * 0.1 + 2 * 4 * 0.2, abs=1e-4)
    assert starts(plan_car(HOURLY, JUMPY, car, Steadiness(start_cost=0.01))) == 3


def test_no_stretch_is_shorter_than_the_minimum_on_time() -> None:
    car = Car(maximum_kw=10, minimum_kw=4, wish=Wish(energy_kwh=20.2))
    steady = Steadiness(minimum_on_s=600)
    short = plan_car(HOURLY, JUMPY, car, Steadiness())
    assert min(segment.end - segment.start for segment in short.segments) < timedelta(seconds=600)
    calm = plan_car(HOURLY, JUMPY, car, steady)
    assert calm.outcome.metered_kwh == pytest.approx(20.2, abs=1e-4)
    assert min(segment.end - segment.start for segment in calm.segments) >= timedelta(seconds=599)


def test_what_is_too_little_for_an_on_time_is_charged_all_the_same() -> None:
    car = Car(maximum_kw=10, minimum_kw=4, wish=Wish(energy_kwh=0.2))
    plan = plan_car(HOURLY, JUMPY, car, Steadiness(minimum_on_s=600))
    assert plan.outcome.metered_kwh == pytest.approx(0.2)


def test_the_running_slot_keeps_its_power() -> None:
    car = Car(maximum_kw=10, wish=Wish(energy_kwh=12))
    assert plan_car(HOURLY, JUMPY, car).metered_kwh == (0, 10, 0, 2, 0, 0)
    assert plan_car(HOURLY, JUMPY, car, Steadiness(running_kw=7)).metered_kwh == (7, 5, 0, 0, 0, 0)
    cheap_now = Prices(per_kwh=(0.1, 0.2, 0.3, 0.3, 0.3, 0.3))
    assert plan_car(HOURLY, cheap_now, car, Steadiness(running_kw=0)).metered_kwh == (0, 10, 2, 0, 0, 0)


def test_a_running_slot_that_would_break_the_budget_is_given_up() -> None:
    car = Car(maximum_kw=10, wish=Wish(budget=1.0))
    assert plan_car(HOURLY, JUMPY, car, Steadiness(running_kw=10)).outcome.cost == pytest.approx(1.0)


def test_without_time_for_the_solver_the_plan_is_greedy_and_says_so() -> None:
    battery = Battery(capacity_kwh=40, soc=0.6, taper_from_soc=0.8)
    car = Car(maximum_kw=10, wish=Wish(target_soc=0.95), battery=battery)
    with pytest.raises(SolverFailed):
        solve_car(offer_of(HOURLY, SIX, car), car, Steadiness(), time_limit_s=0.0)
    plan = plan_car(HOURLY, SIX, car, time_limit_s=0.0)
    assert (plan.method, plan.proven) == ("greedy", False)
    exact = plan_car(HOURLY, SIX, structs.replace(car, battery=None, wish=Wish(energy_kwh=5)), time_limit_s=0.0)
    assert exact.proven
