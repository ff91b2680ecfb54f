"""Tariffs hold by the local clock, whatever UTC does; published steps go before them."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from optimizer.errors import InvalidProblem
from optimizer.grid import day_grid, make_grid
from optimizer.prices import Band, Prices, Step, Tariff, compile_prices

# ewz 2019: the high tariff from Monday to Saturday, 6 to 22, in Rp.
EWZ = Tariff(
    zone="Europe/Zurich",
    per_kwh=0.1551,
    bands=(Band(per_kwh=0.2618, since=time(6), until=time(22), weekdays=(0, 1, 2, 3, 4, 5)),),
)


@pytest.mark.parametrize(
    ("day", "high", "low"),
    [
        (date(2026, 1, 15), 64, 32),
        (date(2026, 3, 29), 0, 92),
        (date(2026, 10, 25), 0, 100),
        (date(2026, 10, 24), 64, 32),
    ],
)
def test_the_night_tariff_follows_the_local_clock(day: date, high: int, low: int) -> None:
    prices = compile_prices(day_grid(day, "Europe/Zurich"), EWZ).per_kwh
    assert prices.count(0.2618) == high
    assert prices.count(0.1551) == low


@pytest.mark.parametrize(("day", "night"), [(date(2026, 3, 29), 28), (date(2026, 10, 25), 36)])
def test_the_night_in_which_the_clock_changes_is_an_hour_shorter_or_longer(day: date, night: int) -> None:
    tariff = Tariff(zone="Europe/Zurich", per_kwh=0.3, bands=(Band(per_kwh=0.2, since=time(22), until=time(6)),))
    assert compile_prices(day_grid(day, "Europe/Zurich"), tariff).per_kwh.count(0.2) == night


def test_published_steps_go_before_the_tariff() -> None:
    grid = make_grid(datetime(2026, 1, 15, 7, tzinfo=UTC), datetime(2026, 1, 15, 8, tzinfo=UTC))
    steps = [Step(grid.start, grid.start + timedelta(minutes=30), -0.05)]
    assert compile_prices(grid, EWZ, steps).per_kwh == (-0.05, -0.05, 0.2618, 0.2618)
    with pytest.raises(InvalidProblem, match="nothing says the price at 2026-01-15T07:30"):
        compile_prices(grid, None, steps)


def test_a_slot_with_two_prices_has_their_mean_over_time() -> None:
    grid = make_grid(datetime(2026, 1, 15, 20, tzinfo=UTC), datetime(2026, 1, 15, 22, tzinfo=UTC), slot_s=7200)
    assert compile_prices(grid, EWZ).per_kwh == pytest.approx(((0.2618 + 0.1551) / 2,))
    half = [Step(grid.start, grid.start + timedelta(minutes=70), 0.1)]
    assert compile_prices(grid, EWZ, half).per_kwh == pytest.approx(((0.1 * 70 + 0.1551 * 50) / 120,))


def test_bands_may_hold_in_some_months() -> None:
    summer = Tariff(zone="Europe/Zurich", per_kwh=0.3, bands=(Band(per_kwh=0.2, months=(6, 7, 8)),))
    assert set(compile_prices(day_grid(date(2026, 7, 1), "Europe/Zurich"), summer).per_kwh) == {0.2}
    assert set(compile_prices(day_grid(date(2026, 1, 1), "Europe/Zurich"), summer).per_kwh) == {0.3}


@pytest.mark.parametrize(
    "wrong", [{"per_kwh": (0.1, float("nan"))}, {"per_kwh": (float("inf"),)}, {"per_kwh": (0.1,), "peak_per_kw": -1.0}]
)
def test_what_is_no_price_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidProblem):
        Prices(**wrong)
