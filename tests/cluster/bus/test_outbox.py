"""Business events leave in order, at least once, and survive outages of either side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.events import StationDisconnected
from actors.domain.records import BusinessEvent
from actors.errors import Unavailable
from actors.ports import Unit
from cluster.bus.outbox import Relay
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.outbox import PostgresOutbox
from tests.cluster.bus.conftest import Wire
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
async def store(engine: AsyncEngine) -> PostgresChargerStore:
    return PostgresChargerStore(engine, fixed_vault(), "a", await PostgresFleet(engine).join("a", 60))


@pytest.fixture
async def running(engine: AsyncEngine, wired: Redis, prefix: str) -> AsyncIterator[Relay]:
    """Run a relay over the wire in the background."""
    relay = Relay(PostgresOutbox(engine), wired, 0.02, 10, prefix)
    task = asyncio.create_task(relay.run())
    yield relay
    task.cancel()


def fact(number: int) -> BusinessEvent:
    return BusinessEvent("CP-1", NOON + timedelta(seconds=number), StationDisconnected(number))


async def stream(valkey: Redis, prefix: str) -> list[dict[bytes, bytes]]:
    """Return what is on the stream."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await valkey.xrange(f"{prefix}:events"))
    return [fields for _, fields in entries]


async def published(valkey: Redis, prefix: str) -> list[int]:
    """Return the numbers of the events on the stream, repeats removed by their id as a consumer does."""
    once = {fields[b"id"]: fields[b"data"] for fields in await stream(valkey, prefix)}
    return [msgspec.json.decode(data)["connEpoch"] for data in once.values()]


async def test_events_leave_in_the_order_they_were_stored(
    store: PostgresChargerStore, engine: AsyncEngine, valkey: Redis, prefix: str
) -> None:
    await store.commit([Unit("CP-1", [fact(number) for number in range(25)])])
    relay = Relay(PostgresOutbox(engine), valkey, 1, 10, prefix)
    assert [await relay.publish() for _ in range(4)] == [10, 10, 5, 0]
    assert await published(valkey, prefix) == list(range(25))
    fields = (await stream(valkey, prefix))[-1]
    del fields[b"id"]
    assert fields == {
        b"kind": b"StationDisconnected",
        b"station_id": b"CP-1",
        b"at": b"2026-05-04T12:00:24+00:00",
        b"data": b'{"connEpoch":24}',
    }


async def test_a_repeated_write_is_one_event(
    store: PostgresChargerStore, engine: AsyncEngine, valkey: Redis, prefix: str
) -> None:
    relay = Relay(PostgresOutbox(engine), valkey, 1, 10, prefix)
    await store.commit([Unit("CP-1", [fact(1)]), Unit("CP-1", [fact(1)])])
    assert await relay.publish() == 1
    await store.commit([Unit("CP-1", [fact(1)])])
    await relay.publish()
    assert await published(valkey, prefix) == [1]


async def test_an_outage_of_valkey_loses_nothing(
    store: PostgresChargerStore, running: Relay, wire: Wire, valkey: Redis, prefix: str, until: Until
) -> None:
    await store.commit([Unit("CP-1", [fact(1)])])

    async def one_is_out() -> bool:
        return await published(valkey, prefix) == [1]

    await until(one_is_out)
    await wire.cut()
    await store.commit([Unit("CP-1", [fact(number) for number in (2, 3)])])
    assert await published(valkey, prefix) == [1]
    await wire.mend()

    async def all_are_out() -> bool:
        return await published(valkey, prefix) == [1, 2, 3]

    await until(all_are_out)


async def test_what_could_not_be_published_stays(
    store: PostgresChargerStore, engine: AsyncEngine, wired: Redis, wire: Wire, valkey: Redis, prefix: str
) -> None:
    await store.commit([Unit("CP-1", [fact(1)])])
    relay = Relay(PostgresOutbox(engine), wired, 1, 10, prefix)
    await wire.cut()
    with pytest.raises(Unavailable):
        await relay.publish()
    await wire.mend()
    assert await relay.publish() == 1
    assert await published(valkey, prefix) == [1]


async def test_one_relay_works_at_a_time(store: PostgresChargerStore, engine: AsyncEngine) -> None:
    await store.commit([Unit("CP-1", [fact(1)])])
    async with PostgresOutbox(engine).batch(10) as mine, PostgresOutbox(engine).batch(10) as others:
        assert (len(mine), len(others)) == (1, 0)
    async with PostgresOutbox(engine).batch(10) as left:
        assert left == []
