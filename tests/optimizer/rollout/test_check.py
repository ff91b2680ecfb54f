"""The checker sees every rule broken, and agrees with the formulation about any plan."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.rollout.check import violations
from optimizer.rollout.formulation import Formulation
from optimizer.rollout.plan import Batch, Fetch, Plan
from optimizer.rollout.planner import plan_rollout
from optimizer.rollout.request import (
    Area,
    Canaries,
    Cell,
    Controller,
    Limits,
    Order,
    Rollout,
    Traits,
    Underway,
)  # fmt: skip
from tests.optimizer.rollout.rollouts import rollouts

A = Traits("s", areas=("site",), image_mb=10.0, restart_kw=7.0)
LAN = {"lc": Controller(10.0, 10.0, ("site",))}


def rollout(*cells: Cell, **rules: object) -> Rollout:
    areas = {"site": rules.pop("site", Area())}
    return Rollout(slots=8, cells=cells, areas=areas, **rules)  # type: ignore[arg-type]


def plan(*installs: tuple[str, int, int], fetches: tuple[Fetch, ...] = (), **publishes: int) -> Plan:
    return Plan(tuple(Batch(*each) for each in installs), fetches, publishes, {}, method="by hand")


def fetched(count: int, slot: int = 0, cell: str = "a", from_controller: bool = False) -> Fetch:
    return Fetch(cell, slot, count, from_controller)


PLAIN = msgspec.structs.replace(A, image_mb=0.0)
TWO = Cell("a", PLAIN, 2)

BROKEN = {
    "everyone once (1)": (rollout(TWO), plan(("a", 1, 1)), "1 install and 0 are left over, of 2"),
    "image first (2)": (
        rollout(Cell("a", A, 2)),
        plan(("a", 1, 2), fetches=(fetched(1), fetched(1, 1))),
        "but 1 images",
    ),
    "no image too many": (rollout(Cell("a", A, 1, 1)), plan(("a", 1, 1), fetches=(fetched(1),)), "more images than"),
    "WAN (3)": (
        rollout(Cell("a", A, 2), site=Area(wan_mb=19.0)),
        plan(("a", 1, 2), fetches=(fetched(2),)),
        "the WAN of site: 20 in slot 0, more than 19",
    ),
    "CDN (3)": (
        rollout(Cell("a", A, 2), limits=Limits(cdn_mb=19.0)),
        plan(("a", 1, 2), fetches=(fetched(2),)),
        "downloads: 20 in slot 0",
    ),
    "publish counts on the WAN (3)": (
        rollout(Cell("a", msgspec.structs.replace(A, controller="lc"), 1), site=Area(wan_mb=9.0), controllers=LAN),
        plan(("a", 3, 1), fetches=(fetched(1, 1, from_controller=True),), lc=0),
        "the WAN of site: 10 in slot 0",
    ),
    "published first (4)": (
        rollout(Cell("a", msgspec.structs.replace(A, controller="lc"), 1), controllers=LAN),
        plan(("a", 3, 1), fetches=(fetched(1, 0, from_controller=True),), lc=0),
        "what lc has not published",
    ),
    "LAN (4)": (
        rollout(Cell("a", msgspec.structs.replace(A, controller="lc"), 2), controllers=LAN),
        plan(("a", 3, 2), fetches=(fetched(2, 1, from_controller=True),), lc=0),
        "the LAN of lc: 20 in slot 1",
    ),
    "no controller": (
        rollout(Cell("a", A, 1)),
        plan(("a", 3, 1), fetches=(fetched(1, from_controller=True),)),
        "has no controller",
    ),
    "offline share (5)": (rollout(TWO, site=Area(max_offline=1)), plan(("a", 1, 2)), "site: 2 offline in slot 1"),
    "offline share while others are away (5)": (
        rollout(TWO, site=Area(max_offline=2), underway=(Underway("a", -1, 1),)),
        plan(("a", 0, 2)),
        "",
    ),
    "long outages overlap (5)": (
        rollout(Cell("a", msgspec.structs.replace(PLAIN, outage_slots=3), 2), site=Area(max_offline=1)),
        plan(("a", 1, 1), ("a", 3, 1)),
        "site: 2 offline in slot 3",
    ),
    "blackout (6)": (
        rollout(Cell("a", msgspec.structs.replace(PLAIN, outage_slots=2, blackouts=((3, 4),)), 2)),
        plan(("a", 2, 2)),
        "falls into the blackout from 3 to 4",
    ),
    "seen to return": (rollout(TWO), plan(("a", 7, 2)), "not over before the last slot"),
    "storm of commands (7)": (rollout(TWO, limits=Limits(installs=1)), plan(("a", 1, 2)), "installs: 2 in slot 1"),
    "storm of returns (7)": (rollout(TWO, limits=Limits(returns=1)), plan(("a", 1, 2)), "returns: 2 in slot 2"),
    "canaries (8)": (rollout(TWO, canaries=Canaries(2, 1)), plan(("a", 1, 2)), "2 canaries instead of 1"),
    "no canaries (8)": (rollout(TWO, canaries=Canaries(2, 1)), plan(("a", 3, 2)), "0 canaries instead of 1"),
    "soak (8)": (rollout(TWO, canaries=Canaries(2, 1, 2)), plan(("a", 1, 1), ("a", 3, 1)), "while the canaries are"),
    "risk budget (9)": (
        rollout(TWO, failure_bound={"s": 0.1}, limits=Limits(risk=0.15)),
        plan(("a", 1, 1), ("a", 4, 1)),
        "failures expected so far: 0.2 in slot 4",
    ),
    "field service (10)": (
        rollout(TWO, failure_bound={"s": 0.1}, limits=Limits(service=0.15)),
        plan(("a", 1, 2)),
        "expected failures: 0.2 in slot 1",
    ),
    "controller first (11)": (
        rollout(TWO, Cell("lc", PLAIN, 1), orders=(Order("lc", "a"),)),
        plan(("lc", 1, 1), ("a", 1, 2)),
        "lc has 0 finished",
    ),
    "version hops, station by station (11)": (
        rollout(TWO, Cell("b", PLAIN, 2), orders=(Order("a", "b"),)),
        plan(("a", 1, 1), ("a", 3, 1), ("b", 2, 2)),
        "b: 2 begun by slot 2, a has 1 finished",
    ),
    "cold load (12)": (
        rollout(TWO, site=Area(restart_kw=13.0)), plan(("a", 1, 2)), "power at the restart in site: 14 in slot 2"
    ),
    "nonsense": (rollout(TWO), plan(("b", 1, 2)), "nothing can be done so"),
}  # fmt: skip


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(rule: str) -> None:
    asked, given_plan, named = BROKEN[rule]
    found = violations(asked, given_plan)
    assert len(found) == bool(named), found
    assert all(named in each for each in found)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(rollouts(), st.data())
def test_it_lets_pass_what_the_formulation_admits_and_nothing_else(asked: Rollout, data: st.DataObject) -> None:
    """A plan, one batch of which is moved to any other slot."""
    found = plan_rollout(asked)
    if not isinstance(found, Plan) or not found.installs:
        return
    place = data.draw(st.integers(0, len(found.installs) - 1))
    moved = msgspec.structs.replace(found.installs[place], slot=data.draw(st.integers(0, asked.slots - 1)))
    installs = (*found.installs[:place], moved, *found.installs[place + 1 :])
    changed = msgspec.structs.replace(found, installs=installs)
    assert (violations(asked, changed) == []) == admits(asked, changed)


def admits(asked: Rollout, checked: Plan) -> bool:
    """Tell whether the readable model has a solution in which everything is as planned."""
    stated = Formulation(asked, whole=True)
    index = {cell.name: place for place, cell in enumerate(asked.cells)}
    for unknown in (stated.x, stated.d, stated.e, stated.p, stated.u):
        for variable in unknown.values():
            variable.varValue = 0
    for batch in checked.installs:
        stated.x[index[batch.cell], batch.slot].varValue += batch.count
    for fetch in checked.fetches:
        flow = stated.e if fetch.from_controller else stated.d
        flow[index[fetch.cell], fetch.slot].varValue += fetch.count
    for name, slot in checked.publishes.items():
        stated.p[name, slot].varValue = 1
    for name, count in checked.left_over.items():
        stated.u[index[name]].varValue = count
    return all(constraint.valid(1e-6) for constraint in stated.model.constraints.values())
