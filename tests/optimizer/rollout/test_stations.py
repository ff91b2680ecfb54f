"""Stations that share all traits form a cell, and every station of a plan learns its own slots."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from optimizer.rollout.plan import Plan
from optimizer.rollout.planner import plan_rollout
from optimizer.rollout.request import Area, Limits, Rollout, Traits
from optimizer.rollout.stations import Station, appointments, gather

HOME = Traits("home", image_mb=10.0, severity=1.0)
SHOP = Traits("shop", ("mall",), severity=1.0)
RESERVED = Traits("shop", ("mall",), severity=1.0, blackouts=((0, 3),))

fleets = st.lists(st.tuples(st.sampled_from([HOME, SHOP, RESERVED]), st.booleans()), min_size=1, max_size=12).map(
    lambda drawn: [Station(f"CP-{n}", traits, has and bool(traits.image_mb)) for n, (traits, has) in enumerate(drawn)]
)


def rollout_of(stations: list[Station]) -> tuple[Rollout, Plan]:
    rollout = Rollout(
        slots=16,
        cells=gather(stations).cells,
        areas={"mall": Area(max_offline=1)},
        limits=Limits(cdn_mb=20.0, installs=3),
    )
    plan = plan_rollout(rollout)
    assert isinstance(plan, Plan)
    return rollout, plan


@given(fleets)
def test_every_station_is_told_its_slots_once_and_downloads_before_it_installs(stations: list[Station]) -> None:
    _, plan = rollout_of(stations)
    told = list(appointments(gather(stations), plan, "rollout 7"))
    assert len(told) == len({each.station_id for each in told}) == len(stations) - plan.stations_left
    by_id = {station.station_id: station for station in stations}
    for each in told:
        traits, downloaded = by_id[each.station_id].traits, by_id[each.station_id].downloaded
        assert not any(begin <= each.install_slot < until for begin, until in traits.blackouts)
        assert (each.download_slot is not None) == (bool(traits.image_mb) and not downloaded)
        if each.download_slot is not None:
            assert each.download_slot + traits.download_slots <= each.install_slot
    assert Counter(each.install_slot for each in told) == sum(
        (Counter({batch.slot: batch.count}) for batch in plan.installs), Counter()
    )


def test_who_is_first_can_be_computed_again_and_is_another_with_the_next_rollout() -> None:
    stations = [Station(f"CP-{number}", HOME) for number in range(40)]
    _, plan = rollout_of(stations)

    def first(rollout_id: str, among: list[Station]) -> set[str]:
        told = appointments(gather(among), plan, rollout_id)
        return {each.station_id for each in told if each.install_slot == 1}

    assert first("rollout 7", stations) == first("rollout 7", stations[::-1])
    assert len(first("rollout 7", stations) | first("rollout 8", stations)) > len(first("rollout 7", stations))
