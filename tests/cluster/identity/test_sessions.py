"""Sessions begin, go on and end; what was ended is known to every process soon, also after an outage."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from actors.errors import Unavailable
from cluster.identity.sessions import RecentlyEnded, Sessions
from tests.twins.identity import memory_stores

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Outage:
    """EndedQuery that fails, then answers, then fails."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []
        self.answers: list[frozenset[str] | None] = [None, None, frozenset({"s-1"}), None, None, frozenset({"s-2"})]

    async def ended_since(self, at: datetime) -> frozenset[str]:
        self.asked.append(at)
        answer = self.answers.pop(0) if self.answers else frozenset({"s-2"})
        if answer is None:
            raise Unavailable("the database cannot be reached now")
        return answer


async def test_what_was_ended_is_known_as_long_as_access_tokens_of_it_live(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    query = Outage()
    ended = RecentlyEnded(query, token_life_s=300, every_s=0.001, clock=lambda: NOON)
    running = asyncio.create_task(ended.run())
    seen = []
    async with asyncio.timeout(10):
        while not ended.has("s-2"):
            seen.append(ended.has("s-1"))
            await asyncio.sleep(0)
    running.cancel()
    assert True in seen, "the last answer holds during an outage"
    assert query.asked[0] == NOON - timedelta(seconds=360)
    assert caplog.messages == ["ended sessions cannot be looked up"] * 2, "told once an outage"
    assert not ended.has(None)


async def test_somebody_else_who_logs_in_ends_the_session_of_who_was_there() -> None:
    stores = memory_stores()
    ids = iter("12345")
    sessions = Sessions(stores.sessions, 600, 3600, lambda: NOON, lambda: next(ids))
    first, secret = await sessions.begin("ann", None, "192.0.2.1", "x" * 1000)
    assert await sessions.current(secret) == first
    assert first.user_agent == "x" * 256
    again, renewed = await sessions.begin("ann", first, None, None)
    assert again.id == first.id
    assert await sessions.current(secret) is None
    other, _ = await sessions.begin("bob", again, None, None)
    assert other.id != first.id
    assert await sessions.current(renewed) is None
    assert await sessions.current(None) is None


async def test_use_is_noted_once_a_minute() -> None:
    stores, at = memory_stores(), [NOON]
    sessions = Sessions(stores.sessions, 600, 3600, lambda: at[0], lambda: "1")
    _, secret = await sessions.begin("ann", None, None, None)
    for seconds, noted in ((30, 0), (59, 0), (60, 60), (100, 60), (125, 125)):
        at[0] = NOON + timedelta(seconds=seconds)
        await sessions.current(secret)
        assert (await sessions.page("ann")).items[0].seen_at == NOON + timedelta(seconds=noted)
