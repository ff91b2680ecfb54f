"""The replay moves energy as physics does: nothing is lost, batteries taper, and what breaks a limit is noticed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.replay.loop import Policy, Present, Site, replay
from benchmarks.replay.policies import BASELINES, Uncontrolled
from benchmarks.replay.sessions import FULL, SECOND_H, TAPER_FROM, Batteries, Floats, Session, with_battery
from tests.benchmarks.sites import sessions, sites

policies = pytest.mark.parametrize("policy", BASELINES.values(), ids=BASELINES.keys())


class Always:
    """Offers the same to all, whatever comes of it."""

    def __init__(self, amps: float) -> None:
        self._amps = amps

    def limits_a(self, now_s: int, present: Present) -> Floats:
        return np.full(len(present.index), self._amps)


def walked(session: Session, limit_kw: float, seconds: int) -> list[float]:
    """The power of each second, one after the other, as a battery is told to behave."""
    soc, missing, powers = session.soc, session.wanted_kwh, []
    for _ in range(seconds):
        power = min(limit_kw, session.max_kw)
        if soc > session.taper_from:
            power = min(power, session.max_kw * (1 - soc) / (1 - session.taper_from))
        elif session.taper_from < 1:
            power = min(power, session.max_kw)
        power = min(power, missing / SECOND_H)
        powers.append(power)
        soc += power * SECOND_H / session.capacity_kwh
        missing -= power * SECOND_H
    return powers


@given(sessions(), st.floats(0, 12), st.integers(1, 4000))
def test_a_battery_summed_up_is_the_battery_walked_second_by_second(
    session: Session, limit_kw: float, seconds: int
) -> None:
    summed = Batteries.of([session]).powers(np.array([limit_kw]), seconds)[:, 0]
    assert summed == pytest.approx(walked(session, limit_kw, seconds), abs=2e-3)
    assert summed.sum() == pytest.approx(sum(walked(session, limit_kw, seconds)), abs=1e-2)


@given(sites(), st.sampled_from(list(BASELINES.values())))
def test_what_the_site_draws_is_what_the_cars_get_and_never_more_than_the_limit(
    site: Site, policy: Callable[[float], Policy]
) -> None:
    run = replay(site, policy(site.limit_kw))
    assert run.power_kw.sum() * SECOND_H == pytest.approx(run.delivered_kwh.sum())
    assert np.all(run.delivered_kwh <= np.array([each.wanted_kwh for each in site.sessions]) + 1e-9)
    assert run.power_kw.max() <= site.limit_kw + 1e-6
    assert run.violations_s == 0


@given(sites())
def test_left_alone_each_car_gets_what_it_gets_by_itself(site: Site) -> None:
    run = replay(site, Uncontrolled())
    assert run.delivered_kwh == pytest.approx([each.deliverable_kwh() for each in site.sessions], abs=1e-6)


def test_no_car_draws_before_it_comes_or_after_it_left() -> None:
    run = replay(Site([Session("late", 1000, 2000, 99, 7.36)]), Uncontrolled())
    assert run.power_kw[999] == 0
    assert run.power_kw[1000:2000] == pytest.approx(7.36)
    assert run.power_kw[2000] == 0


def test_power_falls_with_what_is_missing_once_a_battery_is_in_its_second_stage() -> None:
    session = Session("tapers", 0, 7200, 5, 8, capacity_kwh=10, soc=0.4, taper_from=0.8)
    run = replay(Site([session]), Uncontrolled())
    first_stage_s = int(0.4 * 10 / 8 * 3600)
    assert run.power_kw[:first_stage_s] == pytest.approx(8)
    soc = 0.4 + np.cumsum(run.power_kw)[first_stage_s:2400] * SECOND_H / 10
    assert run.power_kw[first_stage_s + 1 : 2401] == pytest.approx(8 * (1 - soc) / 0.2, rel=1e-3)


def test_seconds_in_which_too_much_is_offered_are_counted_even_if_nobody_takes_it() -> None:
    cars = [Session("one", 0, 600, 99, 7.36), Session("full", 0, 600, 0.0, 7.36)]
    assert replay(Site(cars, limit_kw=7.5), Always(20)).violations_s == 600
    assert replay(Site(cars, limit_kw=9.3), Always(20)).violations_s == 0
    assert replay(Site(cars), Always(33)).violations_s == 600


def test_below_the_minimum_current_a_car_pauses() -> None:
    site = Site([Session("one", 0, 600, 99, 7.36)])
    assert replay(site, Always(5.9)).delivered_kwh[0] == 0
    assert replay(site, Always(6)).power_kw[0] == pytest.approx(1.38)


def test_a_limit_that_changes_is_one_message() -> None:
    assert replay(Site([Session("one", 0, 600, 99, 7.36)]), Always(10), every_s=60).messages == 1


@policies
def test_there_is_no_more_than_a_minimum_for_one_and_all_get_their_turn_or_wait(
    policy: Callable[[float], Policy],
) -> None:
    cars = [Session(name, 0, 7200, 1.5, 7.36) for name in ("one", "two", "three")]
    run = replay(Site(cars, limit_kw=1.4), policy(1.4))
    assert run.power_kw.max() == pytest.approx(1.4)
    assert run.delivered_kwh.sum() == pytest.approx(2 * 1.38, abs=0.15)


def order_of(policy: str) -> list[str]:
    """Who gets more of 7.36 kW in the first two hours: one came first, one leaves first, one needs its whole time."""
    cars = [
        Session("came first", 0, 20 * 3600, 10, 7.36),
        Session("leaves first", 60, 6 * 3600, 10, 7.36),
        Session("needs its time", 120, 8 * 3600, 55, 7.36),
    ]
    until = [replace(each, leaves_s=min(each.leaves_s, 20 * 3600)) for each in cars]
    run = replay(Site(until, limit_kw=7.36), BASELINES[policy](7.36), watch=range(300, 3600))
    energy = sum(trace.power_kw.sum(axis=0) for trace in run.traces)
    return [cars[car].session_id for car in np.argsort(-np.asarray(energy), kind="stable")]


@pytest.mark.parametrize(
    ("policy", "first"),
    [("first_come", "came first"), ("earliest_deadline", "leaves first"), ("least_laxity", "needs its time")],
)
def test_each_policy_serves_first_whom_it_is_named_after(policy: str, first: str) -> None:
    assert order_of(policy)[0] == first


def test_round_robin_gives_all_the_same_and_what_one_cannot_take_to_the_others() -> None:
    cars = [Session("small", 0, 600, 99, 2.3), *(Session(name, 0, 600, 99, 7.36) for name in ("one", "two"))]
    run = replay(Site(cars, limit_kw=10), BASELINES["round_robin"](10), watch=range(600))
    assert run.traces[0].power_kw[0] == pytest.approx([2.3, 3.85, 3.85])


@given(st.floats(0.1, 90), st.integers(600, 40_000))
def test_a_battery_is_found_with_which_a_car_left_alone_gets_what_it_got(wanted_kwh: float, stay_s: int) -> None:
    recorded = Session("recorded", 0, stay_s, wanted_kwh, 7.36)
    found = with_battery(recorded)
    assert found.taper_from == TAPER_FROM
    assert 0 <= found.soc <= FULL - found.wanted_kwh / found.capacity_kwh + 1e-9
    if found.soc > 0:
        assert found.deliverable_kwh() == pytest.approx(wanted_kwh, abs=1e-5)
