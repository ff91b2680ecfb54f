"""Slots are counted in UTC: the first is what is left of the running one, and a day has 92, 96 or 100 quarters."""

from datetime import UTC, date, datetime, timedelta

import pytest

from optimizer.errors import InvalidProblem
from optimizer.grid import Grid, day_grid, make_grid

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def test_the_first_slot_is_what_is_left_of_the_running_quarter() -> None:
    grid = make_grid(NOON + timedelta(minutes=4), NOON + timedelta(minutes=40))
    assert grid.lengths_s == (660, 900, 600)
    assert grid.start == NOON + timedelta(minutes=4)
    assert grid.end == NOON + timedelta(minutes=40)


@pytest.mark.parametrize(("day", "slots"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (date(2026, 6, 1), 96)])
def test_a_local_day_has_as_many_quarters_as_hours_pass_in_it(day: date, slots: int) -> None:
    grid = day_grid(day, "Europe/Zurich")
    assert grid.slots == slots
    assert set(grid.lengths_s) == {900}


def test_the_hours_within_a_window_may_begin_and_end_inside_a_slot() -> None:
    grid = make_grid(NOON, NOON + timedelta(hours=1))
    within = grid.hours_within(NOON + timedelta(minutes=10), NOON + timedelta(minutes=33))
    assert within.tolist() == pytest.approx([5 / 60, 15 / 60, 3 / 60, 0])
    assert grid.hours_within(None, None).sum() == pytest.approx(1)


def test_a_grid_without_time_or_zone_is_refused() -> None:
    with pytest.raises(InvalidProblem):
        make_grid(NOON, NOON)
    with pytest.raises(InvalidProblem):
        Grid(NOON, ())
    with pytest.raises(InvalidProblem):
        Grid(NOON.replace(tzinfo=None), (900,))
    with pytest.raises(InvalidProblem):
        make_grid(NOON, NOON + timedelta(hours=1)).hours_within(NOON.replace(tzinfo=None), None)
