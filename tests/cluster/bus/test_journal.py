"""The journal has one order, keeps each reader's place, and forgets only what all have read."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Fenced
from cluster.bus.journal import KINESIS, STREAM, WEBHOOKS, Journal
from cluster.bus.outbox import WaitingEvent
from cluster.store.journal import PostgresJournal, news
from cluster.store.outbox import PostgresOutbox
from tests.cluster.bus.facts import fact, tell
from tests.twins.journal import MemoryJournal

LEASE_S = 60.0


class World(NamedTuple):
    """A journal followed by Kinesis, the way events get into it, and the way time passes."""

    journal: Journal
    tell: Callable[[Sequence[str]], Awaitable[None]]
    let_leases_end: Callable[[], Awaitable[None]]


async def memory_world() -> World:
    now = [0.0]
    journal = MemoryJournal([KINESIS], lambda: now[0])

    async def tell_kinds(kinds: Sequence[str]) -> None:
        journal.add([fact(kind) for kind in kinds])

    async def let_leases_end() -> None:
        now[0] += 2 * LEASE_S

    return World(journal, tell_kinds, let_leases_end)


async def postgres_world(engine: AsyncEngine) -> World:
    journal = PostgresJournal(engine)
    await journal.follow(KINESIS, wanted=True)

    async def tell_kinds(kinds: Sequence[str]) -> None:
        await tell(engine, [fact(kind) for kind in kinds])

    async def let_leases_end() -> None:
        await run(engine, "UPDATE journal_readers SET lease_until = now() - interval '1 s'")

    return World(journal, tell_kinds, let_leases_end)


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest, engine: AsyncEngine) -> World:
    return await memory_world() if request.param == "memory" else await postgres_world(engine)


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def kept(engine: AsyncEngine) -> list[str]:
    """Return the kinds of all events that are stored anywhere."""
    async with engine.connect() as connection:
        query = "SELECT kind FROM outbox UNION ALL SELECT kind FROM journal ORDER BY kind"
        return list((await connection.execute(text(query))).scalars())


async def test_events_are_read_in_the_order_in_which_they_were_told(world: World) -> None:
    await world.tell(["a", "b"])
    first = await world.journal.read(0, 10)
    await world.tell(["c"])
    rest = await world.journal.read(first[-1].position, 10)
    assert [entry.event.kind for entry in [*first, *rest]] == ["a", "b", "c"]
    assert [entry.event.kind for entry in await world.journal.read(0, 2)] == ["a", "b"]


async def test_a_place_has_one_holder_until_its_lease_ends(world: World) -> None:
    assert await world.journal.hold(KINESIS, "mine", LEASE_S) == 0
    assert await world.journal.hold(KINESIS, "mine", LEASE_S) == 0
    assert await world.journal.hold(KINESIS, "other", LEASE_S) is None
    await world.let_leases_end()
    assert await world.journal.hold(KINESIS, "other", LEASE_S) == 0


async def test_whoever_takes_over_goes_on_behind_the_checkpoint_and_fences_the_former_off(world: World) -> None:
    await world.journal.hold(KINESIS, "mine", LEASE_S)
    await world.journal.advance(KINESIS, "mine", 7)
    await world.let_leases_end()
    assert await world.journal.hold(KINESIS, "other", LEASE_S) == 7
    with pytest.raises(Fenced):
        await world.journal.advance(KINESIS, "mine", 8)


async def test_a_place_that_is_left_is_free_at_once(world: World) -> None:
    await world.journal.hold(KINESIS, "mine", LEASE_S)
    await world.journal.leave(KINESIS, "other")
    assert await world.journal.hold(KINESIS, "other", LEASE_S) is None
    await world.journal.leave(KINESIS, "mine")
    assert await world.journal.hold(KINESIS, "other", LEASE_S) == 0


async def test_nobody_reads_for_a_reader_that_is_not_followed(world: World) -> None:
    assert await world.journal.hold("nobody", "mine", LEASE_S) is None


async def test_a_reader_has_news_until_all_is_numbered_read_and_deleted(engine: AsyncEngine) -> None:
    """A look without news writes nothing, so that many processes may look often."""
    outbox = PostgresOutbox(engine)
    await run(engine, f"DELETE FROM journal_readers WHERE reader NOT IN ('{STREAM}', '{WEBHOOKS}')")
    assert not await news(engine, STREAM)
    await tell(engine, [fact("a")])
    assert await news(engine, STREAM)
    async with outbox.batch(10) as events:
        assert [event.kind for event in events] == ["a"]
    assert await news(engine, WEBHOOKS), "it has not read the event yet"
    assert not await news(engine, STREAM)
    await run(engine, "UPDATE journal_readers SET position = (SELECT max(position) FROM journal)")
    assert await news(engine, STREAM), "what all have read is to be deleted"
    async with outbox.batch(10) as events:
        assert events == []
    assert await kept(engine) == []
    assert not await news(engine, STREAM)


async def test_events_are_kept_until_the_last_reader_is_past_them(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    await world.tell(["a", "b"])
    entries = await world.journal.read(0, 10)
    await run(engine, f"UPDATE journal_readers SET position = {entries[1].position}")
    await world.journal.hold(KINESIS, "mine", LEASE_S)
    await run(engine, f"UPDATE journal_readers SET position = {entries[0].position} WHERE reader = '{KINESIS}'")
    await world.journal.read(0, 10)
    assert await kept(engine) == ["b"]
    await world.journal.advance(KINESIS, "mine", entries[1].position)
    await world.journal.read(0, 10)
    assert await kept(engine) == []


async def test_a_reader_that_is_given_up_holds_up_nothing(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    await world.tell(["a"])
    (entry,) = await world.journal.read(0, 10)
    await run(engine, f"UPDATE journal_readers SET position = {entry.position} WHERE reader <> '{KINESIS}'")
    await world.journal.read(0, 10)
    assert await kept(engine) == ["a"], "Kinesis has not read it"
    await PostgresJournal(engine).follow(KINESIS, wanted=False)
    await world.journal.read(0, 10)
    assert await kept(engine) == []


async def test_a_stream_that_is_away_holds_up_no_other_reader(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    await world.tell(["a"])
    async with PostgresOutbox(engine).batch(10) as lent:
        assert [event.kind for event in lent] == ["a"]
        assert [entry.event.kind for entry in await world.journal.read(0, 10)] == ["a"]


async def test_many_writers_and_numberers_make_one_order_without_a_loss(engine: AsyncEngine) -> None:
    """A reader that is at the end all the time sees every event once, and those of a station in order."""
    journal, count, stations = PostgresJournal(engine), 25, ["CP-0", "CP-1", "CP-2"]

    async def write(station_id: str) -> None:
        for number in range(count):
            await tell(engine, [fact("A", station_id, number)])

    async def follow() -> list[WaitingEvent]:
        seen: list[WaitingEvent] = []
        position = 0
        async with asyncio.timeout(60):
            while len(seen) < count * len(stations):
                for entry in await journal.read(position, 7):
                    position = entry.position
                    seen.append(entry.event)
        return seen

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(2)]
        for station_id in stations:
            group.create_task(write(station_id))
    first, second = (task.result() for task in followers)
    assert first == second
    for station_id in stations:
        assert [e for e in first if e.station_id == station_id] == [fact("A", station_id, n) for n in range(count)]


async def test_while_one_process_numbers_the_others_neither_wait_nor_overtake_it(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    await world.tell(["a"])
    async with engine.connect() as slow, slow.begin():
        # The statements of number(), before its commit.
        await slow.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x6F7574626F78})
        moved = (
            "WITH moved AS (DELETE FROM outbox RETURNING *) INSERT INTO journal (event_id, kind, station_id, at, data) "
        )
        await slow.execute(text(moved + "SELECT event_id, kind, station_id, at, data FROM moved"))
        await world.tell(["b"])
        async with asyncio.timeout(5):
            assert await world.journal.read(0, 10) == []
    assert [entry.event.kind for entry in await world.journal.read(0, 10)] == ["a", "b"]


async def test_only_the_readers_of_the_platform_are_followed_from_the_start(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT reader FROM journal_readers ORDER BY reader"))).scalars()
        assert list(found) == [STREAM, WEBHOOKS]
