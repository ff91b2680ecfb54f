"""The rules of sharing: what somebody is to a holding, in which terms, and who may give what."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import BadRequest
from cluster.identity.relation import (
    Holding,
    Relation,
    Terms,
    Tie,
    Use,
    Window,
    allowance_wh,
    check_terms,
    deciding,
    exhausted,
    may_give,
    window,
)

pytestmark = pytest.mark.pure

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)  # a Monday
HOME = Holding("station", "CP-1")
DEPOT = Holding("site", "DEPOT")
RELATIONS: tuple[Relation, ...] = ("owner", "co-owner", "guest")


def tie(relation: Relation, subject: str = "ann", holding: Holding = HOME, **terms: datetime) -> Tie:
    return Tie(subject, holding, relation, "staff", NOON, Terms(**terms))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("giver", "may"),
    [
        ("owner", {"owner", "co-owner", "guest"}),
        ("co-owner", {"guest"}),
        ("guest", set()),
        (None, set()),
    ],
)
def test_who_may_give_what(giver: Relation | None, may: set[str]) -> None:
    assert {relation for relation in RELATIONS if may_give(giver, relation)} == may


def test_a_stranger_is_nothing_to_a_place() -> None:
    assert deciding("ann", [], NOON) is None
    assert deciding("ann", [tie("owner", "bob")], NOON) is None


def test_a_relation_holds_from_its_beginning_up_to_its_end() -> None:
    limited = tie("guest", valid_from=NOON, valid_until=NOON + timedelta(hours=1))
    moments = {-1: False, 0: True, 3599: True, 3600: False}
    for seconds, holds in moments.items():
        assert (deciding("ann", [limited], NOON + timedelta(seconds=seconds)) is not None) is holds


def test_a_relation_to_a_site_holds_for_its_stations_and_the_strongest_counts() -> None:
    on_site = tie("co-owner", holding=DEPOT)
    assert deciding("ann", [on_site], NOON) == on_site
    assert deciding("ann", [tie("guest"), on_site], NOON) == on_site
    assert deciding("ann", [tie("co-owner"), on_site], NOON) == tie("co-owner"), "the station's own goes first"
    over = tie("owner", holding=DEPOT, valid_until=NOON)
    assert deciding("ann", [tie("guest"), over], NOON) == tie("guest")


def test_the_owner_of_a_site_is_a_co_owner_of_a_station_with_an_owner_of_its_own() -> None:
    site = tie("owner", holding=DEPOT)
    assert deciding("ann", [site], NOON) == site
    beside = deciding("ann", [site, tie("owner", "bob")], NOON)
    assert beside is not None
    assert (beside.relation, beside.holding) == ("co-owner", DEPOT)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((HOME, DEPOT)), st.sampled_from(RELATIONS))))
def test_nobody_but_one_owns_a_station(drawn: list[tuple[str, Holding, Relation]]) -> None:
    """A holding has one owner at most; of a station with its site, both of which may have one, one of them."""
    kept: dict[tuple[Holding, str], Tie] = {}
    for subject, holding, relation in drawn:
        if relation == "owner" and any(g.relation == "owner" and g.holding == holding for g in kept.values()):
            continue
        kept[holding, subject] = tie(relation, subject, holding)
    found = [deciding(subject, kept.values(), NOON) for subject in "abc"]
    assert sum(one is not None and one.relation == "owner" for one in found) <= 1


@pytest.mark.parametrize(
    ("relation", "terms"),
    [
        ("owner", Terms(valid_until=NOON + timedelta(days=1))),
        ("owner", Terms(charges=1)),
        ("co-owner", Terms(energy_total_wh=1.0)),
        ("guest", Terms(valid_until=NOON)),
        ("guest", Terms(valid_from=NOON + timedelta(days=2), valid_until=NOON + timedelta(days=1))),
    ],
)
def test_terms_that_a_relation_cannot_have(relation: Relation, terms: Terms) -> None:
    with pytest.raises(BadRequest):
        check_terms(relation, terms, NOON)


@pytest.mark.parametrize(
    ("relation", "terms"),
    [
        ("owner", Terms()),
        ("co-owner", Terms(valid_until=NOON + timedelta(days=1))),
        ("guest", Terms(NOON, NOON + timedelta(days=1), 1.0, 2.0, 3, Window(time(8), time(9)))),
    ],
)
def test_terms_that_a_relation_can_have(relation: Relation, terms: Terms) -> None:
    check_terms(relation, terms, NOON)


def test_a_guest_with_nothing_left_cannot_begin_another_charge() -> None:
    terms = Terms(energy_per_charge_wh=5000.0, energy_total_wh=8000.0, charges=2)
    assert exhausted(terms, Use(), NOON) is None
    assert exhausted(terms, Use(1, 7999.0), NOON) is None
    assert exhausted(terms, Use(2, 100.0), NOON) == "no charges left"
    assert exhausted(terms, Use(1, 8000.0), NOON) == "no energy left"
    assert exhausted(Terms(), Use(99, 1e9), NOON) is None


def test_what_a_charge_may_take_is_the_least_of_its_bounds() -> None:
    assert allowance_wh(Terms(), Use(3, 100.0)) is None
    assert allowance_wh(Terms(energy_per_charge_wh=5000.0), Use(3, 9000.0)) == 5000.0
    both = Terms(energy_per_charge_wh=5000.0, energy_total_wh=8000.0)
    assert [allowance_wh(both, Use(1, used)) for used in (0.0, 2000.0, 4000.0, 9000.0)] == [5000.0, 5000.0, 4000.0, 0.0]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC)


def test_hours_of_some_days_in_a_time_zone() -> None:
    working = Window(time(8), time(18), (0, 1), "Europe/Berlin")  # two hours ahead of UTC in May
    open_at = {(4, 5, 59): False, (4, 6): True, (4, 15, 59): True, (4, 16): False, (5, 10): True, (6, 10): False}
    assert {moment: working.is_open(at(*moment)) for moment in open_at} == open_at


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = Window(time(22), time(6), (4,))  # Fridays
    open_at = {(8, 21): False, (8, 22): True, (9, 5, 59): True, (9, 6): False, (9, 22): False, (8, 3): False}
    assert {moment: night.is_open(at(*moment)) for moment in open_at} == open_at


@given(st.times(), st.times(), st.datetimes(timezones=st.just(UTC)))
def test_at_every_moment_either_some_hours_are_open_or_the_others(begins: time, ends: time, now: datetime) -> None:
    if begins == ends:
        return
    assert Window(begins, ends).is_open(now) is not Window(ends, begins).is_open(now)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Window(time(8), time(8)),
        lambda: Window(time(8, tzinfo=UTC), time(9)),
        lambda: Window(time(8), time(9), ()),
        lambda: Window(time(8), time(9), (7,)),
        lambda: Window(time(8), time(9), zone="Nowhere/Else"),
        lambda: Window(time(8), time(9), zone="../../etc/passwd"),
        lambda: window(time(8), None, None, None),
    ],
)
def test_hours_that_name_no_time(made: object) -> None:
    with pytest.raises(BadRequest):
        made()  # type: ignore[operator]


def test_relations_are_ordered_by_what_they_may_give() -> None:
    gifts = [{other for other in RELATIONS if may_give(relation, other)} for relation in RELATIONS]
    assert all(less < more for more, less in pairwise(gifts))
