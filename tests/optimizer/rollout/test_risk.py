"""What is known of a firmware's failures grows with what was tried."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.rollout.risk import exposure_allowed, failure_bound


@pytest.mark.parametrize(("executed", "percent"), [(30, 9.503), (300, 0.9936), (3000, 0.09981)])
def test_nothing_failed_means_about_three_in_n_may(executed: int, percent: float) -> None:
    """With no failure the bound is 1 - 0.05 ** (1 / n)."""
    assert 100 * failure_bound(0, executed) == pytest.approx(percent, rel=1e-3)
    assert failure_bound(0, executed) == pytest.approx(1 - 0.05 ** (1 / executed))


@pytest.mark.parametrize(("failures", "executed"), [(1, 10), (5, 100), (50, 1000)])
def test_at_the_bound_so_few_failures_have_the_probability_that_is_left(failures: int, executed: int) -> None:
    bound = failure_bound(failures, executed)
    few = sum(comb(executed, k) * bound**k * (1 - bound) ** (executed - k) for k in range(failures + 1))
    assert few == pytest.approx(0.05)


def test_with_a_budget_of_thirty_each_stage_is_ten_times_the_last() -> None:
    stages = [exposure_allowed(30, failure_bound(0, executed)) for executed in (30, 300, 3000)]
    assert stages == [315, 3019, 30057]


@given(st.integers(0, 50), st.integers(0, 500))
def test_a_failure_raises_the_bound_and_a_success_lowers_it(failures: int, successes: int) -> None:
    executed = failures + successes
    bound = failure_bound(failures, executed)
    assert failure_bound(failures + 1, executed + 1) >= bound
    assert failure_bound(failures, executed + 1) <= bound
    assert executed == 0 or bound >= failures / executed


def test_of_nothing_nothing_is_known() -> None:
    assert failure_bound(0, 0) == 1.0
    with pytest.raises(ValueError, match="some may fail"):
        failure_bound(2, 1)
