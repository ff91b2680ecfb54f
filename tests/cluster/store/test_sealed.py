"""Sealed values in PostgreSQL: the contracts of DataKeys and SealedRows, and a rotation under writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.records import Progress
from actors.domain.token import KnownToken
from actors.errors import Conflict
from actors.ports import Unit
from cluster.identity.people import Credential, User
from cluster.identity.sessions import Session
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.drivers import PostgresDrivers
from cluster.store.fleet import PostgresFleet
from cluster.store.identity import identity_stores
from cluster.store.queries import PostgresQueries
from cluster.store.sealed import PostgresSealedRows, sealed_columns
from cluster.store.tables.chargers import id_tokens
from cluster.store.tokens import PostgresTokens
from cluster.vault.keyring import KeyRing
from cluster.vault.ports import DataKey, DataKeys, SealedRows, Wrapped
from cluster.vault.rotation import Rotation
from cluster.vault.vault import SealBroken, Vault, place, sealed_with
from tests.cluster.store.test_charger_store import command, event, every_kind_of_row, station, transaction, uuid
from tests.twins.vault import MemoryDataKeys, MemoryProvider, MemorySealedRows

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
REFRESH_S = 0.05
KEYS = {2: b"o" * 32, 3: b"n" * 32}


def now() -> datetime:
    return datetime.now(UTC)


def vault(current: int, *known: int) -> Vault:
    return Vault({key_id: KEYS[key_id] for key_id in known or KEYS}, current, b"l" * 32)


def reseal(envelope: bytes, context: str) -> bytes:
    return vault(3).seal(vault(3).open(envelope, context), context)


# The contract of DataKeys


@pytest.fixture(params=["memory", "postgresql"])
def keys(request: pytest.FixtureRequest) -> DataKeys:
    return MemoryDataKeys() if request.param == "memory" else PostgresDataKeys(request.getfixturevalue("engine"))


def data_key(key_id: int) -> DataKey:
    return DataKey(key_id, "seal", Wrapped("memory:1", b"wrapped"), NOON, NOON + timedelta(minutes=1))


async def test_data_keys_are_kept_as_they_are(keys: DataKeys) -> None:
    await keys.add(data_key(3))
    await keys.add(data_key(2))
    assert await keys.all() == [data_key(2), data_key(3)]


async def test_an_id_is_given_once(keys: DataKeys) -> None:
    await keys.add(data_key(2))
    with pytest.raises(Conflict):
        await keys.add(msgspec.structs.replace(data_key(2), wrapped=Wrapped("memory:1", b"another")))
    assert await keys.all() == [data_key(2)]


async def test_how_a_key_is_wrapped_may_change(keys: DataKeys) -> None:
    await keys.add(data_key(2))
    await keys.rewrap(2, Wrapped("memory:2", b"anew"))
    assert await keys.all() == [msgspec.structs.replace(data_key(2), wrapped=Wrapped("memory:2", b"anew"))]


async def test_a_key_is_retired_once(keys: DataKeys) -> None:
    await keys.add(data_key(2))
    await keys.add(data_key(3))
    await keys.retire([2], NOON)
    await keys.retire([2], NOON + timedelta(hours=1))
    assert [key.retired_at for key in await keys.all()] == [NOON, None]


# The contract of SealedRows


class World:
    """Sealed values of one place."""

    rows: SealedRows
    place: str

    async def add(self, count: int, sealer: Vault) -> None:
        raise NotImplementedError

    async def values(self) -> dict[str, bytes]:
        """Return every envelope by its context."""
        raise NotImplementedError


class MemoryWorld(World):
    place = "memory.value"

    def __init__(self) -> None:
        self.rows = self._memory = MemorySealedRows()

    async def add(self, count: int, sealer: Vault) -> None:
        for number in range(count):
            context = place(self.place, str(number))
            self._memory.values[context] = sealer.seal(b"%d" % number, context)

    async def values(self) -> dict[str, bytes]:
        return self._memory.values


class PostgresWorld(World):
    place = "id_tokens.id_token"

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.rows = PostgresSealedRows(engine)

    async def add(self, count: int, sealer: Vault) -> None:
        await PostgresDataKeys(self._engine).add(data_key(3))
        for number in range(count):
            await PostgresTokens(self._engine, sealer).put(KnownToken(str(number)))

    async def values(self) -> dict[str, bytes]:
        async with self._engine.connect() as connection:
            found = await connection.execute(select(id_tokens.c.token_key, id_tokens.c.id_token))
            return {place(self.place, row[0].hex()): row[1] for row in found}


@pytest.fixture(params=["memory", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    return MemoryWorld() if request.param == "memory" else PostgresWorld(request.getfixturevalue("engine"))


async def contents(world: World, opener: Vault) -> set[bytes]:
    return {opener.open(envelope, context) for context, envelope in (await world.values()).items()}


async def test_values_are_sealed_anew_in_steps(world: World) -> None:
    await world.add(10, vault(2))
    steps = [await world.rows.step(world.place, 3, 4, reseal) for _ in range(3)]
    assert [(step.rows, step.resealed, step.finished) for step in steps] == [
        (4, 4, False),
        (8, 8, False),
        (10, 10, True),
    ]
    assert await contents(world, vault(3, 3)) == {b"%d" % number for number in range(10)}


async def test_a_value_that_does_not_open_is_left_as_it_is(world: World) -> None:
    await world.add(3, vault(2))
    before = dict(await world.values())
    with pytest.raises(SealBroken):
        await world.rows.step(world.place, 3, 10, lambda envelope, _: reseal(envelope, "another place"))
    assert await world.values() == before


# What only a database can show


def test_every_sealed_column_is_rotated() -> None:
    assert set(PostgresSealedRows(engine=None).places()) == set(sealed_columns())  # type: ignore[arg-type]
    assert {
        "id_tokens.id_token",
        "id_tokens.group_id",
        "transactions.holder",
        "transaction_events.payload",
        "transaction_events.answer",
        "station_readings.payload",
        "notices.payload",
        "variables.value",
        "commands.payload",
        "commands.response",
    } <= set(sealed_columns())


async def test_a_value_that_is_being_written_is_left_to_its_writer_and_seen_again(engine: AsyncEngine) -> None:
    world = PostgresWorld(engine)
    await world.add(3, vault(2))
    (context, envelope), *_ = (await world.values()).items()
    async with engine.begin() as writer:  # a writer that does not know the new key yet
        late = vault(2).seal(vault(2).open(envelope, context), context)
        await writer.execute(update(id_tokens).where(id_tokens.c.id_token == envelope).values(id_token=late))
        async with asyncio.timeout(5):
            step = await world.rows.step(world.place, 3, 10, reseal)
        assert (step.resealed, step.finished) == (2, False)
    last = await world.rows.step(world.place, 3, 10, reseal)
    assert (last.resealed, last.finished) == (3, True)
    assert {sealed_with(value) for value in (await world.values()).values()} == {3}


class Platform:
    """A platform whose key is rotated."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.keys = PostgresDataKeys(engine)
        self.provider = MemoryProvider()
        self.ring = KeyRing(self.keys, self.provider, REFRESH_S, now)
        self.vault: Vault
        self.store: PostgresChargerStore

    async def start(self) -> asyncio.Task[None]:
        self.vault = await self.ring.open()
        epoch = await PostgresFleet(self.engine).join("a", 60)
        self.store = PostgresChargerStore(self.engine, self.vault, "a", epoch)
        return asyncio.create_task(self.ring.run())

    def rotation(self) -> Rotation:
        return Rotation(self.keys, self.provider, PostgresSealedRows(self.engine), REFRESH_S, now)

    async def keys_in_use(self) -> set[int]:
        found = set()
        async with self.engine.connect() as connection:
            for sealed in sealed_columns().values():
                envelopes = await connection.execute(select(sealed.column).where(sealed.column.is_not(None)))
                found |= {sealed_with(envelope) for (envelope,) in envelopes if envelope is not None}
        return found


