"""Retries back off for as long as they may, endpoints that fail are left alone, and paused when they fail for long."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.webhooks.model import Answer, Health
from cluster.webhooks.schedule import MAX_DELAY_S, MAX_REST_S, Schedule

pytestmark = pytest.mark.pure

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
OK, BROKEN, SILENT, GONE = Answer(204), Answer(500), Answer(error="no answer within 15 s"), Answer(410)
chances = st.floats(0, 1)


def schedule(chance: float = 0.0) -> Schedule:
    return Schedule(timedelta(hours=48), lambda: chance)


def tries(answer: Answer, chance: float) -> list[timedelta]:
    """Return when a delivery is tried whose every attempt brings this answer, from its first attempt on."""
    rules, now, found = schedule(chance), NOON, [timedelta()]
    while True:
        verdict = rules.verdict(answer, len(found), now, NOON + DAY)
        if verdict.next_at is None:
            assert verdict.state == "dead"
            return found
        now = verdict.next_at
        found.append(now - NOON)


@given(chances)
def test_a_delivery_that_always_fails_is_tried_for_24_hours_and_then_dead(chance: float) -> None:
    found = tries(BROKEN, chance)
    assert found[-1] == DAY, "the last attempt is at the end of its time"
    assert len(found) < 80
    gaps = [later - earlier for earlier, later in pairwise(found[:-1])]
    assert timedelta(seconds=2.5) <= gaps[0] <= timedelta(seconds=5)
    assert gaps == sorted(gaps), "each wait is as long as the one before or longer"
    assert max(gaps) <= timedelta(seconds=MAX_DELAY_S)


@given(st.integers(1, 10_000), chances, chances)
def test_chance_shortens_a_delay_by_half_at_most(attempts: int, one: float, other: float) -> None:
    expires = NOON + 10 * DAY
    first = schedule(one).verdict(BROKEN, attempts, NOON, expires).next_at
    second = schedule(other).verdict(BROKEN, attempts, NOON, expires).next_at
    assert first is not None
    assert second is not None
    assert (first - NOON) * 0.5 <= second - NOON <= (first - NOON) * 2


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    """Standard Webhooks, "Delivery success and failure"."""
    assert schedule().verdict(Answer(status), 1, NOON, NOON + DAY).state == "delivered"


@pytest.mark.parametrize("answer", [Answer(199), Answer(301), Answer(308), Answer(404), BROKEN, SILENT])
def test_everything_else_is_tried_again(answer: Answer) -> None:
    assert schedule().verdict(answer, 1, NOON, NOON + DAY).state == "waiting"


def test_an_endpoint_that_is_gone_gets_nothing_more() -> None:
    """Standard Webhooks, "Delivery success and failure", 410 Gone."""
    assert schedule().verdict(GONE, 1, NOON, NOON + DAY).state == "dead"
    assert schedule().health(Health(), [GONE], True, NOON).pause == "gone"


def test_retry_after_is_waited_for_but_not_for_ever() -> None:
    """Standard Webhooks, "Delivery success and failure"; RFC 9110, 10.2.3."""
    minutes = Answer(503, retry_after_s=120)
    assert schedule().verdict(minutes, 1, NOON, NOON + DAY).next_at == NOON + timedelta(minutes=2)
    years = Answer(429, retry_after_s=1e9)
    assert schedule().verdict(years, 1, NOON, NOON + DAY).next_at == NOON + timedelta(seconds=MAX_DELAY_S)


def test_no_attempt_is_planned_after_a_delivery_s_time() -> None:
    soon = NOON + timedelta(seconds=1)
    assert schedule().verdict(BROKEN, 9, NOON, soon).next_at == soon
    assert schedule().verdict(BROKEN, 9, soon, soon).state == "dead"


def test_an_endpoint_that_answers_nothing_well_rests_longer_and_longer_up_to_a_bound() -> None:
    health, rests = Health(), []
    for _ in range(12):
        health = schedule().health(health, [BROKEN, SILENT], False, NOON)
        assert health.rest_until is not None
        rests.append((health.rest_until - NOON).total_seconds())
    assert rests[:4] == [5, 10, 20, 40]
    assert rests[-1] == MAX_REST_S


def test_one_success_is_enough_for_an_endpoint_to_count_as_well() -> None:
    bad = Health(9, NOON - 30 * DAY, NOON)
    assert schedule().health(bad, [BROKEN, OK], True, NOON) == Health()


def test_an_overloaded_endpoint_rests_as_long_as_it_asks_for_even_if_it_took_something() -> None:
    """Standard Webhooks, "Delivery success and failure", 429."""
    health = schedule().health(Health(), [OK, Answer(429, retry_after_s=600)], False, NOON)
    assert health == Health(rest_until=NOON + timedelta(minutes=10))


def test_an_endpoint_is_paused_when_it_has_failed_for_long_and_another_delivery_dies() -> None:
    failing = Health(50, NOON - timedelta(hours=48))
    assert schedule().health(failing, [BROKEN], False, NOON).pause is None, "it may have been a quiet week"
    assert schedule().health(failing, [BROKEN], True, NOON).pause == "failing"
    lately = Health(50, NOON - timedelta(hours=47))
    assert schedule().health(lately, [BROKEN], True, NOON).pause is None


def test_nothing_is_learned_from_no_attempt() -> None:
    before = Health(3, NOON - DAY, NOON)
    assert schedule().health(before, [], False, NOON) == before
