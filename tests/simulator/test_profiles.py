"""Charging profiles: validity, stacking, purposes and the composite schedule (2.0.1 part 2, K)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.profiles import ChargingProfile, Feed, Outlet, Period, ProfileStore
from tests.simulator.world import BEGIN

pytestmark = pytest.mark.pure
FEED = Feed(volts=230.0, phases=3, max_a=32.0)
FULL_W = 230.0 * 3 * 32


def profile(profile_id: int = 1, **changes: object) -> ChargingProfile:
    plain = ChargingProfile(
        id=profile_id,
        evse_id=1,
        stack_level=0,
        purpose="TxDefaultProfile",
        kind="Absolute",
        unit="W",
        periods=(Period(0, 7000.0),),
        start=BEGIN,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def store(*profiles: ChargingProfile) -> ProfileStore:
    made = ProfileStore()
    for each in profiles:
        assert made.set(each, "tx") is None
    return made


def limit_w(profiles: ProfileStore, after_s: float = 0.0) -> float:
    return profiles.limit_w(1, FEED, BEGIN + timedelta(seconds=after_s), BEGIN)


def test_without_profiles_the_feed_is_the_limit() -> None:
    assert limit_w(ProfileStore()) == FULL_W


def test_amperes_are_per_phase_and_fewer_phases_mean_less_power() -> None:
    """K01.FR.49, K01.FR.51."""
    assert limit_w(store(profile(unit="A", periods=(Period(0, 10.0),)))) == 10 * 230 * 3
    assert limit_w(store(profile(unit="A", periods=(Period(0, 10.0, 1),)))) == 10 * 230
    assert limit_w(store(profile(unit="W", periods=(Period(0, 99_000.0, 1),)))) == 32 * 230


def test_periods_follow_each_other_until_the_duration_is_over() -> None:
    """K01.FR.11, K01.FR.12."""
    some = store(profile(periods=(Period(0, 1000.0), Period(60, 2000.0), Period(500, 9.0)), duration_s=300))
    assert [limit_w(some, at) for at in (0, 59.9, 60, 299)] == [1000, 1000, 2000, 2000]
    assert limit_w(some, 300) == FULL_W


def test_validity_begins_and_ends() -> None:
    """K01.FR.36, K01.FR.37."""
    some = store(profile(valid_from=BEGIN + timedelta(seconds=10), valid_to=BEGIN + timedelta(seconds=20)))
    assert [limit_w(some, at) for at in (9, 10, 19, 20)] == [FULL_W, 7000, 7000, FULL_W]


def test_the_highest_stack_level_with_a_period_leads() -> None:
    """K01.FR.17; when its schedule is over, the lower one leads again (K01.FR.13)."""
    some = store(profile(1), profile(2, stack_level=1, periods=(Period(0, 9000.0),), duration_s=60))
    assert [limit_w(some, at) for at in (0, 59, 60)] == [9000, 9000, 7000]


def test_a_tx_profile_overrules_defaults_but_not_the_station_maximum() -> None:
    some = store(profile(1), profile(2, purpose="TxProfile", periods=(Period(0, 9000.0),)))
    assert limit_w(some) == 9000
    some.set(profile(3, purpose="ChargingStationMaxProfile", evse_id=0, periods=(Period(0, 4000.0),)), None)
    assert limit_w(some) == 4000
    some.end_transaction("tx")
    some.clear(3)
    assert limit_w(some) == 7000


def test_the_station_maximum_is_for_all_evses_together() -> None:
    some = store(profile(3, purpose="ChargingStationMaxProfile", evse_id=0, periods=(Period(0, 20_000.0),)))
    assert some.limit_w(1, FEED, BEGIN, BEGIN, sharing=2) == 10_000


def test_daily_and_weekly_profiles_come_back() -> None:
    night = profile(kind="Recurring", recurrency="Daily", duration_s=3600)
    assert [limit_w(store(night), day * 86_400) for day in (0, 1, 2)] == [7000, 7000, 7000]
    assert limit_w(store(night), 86_400 + 3600) == FULL_W
    weekly = store(replace(night, recurrency="Weekly"))
    assert [limit_w(weekly, day * 86_400) for day in (0, 1, 7)] == [7000, FULL_W, 7000]


def test_a_relative_profile_counts_from_the_start_of_the_transaction() -> None:
    """K01.FR.42."""
    some = store(profile(kind="Relative", start=None, duration_s=60))
    later = BEGIN + timedelta(hours=5)
    assert some.limit_w(1, FEED, later, later - timedelta(seconds=59)) == 7000
    assert some.limit_w(1, FEED, later, later - timedelta(seconds=60)) == FULL_W


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (profile(purpose="TxProfile", evse_id=0), "InvalidProfile"),  # K01.FR.16
        (profile(purpose="TxProfile", transaction_id="other"), "TxNotFound"),
        (profile(purpose="ChargingStationMaxProfile"), "InvalidProfile"),
        (profile(purpose="ChargingStationMaxProfile", evse_id=0, kind="Relative", start=None), "InvalidProfile"),
        (profile(purpose="ChargingStationExternalConstraints"), "InvalidProfile"),  # K01.FR.22
        (profile(start=None), "InvalidSchedule"),  # K01.FR.40
        (profile(kind="Relative"), "InvalidSchedule"),  # K01.FR.41
        (profile(kind="Recurring"), "InvalidProfile"),
        (profile(periods=(Period(5, 1.0),)), "InvalidSchedule"),
        (profile(periods=(Period(0, 1.0), Period(9, 1.0), Period(3, 1.0))), "InvalidSchedule"),  # K01.FR.35
    ],
)
def test_profiles_that_cannot_be_are_refused(bad: ChargingProfile, reason: str) -> None:
    assert str(ProfileStore().set(bad, "tx")).startswith(reason)


def test_a_tx_profile_without_transaction_is_refused() -> None:
    """K01.FR.09."""
    assert str(ProfileStore().set(profile(purpose="TxProfile"), None)).startswith("TxNotFound")


def test_same_level_is_a_duplicate_in_2_x_and_a_replacement_in_1_6() -> None:
    """K01.FR.06, K01.FR.53; 1.6 section 3.13.2."""
    everywhere = profile(2, evse_id=0)
    assert str(store(profile(1)).set(everywhere, None)).startswith("DuplicateProfile")
    assert store(profile(1)).set(profile(1, periods=(Period(0, 1.0),)), None) is None  # K01.FR.05
    old = ProfileStore(replace_same_level=True)
    assert old.set(profile(1), None) is None
    assert old.set(profile(2, periods=(Period(0, 5.0),)), None) is None
    assert (len(old), limit_w(old)) == (1, 5.0)


def test_clear_matches_all_that_is_given() -> None:
    """K10.FR.03, K10.FR.04."""
    some = store(profile(1), profile(2, stack_level=1), profile(3, purpose="TxProfile"))
    assert some.clear(9) == 0
    assert some.clear(None, purpose="TxDefaultProfile", stack_level=1) == 1
    assert some.clear(1) == 1
    assert some.clear(None, evse_id=1) == 1
    assert len(some) == 0


schedules = st.lists(st.tuples(st.integers(1, 7200), st.sampled_from([0.0, 6.0, 10.5, 16.0, 3000.0])), max_size=4)


@st.composite
def any_profiles(draw: st.DrawFn) -> list[ChargingProfile]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        purpose = draw(st.sampled_from(["ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"]))
        kind = draw(st.sampled_from(["Absolute", "Recurring"] + ["Relative"] * (purpose[0] == "T")))
        later = sorted(dict(draw(schedules)).items())
        periods = tuple(Period(start, limit, draw(st.integers(1, 3))) for start, limit in [(0, 16.0), *later])
        offset = timedelta(seconds=draw(st.integers(-100_000, 4000)))
        valid_from = BEGIN + timedelta(seconds=draw(st.integers(-100, 3000)))
        made.append(
            profile(
                number,
                evse_id=0 if purpose[0] == "C" else 1,
                stack_level=number,
                purpose=purpose,
                kind=kind,
                unit=draw(st.sampled_from(["A", "W"])),
                periods=periods,
                start=None if kind == "Relative" else BEGIN + offset,
                duration_s=draw(st.none() | st.integers(1, 9000)),
                recurrency="Daily" if kind == "Recurring" else None,
                valid_from=draw(st.none() | st.just(valid_from)),
                valid_to=draw(st.none() | st.just(valid_from + timedelta(seconds=draw(st.integers(1, 4000))))),
            )
        )
    return made


@given(any_profiles(), st.lists(st.integers(0, 7199), min_size=5, max_size=20))
def test_the_limit_is_never_above_a_leading_profile(profiles: list[ChargingProfile], instants: list[int]) -> None:
    """SC.01: the merged limit is at most that of the leading profile of every purpose, and of the feed."""
    some = store(*profiles)
    for at_s in instants:
        now = BEGIN + timedelta(seconds=at_s)
        merged = some.limit_w(1, FEED, now, BEGIN)
        assert 0.0 <= merged <= FULL_W
        purposes = {"ChargingStationMaxProfile", "TxProfile"}
        in_force = [(p, period) for p in profiles if (period := p.period_at(now, BEGIN)) is not None]
        if not any(p.purpose == "TxProfile" for p, _ in in_force):
            purposes.add("TxDefaultProfile")
        for purpose in purposes:
            leading = max(
                (x for x in in_force if x[0].purpose == purpose), key=lambda x: x[0].stack_level, default=None
            )
            if leading is not None:
                assert merged <= FEED.watts(leading[1], leading[0].unit)


@given(any_profiles(), st.lists(st.integers(0, 7199), min_size=5, max_size=20))
def test_the_composite_schedule_is_the_limit_at_every_instant(
    profiles: list[ChargingProfile], instants: list[int]
) -> None:
    """K08.FR.02, K08.FR.04."""
    some = store(*profiles)
    schedule = some.composite([Outlet(1, FEED, BEGIN)], BEGIN, 7200)
    starts = [start for start, _ in schedule]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    for at_s in instants:
        [limit] = [limit for start, limit in schedule if start <= at_s][-1:]
        assert limit == some.limit_w(1, FEED, BEGIN + timedelta(seconds=at_s), BEGIN)