@pytest.fixture
async def platform(engine: AsyncEngine) -> AsyncIterator[Platform]:
    it = Platform(engine)
    keeping = await it.start()
    yield it
    keeping.cancel()


async def rotate(platform: Platform) -> None:
    rotation = platform.rotation()
    async for _ in rotation.run(await rotation.begin(), batch_rows=50):
        pass


async def test_after_a_rotation_every_value_of_every_table_opens_with_the_new_key_alone(platform: Platform) -> None:
    driver = await PostgresDrivers(platform.engine, platform.vault).id_token("anna")
    holder = transaction(2, id_token="Anna", start_key="1|anna|12:00")
    answered = command(2, response={"status": "Accepted"})
    told = event("7", answer=b'{"idTokenInfo":{"status":"Accepted"}}')
    await platform.store.commit([*every_kind_of_row(), Unit("CP-1", [holder, answered, told])])
    await PostgresTokens(platform.engine, platform.vault).put(KnownToken("Anna", group_id="family"))
    person = User(uuid(1), "local", "s", "ann", "ann@a.example", "Ann", frozenset(), "active", NOON)
    stores = identity_stores(platform.engine, platform.vault)
    await stores.users.add(person, Credential(person.id, None, must_change=False, expires_at=None))
    seen = Session(uuid(2), person.id, NOON, NOON, NOON, NOON, None, "10.0.0.1", "browser")
    await stores.sessions.begin(seen, b"s")
    async with platform.engine.connect() as connection:
        for sealed in sealed_columns().values():
            filled = select(sealed.column).where(sealed.column.is_not(None)).limit(1)
            assert (await connection.execute(filled)).first() is not None, f"nothing in {sealed.name}"

    await rotate(platform)

    assert await platform.keys_in_use() == {3}
    alone = await platform.ring.open()
    keys = {3: await platform.provider.unwrap((await platform.keys.all())[-1].wrapped, "seal 3")}
    alone.take(keys, 3)
    queries = PostgresQueries(platform.engine, alone)
    assert (await queries.tokens(show_tokens=True)).items == [
        KnownToken(driver, concurrent=True),
        KnownToken("Anna", group_id="family"),
    ]
    assert await PostgresDrivers(platform.engine, alone).id_token("anna") == driver
    assert (await queries.commands("CP-1")).items == [answered, command()]
    assert (await queries.transaction(uuid(2), show_tokens=True)).summary.id_token == "Anna"
    assert [v.value for v in (await queries.variables("CP-1")).items] == ["11000"]
    assert [n.payload for n in (await queries.notices("CP-1")).items] == [{"type": "\0"}]
    assert (await queries.meter_values(uuid(1), received=True)).received == []


