"""The arrays and the model in PuLP are one problem, and what is said to be proven is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from optimizer.account import expected_cost
from optimizer.errors import SolverFailed
from optimizer.fairness import SLACK, fair_kwh
from optimizer.site import Site
from optimizer.site_columns import columns_of
from optimizer.site_formulation import largest_share_in_pulp, least_cost_in_pulp
from optimizer.site_plan import GAP, plan_site
from tests.optimizer.sites import broken, sites


@given(sites(minimum=False))
@settings(max_examples=80)
def test_arrays_and_pulp_find_the_same_least_cost(site: Site) -> None:
    plan = plan_site(site)
    assert (plan.method, plan.proven, plan.notes) == ("lp", True, ())
    least_kwh = [outcome.energy_kwh * (1 - 10 * SLACK) - 1e-9 for outcome in plan.outcomes]
    columns = columns_of(site)
    cost = expected_cost(columns, np.array(plan.metered_kwh))
    assert cost == pytest.approx(least_cost_in_pulp(site, least_kwh), abs=1e-4)
    assert plan.bound == pytest.approx(cost, abs=1e-4) or not columns.powers


@given(sites(minimum=False))
@settings(max_examples=40)
def test_arrays_and_pulp_find_the_same_fair_share(site: Site) -> None:
    alike = Site(**{**{name: getattr(site, name) for name in site.__struct_fields__}, "fairness": "share"})
    columns = columns_of(alike)
    most_kwh = columns.most_kwh()
    assume(columns.powers and len({car.priority for car in site.cars}) == 1 and (most_kwh > 0).any())
    fair, _ = fair_kwh(columns, most_kwh, 10.0)
    shares = fair[most_kwh > 0] / most_kwh[most_kwh > 0]
    assert shares.min() == pytest.approx(largest_share_in_pulp(alike, most_kwh.tolist()), abs=1e-5)


@given(sites(most_cars=3))
@settings(max_examples=80)
def test_what_is_proven_with_minimum_currents_is_the_optimum_of_the_whole_integer_program(site: Site) -> None:
    plan = plan_site(site)
    assert not broken(site, plan)
    if not plan.proven or not columns_of(site).powers:
        return
    least_kwh = [outcome.energy_kwh - 1e-6 for outcome in plan.outcomes]
    cost = expected_cost(columns_of(site), np.array(plan.metered_kwh))
    try:
        least = least_cost_in_pulp(site, least_kwh, whole=True)
    except SolverFailed:
        return  # what is all that a car still wants may be less than an on-time, which this model does not know
    assert cost <= least + GAP * max(1.0, abs(least)) + 2e-4
    assert plan.bound <= cost + 1e-4


@given(sites(), sites())
@settings(max_examples=40)
def test_every_plan_keeps_every_limit(site: Site, other: Site) -> None:
    for each in (site, other):
        plan = plan_site(each)
        assert not broken(each, plan)
        assert plan.method in ("lp", "milp")
