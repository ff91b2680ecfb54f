"""The optimum with foresight is a bound: no policy does better, and where the answer is known by hand it is that."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replay.loop import Policy, Site, replay
from benchmarks.replay.optimum import Foresight
from benchmarks.replay.policies import BASELINES
from benchmarks.replay.scores import Score, means_kw
from benchmarks.replay.sessions import Session
from tests.benchmarks.sites import quarter_prices, sites


@settings(max_examples=60)
@given(sites(), st.sampled_from(list(BASELINES.values())), st.randoms(use_true_random=False))
def test_no_policy_is_cheaper_or_delivers_more(site: Site, policy: Callable[[float], Policy], random: object) -> None:
    prices = quarter_prices([random.uniform(-0.1, 0.4) for _ in range(site.seconds // 900)])  # type: ignore[attr-defined]
    run = replay(site, policy(site.limit_kw))
    foresight = Foresight(site)
    assert foresight.cheapest(prices, run.delivered_kwh).bound <= Score.of(run, prices).energy_cost + 1e-5
    assert foresight.most_energy().bound >= run.delivered_kwh.sum() - 1e-5


@settings(max_examples=30)
@given(sites())
def test_no_policy_that_gives_all_what_they_can_get_has_a_lower_peak(site: Site) -> None:
    free = Site(site.sessions)
    run = replay(free, BASELINES["least_laxity"](float("inf")))
    assert Foresight(free).lowest_peak().bound <= means_kw(run, 900).max() + 1e-5


def test_one_car_buys_in_its_cheapest_quarters() -> None:
    site = Site([Session("one", 0, 3600, 4, 8)])
    best = Foresight(site).cheapest(quarter_prices([3, 1, 2, 4]), np.array([4.0]))
    assert best.bound == pytest.approx(2 * 1 + 2 * 2, abs=1e-4)
    assert best.site_kw(4) == pytest.approx([0, 8, 8, 0], abs=1e-4)


def test_two_cars_share_the_cheap_quarter_under_the_limit() -> None:
    site = Site([Session("one", 0, 1800, 1, 8), Session("two", 0, 1800, 1, 8)], limit_kw=6)
    best = Foresight(site).cheapest(quarter_prices([5, 1]), np.array([1.0, 1.0]))
    assert best.bound == pytest.approx(1.5 * 1 + 0.5 * 5, abs=1e-4)


def test_the_lowest_peak_is_the_mean_when_all_can_wait() -> None:
    site = Site([Session("one", 0, 7200, 4, 8), Session("two", 0, 7200, 2, 8)])
    assert Foresight(site).lowest_peak().bound == pytest.approx(3, abs=1e-4)


def test_a_tapering_battery_must_begin_earlier_than_one_that_does_not() -> None:
    steady = Session("steady", 0, 7200, 2, 4, capacity_kwh=10, soc=0.78)
    tapers = Session("tapers", 0, 7200, 2, 4, capacity_kwh=10, soc=0.78, taper_from=0.8)
    prices = quarter_prices([1, 1, 1, 1, 1, 1, 0, 0])
    cost = {
        each.session_id: Foresight(Site([each])).cheapest(prices, np.array([1.8])).bound for each in (steady, tapers)
    }
    assert cost["steady"] == pytest.approx(0, abs=1e-4)
    assert cost["tapers"] > 0.5
