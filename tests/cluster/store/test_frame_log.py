"""The frame log: best effort, in order, whatever the bytes, and bounded in time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.ports import Exchange
from cluster.store.engine import make_engine
from cluster.store.frame_log import PostgresFrameLog
from cluster.store.queries import PostgresQueries
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def log(engine: AsyncEngine, clock: Clock) -> AsyncIterator[PostgresFrameLog]:
    log = PostgresFrameLog(engine, fixed_vault(), timedelta(hours=24), 1000, clock)
    log.start()
    yield log
    await log.close()


def frame(number: int, station_id: str = "CP-1", at: datetime = NOON, data: bytes = b"") -> Exchange:
    """A frame alone: an even one is received, an odd one sent."""
    data = data or f"frame {number}".encode()
    return Exchange(station_id, at, data, None) if number % 2 == 0 else Exchange(station_id, at, None, data)


async def partitions(engine: AsyncEngine) -> list[tuple[str, str]]:
    query = text(
        "SELECT relname, relpersistence::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'ocpp_frames'::regclass ORDER BY relname"
    )
    async with engine.connect() as connection:
        return [(row[0], row[1]) for row in await connection.execute(query)]


async def test_frames_of_one_moment_keep_their_order_both_ways(log: PostgresFrameLog, engine: AsyncEngine) -> None:
    log.write([frame(number) for number in range(7)])
    log.write([frame(0, "CP-2")])
    await log.close()
    queries = PostgresQueries(engine, fixed_vault())
    first = await queries.frames("CP-1", limit=4)
    rest = await queries.frames("CP-1", cursor=first.cursor, limit=4)
    assert [f.data for f in [*first.items, *rest.items]] == [f"frame {number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert [(f.data, f.direction) async for f in queries.all_frames("CP-1")] == [
        (f"frame {number}", "in" if number % 2 == 0 else "out") for number in range(7)
    ]


async def test_an_answer_follows_its_request(log: PostgresFrameLog, engine: AsyncEngine) -> None:
    log.write([Exchange("CP-1", NOON, b"a call", b"its answer"), Exchange("CP-1", NOON, None, b"another")])
    await log.close()
    queries = PostgresQueries(engine, fixed_vault())
    expected = [("in", "a call"), ("out", "its answer"), ("out", "another")]
    assert [(f.direction, f.data) async for f in queries.all_frames("CP-1")] == expected
    newest = await queries.frames("CP-1", limit=2)
    rest = await queries.frames("CP-1", cursor=newest.cursor)
    assert [(f.direction, f.data) for f in [*newest.items, *rest.items]] == expected[::-1]


async def test_a_long_log_is_exported_whole(engine: AsyncEngine, clock: Clock) -> None:
    log = PostgresFrameLog(engine, fixed_vault(), timedelta(hours=24), 3000, clock)
    log.start()
    log.write([frame(number, at=NOON + timedelta(seconds=number // 900)) for number in range(2700)])
    await log.close()
    exported = [f.data async for f in PostgresQueries(engine, fixed_vault()).all_frames("CP-1")]
    assert exported == [f"frame {number}" for number in range(2700)]


async def test_garbage_is_kept_as_it_came(log: PostgresFrameLog, engine: AsyncEngine) -> None:
    log.write([frame(0, data=b"\x00\xff{")])
    await log.close()
    (found,) = (await PostgresQueries(engine, fixed_vault()).frames("CP-1")).items
    assert found.data == "\0�{"


async def test_old_partitions_are_dropped_and_new_ones_are_ready_before_they_are_needed(
    engine: AsyncEngine, clock: Clock
) -> None:
    for days in (0, 1, 2):
        clock.now = NOON + timedelta(days=days)
        log = PostgresFrameLog(engine, fixed_vault(), timedelta(hours=24), 1000, clock)
        log.start()
        log.write([frame(days, at=clock.now)])
        await log.close()
    assert await partitions(engine) == [
        ("ocpp_frames_20260505_12", "u"),
        ("ocpp_frames_20260505_18", "u"),
        ("ocpp_frames_20260506_12", "u"),
        ("ocpp_frames_20260506_18", "u"),
    ]
    assert [f.at async for f in PostgresQueries(engine, fixed_vault()).all_frames("CP-1")] == [
        NOON + timedelta(days=1),
        NOON + timedelta(days=2),
    ]


async def test_two_processes_may_turn_over_at_once(engine: AsyncEngine, clock: Clock) -> None:
    logs = [PostgresFrameLog(engine, fixed_vault(), timedelta(hours=24), 1000, clock) for _ in range(4)]
    for log in logs:
        log.start()
        log.write([frame(0)])
    await asyncio.gather(*(log.close() for log in logs))
    assert [log.dropped for log in logs] == [0, 0, 0, 0]
    assert len((await PostgresQueries(engine, fixed_vault()).frames("CP-1")).items) == 4


async def test_a_full_queue_drops_and_counts(engine: AsyncEngine, clock: Clock) -> None:
    log = PostgresFrameLog(engine, fixed_vault(), timedelta(hours=24), 10, clock)
    log.write([frame(number) for number in range(8)])
    log.write([frame(number) for number in range(8, 12)])
    log.start()
    await log.close()
    assert log.dropped == 2
    assert [f.data async for f in PostgresQueries(engine, fixed_vault()).all_frames("CP-1")] == [
        f"frame {n}" for n in range(10)
    ]


async def test_a_database_that_is_away_costs_frames_and_nothing_else(clock: Clock) -> None:
    engine = make_engine("postgresql://nobody@/nowhere?host=/nonexistent", "cloudbay tests")
    log = PostgresFrameLog(engine, fixed_vault(), timedelta(hours=24), 10, clock)
    log.start()
    log.write([frame(0), frame(1)])
    await log.close()
    assert log.dropped == 2
    await engine.dispose()


async def test_frames_that_the_database_refuses_are_dropped_and_the_next_are_kept(
    log: PostgresFrameLog, engine: AsyncEngine
) -> None:
    log.write([frame(0, "CP\0")])
    async with asyncio.timeout(10):
        while log.dropped == 0:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    log.write([frame(1)])
    await log.close()
    assert [f.data async for f in PostgresQueries(engine, fixed_vault()).all_frames("CP-1")] == ["frame 1"]
