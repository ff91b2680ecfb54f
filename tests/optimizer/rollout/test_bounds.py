"""Rollouts whose best plan is known without a solver."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.rollout.plan import NoPlan, Plan
from optimizer.rollout.planner import plan_emergency, plan_rollout
from optimizer.rollout.request import (
    Area,
    Canaries,
    Cell,
    Controller,
    Limits,
    Order,
    Rollout,
    Traits,
    offline_allowance,
)  # fmt: skip


def planned(rollout: Rollout) -> Plan:
    plan = plan_rollout(rollout)
    assert isinstance(plan, Plan)
    return plan


def urgent(rollout: Rollout) -> Plan:
    plan = plan_emergency(rollout)
    assert isinstance(plan, Plan)
    return plan


def test_of_several_stations_one_stays_online_and_one_alone_may_go() -> None:
    assert offline_allowance(1, 0.1) == 1
    assert offline_allowance(2, 1.0) == 1
    assert offline_allowance(10, 0.25) == 2
    assert offline_allowance(10, 0.01) == 1


@given(st.integers(2, 30), st.sampled_from([0.1, 0.25, 0.5]), st.integers(1, 3))
def test_the_largest_site_sets_the_time_of_an_emergency(stations: int, share: float, outage: int) -> None:
    allowed = offline_allowance(stations, share)
    needed = ceil(stations / allowed) * outage
    site = {"site": Area(max_offline=allowed), "small": Area(max_offline=1)}
    cells = (
        Cell("large", Traits("s", ("site",), outage_slots=outage), stations),
        Cell("small", Traits("s", ("small",), outage_slots=outage), 1),
    )
    assert urgent(Rollout(slots=needed + 5, cells=cells, areas=site)).finish == needed


@given(st.integers(1, 40), st.integers(1, 7))
def test_the_rate_of_commands_sets_the_time_of_an_emergency(stations: int, rate: int) -> None:
    rollout = Rollout(slots=45, cells=(Cell("all", Traits("s"), stations),), limits=Limits(installs=rate))
    plan = urgent(rollout)
    assert plan.finish == ceil(stations / rate) - 1 + 1
    assert plan.finish_bound == plan.finish


def test_stations_install_while_least_is_going_on() -> None:
    busy = (0.9, 0.8, 0.1, 0.0, 0.05, 0.9, 0.9, 0.9)
    rollout = Rollout(
        slots=8, cells=(Cell("shop", Traits("s", ("site",), "shop"), 3),), busy={"shop": busy}, areas={"site": Area(1)}
    )
    plan = planned(rollout)
    assert [batch.slot for batch in plan.installs] == [2, 3, 4]
    assert plan.cost == pytest.approx(0.15)
    assert plan.gap == pytest.approx(0)


def test_an_outage_of_two_slots_weighs_both() -> None:
    busy = (0.0, 1.0, 0.2, 0.2, 1.0, 0.0)
    cell = Cell("shop", Traits("s", (), "shop", outage_slots=2), 1)
    plan = planned(Rollout(slots=6, cells=(cell,), busy={"shop": busy}))
    assert [batch.slot for batch in plan.installs] == [2]


def test_a_budget_of_risk_opens_stations_as_it_grows() -> None:
    budget = (3.0,) * 4 + (30.0,) * 4
    rollout = Rollout(
        slots=8,
        cells=(Cell("homes", Traits("s", severity=1.0), 400),),
        failure_bound={"s": 0.095},
        limits=Limits(risk=budget),
    )
    plan = planned(rollout)
    assert [(batch.slot, batch.count) for batch in plan.installs] == [(0, 31), (4, 284)]
    assert plan.left_over == {"homes": 85}
    assert plan.hindrances == {"homes": "risk budget"}


def test_every_stratum_has_its_canaries_before_anybody_else_begins() -> None:
    cells = tuple(Cell(name, Traits(name, severity=1.0), count) for name, count in (("a", 50), ("b", 2), ("c", 1)))
    plan = planned(Rollout(slots=8, cells=cells, canaries=Canaries(slots=2, per_stratum=3, soak_slots=2, min_units=2)))
    first = {batch.cell: batch.count for batch in plan.installs if batch.slot < 2}
    assert first == {"a": 3, "b": 2}
    assert {batch.slot for batch in plan.installs} == {0, 4}


def test_canaries_that_have_no_slot_are_the_reason_why_there_is_no_plan() -> None:
    cell = Cell("a", Traits("EVX rev 2", blackouts=((0, 4),)), 5)
    plan = plan_rollout(Rollout(slots=8, cells=(cell,), canaries=Canaries(slots=4, per_stratum=2)))
    assert plan == NoPlan(("EVX rev 2: no room for 2 of 2 canaries: closed slots",), proven=True)


def test_a_controller_updates_first_and_its_stations_download_once_over_the_wan() -> None:
    """OCPP 2.0.1 L03: the Local Controller publishes what it has downloaded."""
    behind = Traits("ac", ("depot",), controller="lc", image_mb=40.0)
    rollout = Rollout(
        slots=12,
        cells=(Cell("depot", behind, 10), Cell("lc device", Traits("lc"), 1)),
        areas={"depot": Area(wan_mb=40.0)},
        controllers={"lc": Controller(40.0, 200.0, ("depot",))},
        orders=(Order("lc device", "depot"),),
    )
    plan = urgent(rollout)
    assert plan.publishes == {"lc": 0}
    assert all(fetch.from_controller for fetch in plan.fetches if fetch.slot > 0)
    assert sum(fetch.count for fetch in plan.fetches) == 10
    # One slot to publish, two on the LAN of five images each, one to install.
    assert plan.finish == 4


def test_without_a_limit_on_downloads_each_station_has_its_own() -> None:
    cell = Cell("homes", Traits("s", image_mb=50.0, download_slots=2, severity=1.0), 100)
    plan = planned(Rollout(slots=10, cells=(cell,), limits=Limits(cdn_mb=1000.0)))
    assert [(fetch.slot, fetch.count) for fetch in plan.fetches] == [(slot, 20) for slot in range(5)]
    assert [(batch.slot, batch.count) for batch in plan.installs] == [(slot + 2, 20) for slot in range(5)]


def test_cells_that_wait_for_each_other_are_refused() -> None:
    cells = tuple(Cell(name, Traits("s"), 1) for name in "ab")
    with pytest.raises(ValueError, match="wait for each other"):
        plan_rollout(Rollout(slots=4, cells=cells, orders=(Order("a", "b"), Order("b", "a"))))


def test_images_that_one_cell_has_are_of_no_use_to_another() -> None:
    waits = Traits("s", image_mb=10.0, severity=1.0)
    cells = (Cell("has", Traits("s", image_mb=10.0), 4, downloaded=4), Cell("waits", waits, 4))
    plan = planned(Rollout(slots=8, cells=cells, limits=Limits(cdn_mb=10.0)))
    assert [batch.slot for batch in plan.installs if batch.cell == "waits"] == [1, 2, 3, 4]
    assert plan.bound == pytest.approx(10.0)
