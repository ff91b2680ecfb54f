"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from cluster.idempotency import AnswerUnreadable, Attempt, Claims, FirstAnswer, KeyReused, Repeats, UnderWay
from cluster.identity.caller import Caller
from cluster.store.engine import make_engine
from cluster.store.idempotency import PostgresClaims
from tests.twins.idempotency import MemoryClaims

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LOCK, KEPT = timedelta(seconds=60), timedelta(hours=24)
SECRET = b"s" * 32
ANN, BOB = Caller("ann", "cloudbay"), Caller("bob", "cloudbay")
CREATED = FirstAnswer(201, {"location": "/stations/CP-9"}, b'{"password":"hunter2"}')
EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "postgres"])
def claims(request: pytest.FixtureRequest) -> Claims:
    if request.param == "memory":
        return MemoryClaims()
    return PostgresClaims(request.getfixturevalue("engine"))


@pytest.fixture
def repeats(claims: Claims, clock: Clock) -> Repeats:
    return Repeats(claims, SECRET, LOCK, KEPT, clock, lambda: str(uuid4()))


async def begun(repeats: Repeats, caller: Caller = ANN, key: str = "k", fingerprint: bytes = b"f" * 32) -> Attempt:
    found = await repeats.begin(caller, key, fingerprint)
    assert isinstance(found, Attempt)
    return found


async def test_a_repeat_gets_the_first_answer(repeats: Repeats) -> None:
    attempt = await begun(repeats)
    assert not attempt.again
    await repeats.keep(attempt, CREATED)
    assert await repeats.begin(ANN, "k", b"f" * 32) == CREATED


async def test_a_key_belongs_to_its_caller(repeats: Repeats) -> None:
    await repeats.keep(await begun(repeats, ANN), CREATED)
    assert not (await begun(repeats, BOB)).again
    assert not (await begun(repeats, Caller("ann", "another issuer"))).again


async def test_a_key_is_for_one_request(repeats: Repeats) -> None:
    """Section 2.7: 422."""
    attempt = await begun(repeats)
    with pytest.raises(KeyReused):
        await repeats.begin(ANN, "k", b"other" * 6)
    await repeats.keep(attempt, CREATED)
    with pytest.raises(KeyReused):
        await repeats.begin(ANN, "k", b"other" * 6)
    assert KeyReused.http_status == 422


async def test_a_repeat_waits_while_the_first_is_under_way(repeats: Repeats, clock: Clock) -> None:
    """Section 2.7: 409."""
    await begun(repeats)
    clock.now += timedelta(seconds=20)
    with pytest.raises(UnderWay) as refused:
        await repeats.begin(ANN, "k", b"f" * 32)
    assert (refused.value.http_status, refused.value.retry_after_s) == (409, 40)


async def test_who_takes_over_knows_it_and_makes_the_same_things(repeats: Repeats, clock: Clock) -> None:
    first = await begun(repeats)
    clock.now += LOCK
    second = await begun(repeats)
    assert second.again
    assert second.id_of("command") == first.id_of("command") != second.id_of("restart")
    with pytest.raises(UnderWay):
        await repeats.begin(ANN, "k", b"f" * 32)


async def test_the_first_answer_holds_even_if_another_attempt_was_made_meanwhile(
    repeats: Repeats, clock: Clock
) -> None:
    slow = await begun(repeats)
    clock.now += LOCK
    quick = await begun(repeats)
    await repeats.keep(quick, CREATED)
    await repeats.keep(slow, FirstAnswer(409, {}, b""))
    await repeats.give_back(slow)
    assert await repeats.begin(ANN, "k", b"f" * 32) == CREATED


async def test_an_attempt_that_led_to_nothing_is_made_again_at_once(repeats: Repeats) -> None:
    first = await begun(repeats)
    await repeats.give_back(first)
    second = await begun(repeats)
    assert second.again
    assert second.claim_id == first.claim_id


async def test_answers_are_kept_for_a_day_and_a_key_is_new_after_that(
    repeats: Repeats, claims: Claims, clock: Clock
) -> None:
    first = await begun(repeats)
    await repeats.keep(first, CREATED)
    clock.now += KEPT - timedelta(seconds=1)
    assert await repeats.purge() == 0
    assert await repeats.begin(ANN, "k", b"f" * 32) == CREATED
    clock.now += timedelta(seconds=1)
    other = await begun(repeats, fingerprint=b"other" * 6)
    assert not other.again
    assert other.claim_id != first.claim_id
    await repeats.keep(first, CREATED)
    with pytest.raises(UnderWay):
        await repeats.begin(ANN, "k", b"other" * 6)
    clock.now += KEPT
    assert await repeats.purge() == 1
    assert await repeats.purge() == 0


