"""Whatever way a plan was made, it keeps every rule or says why there is none; what is called proven is."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from optimizer.rollout.check import violations
from optimizer.rollout.costs import cost_of
from optimizer.rollout.formulation import Formulation
from optimizer.rollout.linear import solve
from optimizer.rollout.placing import greedy, rounded
from optimizer.rollout.plan import NoPlan, Plan
from optimizer.rollout.planner import Effort, plan_emergency, plan_rollout
from optimizer.rollout.request import Cell, Controller, Rollout, Traits
from optimizer.rollout.terms import Terms
from tests.optimizer.rollout.rollouts import rollouts

slow = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def assert_sound(rollout: Rollout, plan: Plan | NoPlan) -> None:
    if isinstance(plan, NoPlan):
        assert plan.reasons
        return
    assert violations(rollout, plan) == []
    assert plan.cost == pytest.approx(cost_of(rollout, plan))
    assert set(plan.hindrances) <= set(plan.left_over)
    if plan.bound is not None:
        assert plan.bound <= plan.cost + 1e-5 * max(1.0, plan.cost)


@slow
@given(rollouts())
def test_a_plan_keeps_every_rule_or_says_why_there_is_none(rollout: Rollout) -> None:
    assert_sound(rollout, plan_rollout(rollout))


@slow
@given(rollouts())
def test_so_does_one_that_is_only_rounded_and_one_without_a_solver(rollout: Rollout) -> None:
    terms = Terms(rollout)
    assert_sound(rollout, greedy(terms))
    for whole in ("none", "order"):
        solution = solve(terms, whole)
        assert solution is not None
        if not solution.infeasible:
            assert_sound(rollout, rounded(terms, solution, whole))


@slow
@given(rollouts())
def test_the_fast_model_has_the_optimum_of_the_readable_one(rollout: Rollout) -> None:
    solution = solve(Terms(rollout), "none")
    assert solution is not None
    readable = Formulation(rollout, whole=False).solve()
    if readable is None:
        assert solution.infeasible
    else:
        assert solution.objective == pytest.approx(readable, rel=1e-6, abs=1e-6)


@slow
@given(rollouts())
def test_a_small_rollout_is_planned_at_the_least_cost_there_is(rollout: Rollout) -> None:
    least = Formulation(rollout, whole=True).solve()
    plan = plan_rollout(rollout, Effort(good_gap=1e-9))
    if least is None:
        assert isinstance(plan, NoPlan)
        assert plan.proven
    else:
        assert isinstance(plan, Plan)
        assert plan.cost == pytest.approx(least, rel=1e-5, abs=1e-6)


@slow
@given(rollouts())
def test_an_emergency_keeps_the_rules_that_are_left_and_ends_no_sooner_than_proven(rollout: Rollout) -> None:
    plan = plan_emergency(rollout)
    assert isinstance(plan, Plan)
    assert_sound(rollout.urgent(), plan)
    assert plan.finish is not None
    assert plan.finish_bound is not None
    outage = {cell.name: cell.traits.outage_slots for cell in rollout.cells}
    last = max((batch.slot + outage[batch.cell] for batch in plan.installs), default=0)
    assert last <= plan.finish
    assert plan.finish_bound <= plan.finish


def test_no_image_comes_from_a_controller_before_there_was_time_for_it() -> None:
    """A download of two slots cannot be there in the first one, however near its controller is."""
    traits = Traits("large", controller="lc", image_mb=10.0, download_slots=2)
    cell = Cell("hall", traits, count=2, downloaded=1)
    published = Controller(image_mb=10.0, lan_mb=10.0, published=True)
    rollout = Rollout(3, (cell,), controllers={"lc": published})
    plan = greedy(Terms(rollout))
    assert isinstance(plan, Plan)
    assert violations(rollout, plan) == []
    assert sum(batch.count for batch in plan.installs if batch.slot < 2) == 1
