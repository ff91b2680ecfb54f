"""The journal has one order, keeps each reader's place, and forgets only what all have read."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Fenced
from actors.ports import Unit
from cluster.bus.journal import KINESIS, STREAM, WEBHOOKS, Journal
from cluster.bus.outbox import WaitingEvent
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.journal import PostgresJournal
from cluster.store.outbox import PostgresOutbox
from tests.cluster.facts import business_event
from tests.twins.journal import MemoryJournal
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LEASE_S = 60.0


class World(NamedTuple):
    """A journal followed by Kinesis, the way events get into it, and the way time passes."""

    journal: Journal
    tell: Callable[[Sequence[str]], Awaitable[None]]
    let_leases_end: Callable[[], Awaitable[None]]


async def memory_world() -> World:
    now = [0.0]
    journal = MemoryJournal([KINESIS], lambda: now[0])

    async def tell(kinds: Sequence[str]) -> None:
        journal.add([WaitingEvent(kind, kind, "CP-1", NOON, "{}") for kind in kinds])

    async def let_leases_end() -> None:
        now[0] += 2 * LEASE_S

    return World(journal, tell, let_leases_end)


async def postgres_world(engine: AsyncEngine) -> World:
    journal = PostgresJournal(engine)
    await journal.follow(KINESIS, wanted=True)
    store = PostgresChargerStore(engine, fixed_vault(), "a", await PostgresFleet(engine).join("a", 60))

    async def tell(kinds: Sequence[str]) -> None:
        await store.commit([Unit("CP-1", [business_event(kind, "CP-1", NOON) for kind in kinds])])

    async def let_leases_end() -> None:
        await run(engine, "UPDATE journal_readers SET lease_until = now() - interval '1 s'")

    return World(journal, tell, let_leases_end)


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
    fleet = PostgresFleet(engine)
    stores = [PostgresChargerStore(engine, fixed_vault(), name, await fleet.join(name, 60)) for name in ("a", "b", "c")]
    journal, count = PostgresJournal(engine), 25

    async def write(store: PostgresChargerStore, station_id: str) -> None:
        for number in range(count):
            event = business_event("fact", station_id, NOON + timedelta(seconds=number), number=number)
            await store.commit([Unit(station_id, [event])])

    async def follow() -> list[WaitingEvent]:
        seen: list[WaitingEvent] = []
        position = 0
        async with asyncio.timeout(60):
            while len(seen) < count * len(stores):
                for entry in await journal.read(position, 7):
                    position = entry.position
                    seen.append(entry.event)
        return seen

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(2)]
        for index, store in enumerate(stores):
            group.create_task(write(store, f"CP-{index}"))
    first, second = (task.result() for task in followers)
    assert first == second
    for index in range(len(stores)):
        assert [e.at for e in first if e.station_id == f"CP-{index}"] == [
            NOON + timedelta(seconds=n) for n in range(count)
        ]


async def test_only_the_readers_of_the_platform_are_followed_from_the_start(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT reader FROM journal_readers ORDER BY reader"))).scalars()
        assert list(found) == [STREAM, WEBHOOKS]
