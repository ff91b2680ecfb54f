"""What a host starts beside itself: webhooks and Kinesis, put together from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.bootstrap.ways_out import start_ways_out
from cluster.store.webhooks import PostgresSubscriptions
from cluster.webhooks.model import Filter, Subscription
from configs.settings import Settings
from tests.cluster.bus.facts import fact, tell
from tests.cluster.bus.kinesis_server import REGION, started
from tests.cluster.webhooks.receiver import Receiver, running
from tests.twins.vault import fixed_vault

NOW = datetime.now(UTC)


def settings(database: str, **more: object) -> Settings:
    networks: dict[str, object] = {"webhooks.allowed_networks": ["127.0.0.0/8"], "webhooks.poll_s": 0.02}
    overrides = {"database.url": database, "kinesis.poll_s": 0.02, **networks, **more}
    return Settings.load(env={}, overrides=overrides)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_an_event_leaves_by_both_ways(
    engine: AsyncEngine, database: str, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    threaded, server = started()
    stack.callback(threaded.stop)
    name = f"events-{uuid4().hex[:8]}"
    server.make_stream(name)
    receiver = await stack.enter_async_context(running(Receiver()))
    made = Subscription("s", "ann", True, receiver.url, Filter(), NOW, NOW)
    await PostgresSubscriptions(engine, fixed_vault()).add(made, b"s" * 32, 1)
    kinesis: dict[str, Any] = {"kinesis.stream": name, "kinesis.region": REGION, "kinesis.endpoint_url": server.url}
    async with AsyncExitStack() as host:
        await start_ways_out(settings(database, **kinesis), fixed_vault(), "h-1", host)
        await tell(engine, [fact(number=1)])
        async with asyncio.timeout(20):
            while not receiver.received or not server.numbers(name):  # noqa: ASYNC110 - both are at the other end
                await asyncio.sleep(0.05)
    assert receiver.numbers == server.numbers(name) == [1]
    async with engine.connect() as connection:
        holders = await connection.execute(text("SELECT holder FROM journal_readers WHERE reader = 'kinesis'"))
        assert list(holders.scalars()) == [None], "a host that stops leaves its places"


async def test_without_a_stream_nothing_is_kept_for_kinesis(
    engine: AsyncEngine, database: str, stack: AsyncExitStack
) -> None:
    await start_ways_out(settings(database), fixed_vault(), "h-1", stack)
    async with engine.connect() as connection:
        readers = await connection.execute(text("SELECT reader FROM journal_readers ORDER BY reader"))
        assert list(readers.scalars()) == ["stream", "webhooks"]