async def test_writers_and_readers_go_on_while_keys_are_rotated(platform: Platform) -> None:
    """Compare and swap: what was acknowledged is there, the newest of it, and under the new key."""
    count = 200
    charging = [transaction(number, f"CP-{number}", id_token=f"card-{number}") for number in range(count)]
    await platform.store.commit([Unit(t.station_id, [station(t.station_id), t]) for t in charging])
    over = asyncio.Event()
    newest: dict[str, str] = {}

    async def write() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            chosen = charging[turn % 10 :: 10]
            again = [msgspec.structs.replace(t, id_token=f"{t.id_token}-{turn}") for t in chosen]
            events = [event(str(turn), t.transaction_id, t.station_id) for t in chosen]
            units = [Unit(t.station_id, [t, e]) for t, e in zip(again, events, strict=True)]
            assert await platform.store.commit(units) == frozenset()
            newest.update({t.id: str(t.id_token) for t in again})
            assert await platform.store.commit([Unit(t.station_id, [Progress(t)]) for t in again]) == frozenset()
            assert len(await platform.store.load([t.station_id for t in charging])) == count

    writing = asyncio.create_task(write())
    await rotate(platform)
    over.set()
    await writing

    assert newest
    for snapshot in (await platform.store.load([t.station_id for t in charging])).values():
        (found,) = snapshot.transactions
        assert found.id_token == newest.get(found.id, found.id_token)
    assert await platform.keys_in_use() == {3}


async def test_a_rotation_that_was_interrupted_goes_on_where_it_stopped(platform: Platform) -> None:
    events = [event(str(number)) for number in range(20)]
    await platform.store.commit([Unit("CP-1", [transaction(), *events])])
    rotation = platform.rotation()
    key = await rotation.begin()
    async for progress in rotation.run(key, batch_rows=5):
        if progress.place == "transaction_events.payload":
            break
    again = platform.rotation()
    assert await again.begin() == key
    steps = [step async for step in again.run(key, batch_rows=5) if step.place == "transaction_events.payload"]
    assert [(step.rows, step.finished) for step in steps] == [(10, False), (15, False), (20, True)]
    assert await platform.keys_in_use() == {3}


async def test_a_value_that_was_moved_to_another_row_is_refused(platform: Platform) -> None:
    await platform.store.commit([Unit("CP-1", [event("0"), event("1", payload=b'{"secret":true}')])])
    async with platform.engine.begin() as connection:
        await connection.execute(
            text("UPDATE transaction_events SET payload = other.payload FROM transaction_events AS other")
        )
    with pytest.raises(SealBroken):
        await rotate(platform)
