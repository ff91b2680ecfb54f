"""Our planner as a policy: it keeps limits, waits for what is cheap, and knows nothing that a platform would not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks.replay.loop import Present, Site, replay
from benchmarks.replay.optimum import Foresight
from benchmarks.replay.ours import Ours
from benchmarks.replay.prices import Prices
from benchmarks.replay.scores import Score
from benchmarks.replay.sessions import Floats, Session, with_battery
from tests.benchmarks.sites import START, quarter_prices, sites


@settings(max_examples=15)
@given(sites())
def test_no_limit_is_passed_whatever_comes(site: Site) -> None:
    prices = quarter_prices([0.1 * (quarter % 5) for quarter in range(site.seconds // 900)])
    assert replay(site, Ours(site.limit_kw, prices), every_s=60).violations_s == 0


def test_a_car_gets_all_it_wants_in_the_cheapest_quarters() -> None:
    site = Site([Session("one", 60, 7200, 3.68, 7.36)], limit_kw=10)
    prices = quarter_prices([5.0, 4, 3, 1, 2, 3, 4, 5])
    run = replay(site, Ours(10, prices), every_s=60)
    score = Score.of(run, prices)
    assert score.served_pct == 100
    assert score.energy_cost == pytest.approx(Foresight(site).cheapest(prices, run.delivered_kwh).bound, rel=0.02)


def test_a_battery_that_slows_down_is_noticed_in_time() -> None:
    cheap_late = quarter_prices([3.0] * 16 + [1.0] * 16)
    car = with_battery(Session("one", 0, 8 * 3600, 22, 7.36))
    run = replay(Site([car], limit_kw=10), Ours(10, cheap_late), every_s=60)
    assert run.delivered_kwh[0] > 0.995 * car.wanted_kwh


class Recorded:
    """Remembers what a policy said."""

    def __init__(self, policy: Ours) -> None:
        self.policy = policy
        self.said: dict[int, Floats] = {}

    def limits_a(self, now_s: int, present: Present) -> Floats:
        self.said[now_s] = self.policy.limits_a(now_s, present)
        return self.said[now_s]


def test_prices_that_are_not_out_yet_change_nothing() -> None:
    cars = [Session(name, 10 * 3600, 34 * 3600, 10, 7.36) for name in ("one", "two")]
    random = np.random.default_rng(1)
    first_day, next_days = random.uniform(0.1, 0.3, 96), random.uniform(0.1, 0.3, (2, 96))
    said = []
    for next_day in next_days:
        prices = Prices(START, np.concatenate([first_day, next_day]), "EUR", published_at=13)
        policy = Recorded(Ours(10, prices))
        replay(Site(cars, limit_kw=10), policy, every_s=900)
        said.append(policy.said)
    before = [at_s for at_s in said[0] if at_s < 13 * 3600]
    assert before
    assert all(np.array_equal(said[0][at_s], said[1][at_s]) for at_s in before)
    assert any(not np.array_equal(said[0][at_s], said[1][at_s]) for at_s in said[0])


def test_batteries_and_later_arrivals_are_not_known() -> None:
    cars = [with_battery(Session("one", 0, 6 * 3600, 10, 7.36)), Session("late", 2 * 3600, 4 * 3600, 10, 7.36)]
    others = [replace(cars[0], soc=0.0, taper_from=1.0), Session("never", 3 * 3600, 4 * 3600, 1, 7.36)]
    prices = quarter_prices([2.0, 1.0] * 12)
    said = []
    for sessions in (cars, others):
        policy = Recorded(Ours(8, prices))
        replay(Site(sessions, limit_kw=8), policy, every_s=900)
        said.append(policy.said)
    assert np.array_equal(said[0][0], said[1][0])


def test_with_a_price_on_the_peak_cars_share_instead_of_adding_up() -> None:
    cars = [Session(name, 0, 4 * 3600, 8, 7.36) for name in ("one", "two", "three")]
    prices = quarter_prices([0.1] * 16, peak_per_kw=10)
    run = replay(Site(cars), Ours(float("inf"), prices, by_peak=True), every_s=60)
    assert Score.of(run, prices).served_pct == 100
    assert Score.of(run, prices).peak_kw < 7.5
