"""Attempts are counted alike in memory, in Valkey and in PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from cluster.bus.attempts import ValkeyAttempts
from cluster.identity.brakes import Attempts, Brake
from cluster.store.attempts import PostgresAttempts
from tests.cluster.bus.conftest import Wire, prefix, valkey, wire, wired  # noqa: F401
from tests.twins.identity import MemoryAttempts

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ACCOUNT = Brake("account:a", 3, 1 / 60, 1.0, 8.0)
ADDRESS = Brake("address:b", 100, 1.0, 1.0, 8.0)
BOTH = [ACCOUNT, ADDRESS]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture(params=["memory", "valkey", "postgres"])
def attempts(request: pytest.FixtureRequest) -> Attempts:
    if request.param == "memory":
        return MemoryAttempts()
    if request.param == "valkey":
        return ValkeyAttempts(request.getfixturevalue("valkey"), request.getfixturevalue("prefix"))
    engine: AsyncEngine = request.getfixturevalue("engine")
    return PostgresAttempts(engine)


async def test_after_the_free_ones_each_must_wait_twice_as_long_up_to_a_bound(attempts: Attempts) -> None:
    """A fast leak would hide the doubling, so this brake forgets one attempt in 10,000 seconds."""
    slow = ACCOUNT._replace(per_s=1e-4)
    for _ in range(slow.burst):
        assert await attempts.take([slow], NOON) == 0
    waits, now = [], 0.0
    for _ in range(6):
        assert await attempts.take([slow], at(now)) == 0
        waits.append(await attempts.take([slow], at(now)))
        now += waits[-1] + 0.001
    assert waits == pytest.approx([1, 2, 4, 8, 8, 8], rel=0.01)


async def test_a_closed_brake_counts_nothing_on_any(attempts: Attempts) -> None:
    for _ in range(4):
        await attempts.take(BOTH, NOON)
    assert await attempts.take(BOTH, at(0.25)) == pytest.approx(0.75)
    for _ in range(96):
        assert await attempts.take([ADDRESS], NOON) == 0
    assert await attempts.take([ADDRESS], NOON) == 0, "the refused attempt was not counted on the address"
    assert await attempts.take([ADDRESS], NOON) > 0


async def test_what_was_counted_leaks_away(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.take([ACCOUNT], NOON)
    assert await attempts.take([ACCOUNT], at(61)) == 0
    assert await attempts.take([ACCOUNT], at(61)) == 0, "one was forgotten after a minute"


async def test_success_forgets_the_account_and_gives_one_back_to_the_others(attempts: Attempts) -> None:
    narrow = ADDRESS._replace(burst=1)
    assert await attempts.take([ACCOUNT, narrow], NOON) == 0
    assert await attempts.take([ACCOUNT, narrow], NOON) == 0
    await attempts.give_back([ACCOUNT], [narrow])
    assert await attempts.take([narrow], NOON) == 0, "the address is open again"
    assert await attempts.take([narrow], NOON) > 0, "and only the attempt that succeeded was forgotten"
    for _ in range(3):
        assert await attempts.take([ACCOUNT], NOON) == 0
    await attempts.give_back([], [Brake("never seen", 1, 1, 1, 1)])


async def test_of_many_at_once_only_the_free_ones_get_through(attempts: Attempts) -> None:
    answers = await asyncio.gather(*(attempts.take(BOTH, NOON) for _ in range(20)))
    assert sum(wait_s == 0 for wait_s in answers) == 4, "three are free, the fourth closes"


STEPS = st.lists(
    st.tuples(st.floats(0, 200), st.sampled_from(["take", "give back"]), st.sampled_from([[ACCOUNT], BOTH])),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_all_three_count_alike_whatever_happens(steps: list[tuple[float, str, list[Brake]]], valkey: Redis,  # noqa: F811
                                                      engine: AsyncEngine) -> None:  # fmt: skip
    counted: list[Attempts] = [MemoryAttempts(), ValkeyAttempts(valkey, uuid4().hex), PostgresAttempts(engine)]
    await PostgresAttempts(engine).give_back(BOTH, [])
    now = 0.0
    for pause_s, action, brakes in steps:
        now += pause_s
        if action == "take":
            waits = [await attempts.take(brakes, at(now)) for attempts in counted]
            assert waits == pytest.approx([waits[0]] * 3, abs=1e-3)
        else:
            for attempts in counted:
                await attempts.give_back(brakes[:1], brakes[1:])


async def test_valkey_that_is_away_is_told(wired: Redis, wire: Wire, prefix: str) -> None:  # noqa: F811
    attempts = ValkeyAttempts(wired, prefix)
    await attempts.take(BOTH, NOON)
    await wire.cut()
    with pytest.raises(Unavailable):
        await attempts.take(BOTH, NOON)


async def test_counters_expire_in_valkey(valkey: Redis, prefix: str) -> None:  # noqa: F811
    await ValkeyAttempts(valkey, prefix).take(BOTH, NOON)
    found = {key: await valkey.ttl(key) async for key in valkey.scan_iter(f"{prefix}:*")}
    assert sorted(found.values()) == [2, 61]
