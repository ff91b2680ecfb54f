"""What processes say of themselves is heard of all of them alike, in memory and in Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from cluster.bus.vitals import ValkeyVitals, Vitals, telling
from tests.twins.vitals import MemoryVitals

KEPT_S = 1.0
Later = Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "valkey"])
def kept(request: pytest.FixtureRequest) -> tuple[Vitals, Later]:
    """Return vitals, and how the time passes in which they are kept."""
    if request.param == "memory":
        memory = MemoryVitals(KEPT_S)

        async def pass_by() -> None:
            memory.now_s += 2.5

        return memory, pass_by
    client: Redis = request.getfixturevalue("valkey")

    async def wait() -> None:
        await asyncio.sleep(2.1)  # the server's clock, in whole seconds

    return ValkeyVitals(client, request.getfixturevalue("prefix"), KEPT_S), wait


async def test_the_latest_word_of_each_process_counts(kept: tuple[Vitals, Later]) -> None:
    vitals, _ = kept
    assert await vitals.latest() == {}
    await vitals.tell("a:1", {"live_listeners": 3})
    await vitals.tell("b:7", {"live_listeners": 0, "audit_waiting_seconds": 0.25})
    await vitals.tell("a:1", {"live_listeners": 4})
    assert await vitals.latest() == {
        "a:1": {"live_listeners": 4},
        "b:7": {"live_listeners": 0, "audit_waiting_seconds": 0.25},
    }


async def test_a_process_that_has_ended_is_left_out(kept: tuple[Vitals, Later]) -> None:
    vitals, later = kept
    await vitals.tell("ended", {"live_listeners": 3})
    await later()
    await vitals.tell("goes on", {"live_listeners": 1})
    assert await vitals.latest() == {"goes on": {"live_listeners": 1}}


async def test_an_outage_of_the_server_ends_nothing() -> None:
    vitals, asked = MemoryVitals(), 0
    vitals.down = True

    def numbers() -> dict[str, float]:
        nonlocal asked
        asked += 1
        return {"asked": asked}

    task = asyncio.create_task(telling(vitals, "a:1", numbers, 0.001))
    async with asyncio.timeout(10):
        while asked < 3:  # noqa: ASYNC110 - the other task has its turn
            await asyncio.sleep(0.001)
        vitals.down = False
        while not await vitals.latest():  # noqa: ASYNC110 - the other task has its turn
            await asyncio.sleep(0.001)
    task.cancel()