async def test_the_database_sees_no_key_and_no_answer(engine: AsyncEngine, clock: Clock) -> None:
    repeats = Repeats(PostgresClaims(engine), SECRET, LOCK, KEPT, clock, lambda: str(uuid4()))
    await repeats.keep(await begun(repeats, key="a-key-of-ann"), CREATED)
    async with engine.connect() as connection:
        ((row,),) = await connection.execute(text("SELECT idempotency_keys::text FROM idempotency_keys"))
    for marker in (b"a-key-of-ann", b"hunter2", b"location", b"ann"):
        assert marker.hex() not in row
        assert marker.decode() not in row


async def test_an_answer_that_was_moved_to_another_claim_is_not_given(clock: Clock) -> None:
    claims = MemoryClaims()
    repeats = Repeats(claims, SECRET, LOCK, KEPT, clock, lambda: str(uuid4()))
    await repeats.keep(await begun(repeats, key="a"), CREATED)
    victim = await begun(repeats, key="b")
    (stolen,) = [claim.answer for claim in claims.held.values() if claim.answer]
    await claims.keep(victim.name, victim.claim_id, stolen)
    with pytest.raises(AnswerUnreadable):
        await repeats.begin(ANN, "b", b"f" * 32)


async def test_without_a_database_nothing_begins_and_what_is_done_is_answered(clock: Clock) -> None:
    claims = MemoryClaims()
    repeats = Repeats(claims, SECRET, LOCK, KEPT, clock, lambda: str(uuid4()))
    attempt = await begun(repeats)
    claims.down = True
    with pytest.raises(Unavailable):
        await repeats.begin(ANN, "other", b"f" * 32)
    await repeats.keep(attempt, CREATED)
    await repeats.give_back(attempt)


async def test_a_database_that_is_away(clock: Clock) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", "cloudbay tests")
    with pytest.raises(Unavailable):
        await Repeats(PostgresClaims(engine), SECRET, LOCK, KEPT, clock, lambda: str(uuid4())).begin(ANN, "k", b"")
    await engine.dispose()


class Sent(NamedTuple):
    """One request of many at the same time, and what becomes of it."""

    key: int
    payload: int
    turns: int
    """How often others may go on while it is carried out."""
    end: Literal["answered", "failed", "killed"]


SENT = st.builds(
    Sent, st.integers(0, 1), st.integers(0, 1), st.integers(0, 3), st.sampled_from(["answered", "failed", "killed"])
)
WAVES = st.lists(st.tuples(st.lists(SENT, min_size=1, max_size=6), st.sampled_from([1, 30, 61])), max_size=5)


class Done:
    """What was done, and who was told what."""

    def __init__(self) -> None:
        self.ids = defaultdict[int, set[str]](set)
        self.payloads = defaultdict[int, set[int]](set)
        self.answers = defaultdict[int, set[bytes]](set)
        self.busy = set[int]()

    async def send(self, repeats: Repeats, prefix: str, sent: Sent) -> None:
        try:
            found = await repeats.begin(ANN, f"{prefix}{sent.key}", bytes([sent.payload]) * 32)
        except (KeyReused, UnderWay):
            return
        if isinstance(found, FirstAnswer):
            assert self.payloads[sent.key] == {sent.payload}
            self.answers[sent.key].add(found.body)
            return
        assert sent.key not in self.busy, "two at the same time"
        self.busy.add(sent.key)
        for _ in range(sent.turns):
            await asyncio.sleep(0)
        self.ids[sent.key].add(found.id_of("command"))
        self.payloads[sent.key].add(sent.payload)
        self.busy.remove(sent.key)
        if sent.end == "answered":
            answer = FirstAnswer(202, {}, uuid4().bytes)
            self.answers[sent.key].add(answer.body)
            await repeats.keep(found, answer)
        elif sent.end == "failed":
            await repeats.give_back(found)


@EXAMPLES
@given(waves=WAVES)
async def test_whatever_is_repeated_at_whatever_moment_is_done_once(
    claims: Claims, waves: list[tuple[list[Sent], int]]
) -> None:
    clock, done, prefix = Clock(), Done(), str(uuid4())
    repeats = Repeats(claims, SECRET, LOCK, KEPT, clock, lambda: str(uuid4()))
    for wave, later_s in waves:
        await asyncio.gather(*(done.send(repeats, prefix, sent) for sent in wave))
        clock.now += timedelta(seconds=later_s)
    assert all(len(ids) == 1 for ids in done.ids.values()), "one id for each key"
    assert all(len(payloads) == 1 for payloads in done.payloads.values())
    assert all(len(answers) <= 1 for answers in done.answers.values()), "one answer for each key"
