"""Powers become whole levels that are never above them, and few levels the best that so few can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.levels import Level, levels_of, merged, reduced, seconds_of
from optimizer.plan import Segment

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
TENTHS_OF_AN_AMPERE_PER_KW = 10 * 1000 / 690


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def whole(segments: list[Segment], until_s: int, least: int = 0) -> tuple[Level, ...]:
    seconds = seconds_of([edge for each in segments for edge in (each.start, each.end)], NOON, until_s)
    return merged(levels_of(segments, NOON, seconds, TENTHS_OF_AN_AMPERE_PER_KW, least))


def test_a_power_is_cut_off_to_the_grain_and_what_is_meant_as_six_amperes_is_six() -> None:
    assert whole([Segment(at(0), at(900), 11.0)], 900) == (Level(0, 159),)
    assert whole([Segment(at(0), at(900), 6 * 3 * 230 / 1000)], 900, least=60) == (Level(0, 60),)


def test_below_what_a_car_charges_with_there_is_nothing() -> None:
    assert whole([Segment(at(0), at(900), 4.1)], 900, least=60) == (Level(0, 0),)


def test_a_second_in_which_the_power_changes_has_the_lower_one() -> None:
    rising = [Segment(at(0), at(10.5), 5.0), Segment(at(10.5), at(20), 10.0)]
    assert [level.start_s for level in whole(rising, 20)] == [0, 11]
    falling = [Segment(at(0), at(10.5), 10.0), Segment(at(10.5), at(20), 5.0)]
    assert [level.start_s for level in whole(falling, 20)] == [0, 10]


def test_outside_of_the_segments_nothing_is_allowed() -> None:
    assert whole([Segment(at(10.2), at(20), 11.0)], 30) == (Level(0, 0), Level(11, 159), Level(20, 0))
    assert whole([Segment(at(-50), at(20), 11.0)], 30) == (Level(0, 159), Level(20, 0))


lengths = st.lists(st.floats(0.3, 40).map(lambda each: round(each, 3)), min_size=1, max_size=6)


@given(lengths, st.data())
def test_no_level_is_above_the_power_in_any_second(spans: list[float], data: st.DataObject) -> None:
    powers = data.draw(st.lists(st.floats(0, 22), min_size=len(spans), max_size=len(spans)))
    segments, now = [], 0.0
    for span, power in zip(spans, powers, strict=True):
        segments.append(Segment(at(now), at(now + span), power))
        now += span
    until_s = int(now) + 3
    levels = whole(segments, until_s)
    for second in range(until_s):
        level = max((each for each in levels if each.start_s <= second), key=lambda each: each.start_s)
        within = [each.power_kw for each in segments if each.start < at(second + 1) and each.end > at(second)]
        allowed = min(within, default=0.0) if second + 1 <= now + 1e-9 else 0.0
        assert level.grains <= allowed * TENTHS_OF_AN_AMPERE_PER_KW * (1 + 1e-8) + 1e-8


plans = st.integers(2, 5).flatmap(
    lambda count: st.tuples(
        st.lists(st.sampled_from([0, 6, 8, 10]), min_size=count, max_size=count),
        st.lists(st.sampled_from([0, 2, 4]), min_size=count, max_size=count),
        st.lists(st.integers(-2, 5), min_size=count, max_size=count),
        st.lists(st.integers(1, 3), min_size=count, max_size=count),
        st.integers(1, count),
    )
)


@given(plans)
def test_few_levels_are_the_best_that_so_few_can_be(
    drawn: tuple[list[int], list[int], list[int], list[int], int],
) -> None:
    """Every way to cut and every level is tried: first the least energy is missing, then the least extra is paid."""
    plan, spare, prices, spans, most = drawn
    starts = [sum(spans[:place]) for place in range(len(spans))]
    roof = [each + more for each, more in zip(plan, spare, strict=True)]
    levels = [Level(start, grains) for start, grains in zip(starts, plan, strict=True)]
    few = reduced(levels, sum(spans), most, prices, roof, least=6)
    if len(merged(levels)) <= most:
        assert few == merged(levels)
        return
    assert len(few) <= most
    held = [
        max((each for each in few if each.start_s <= start), key=lambda each: each.start_s).grains for start in starts
    ]
    assert all(grains <= top and (grains == 0 or grains >= 6) for grains, top in zip(held, roof, strict=True))

    def worth(tried: list[int]) -> tuple[int, int]:
        each = list(zip(tried, plan, prices, spans, strict=True))
        missing = sum(max(0, wanted - got) * span for got, wanted, _, span in each)
        return missing, sum(max(0, got - wanted) * price * span for got, wanted, price, span in each)

    assert worth(held) == min(worth(tried) for tried in _all(sorted({0, *plan, *roof}), roof, most))


def _all(heights: list[int], roof: list[int], most: int) -> list[list[int]]:
    found = []
    for inner in range(min(most, len(roof))):
        for cuts in combinations(range(1, len(roof)), inner):
            edges = [0, *cuts, len(roof)]
            stretches = list(pairwise(edges))
            for grains in product(heights, repeat=len(stretches)):
                tried = [each for (a, b), each in zip(stretches, grains, strict=True) for _ in range(a, b)]
                if all(each <= top and not 0 < each < 6 for each, top in zip(tried, roof, strict=True)):
                    found.append(tried)
    return found


def test_without_room_above_the_plan_what_is_joined_takes_the_lower_level() -> None:
    levels = [Level(0, 10), Level(60, 8), Level(600, 10)]
    assert reduced(levels, 1200, 2) == (Level(0, 8), Level(600, 10))
    with pytest.raises(ValueError, match="a level at least"):
        reduced(levels, 1200, 0)
