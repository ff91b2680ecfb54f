"""The contract of ChargerStore, proven for PostgreSQL and for the twin that other tests use."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.events import CommandFinished, StationConfigured
from actors.domain.meter import EnergyMeter, Reading
from actors.domain.records import BusinessEvent, Notice, Progress, ReportedVariable, Row, StoredEvent, StoredReading
from actors.domain.station import ConnectorState, Station
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction
from actors.errors import Fenced
from actors.ports import ChargerStore, Needs, Snapshot, StoredAnswer, Unit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.rows import WRITES
from cluster.store.sealed import sealed_columns
from cluster.store.tokens import PostgresTokens
from tests.twins.store import MemoryDatabase, MemoryStore
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class World:
    """A database on which stores are opened, each a new life of the host."""

    async def open(self) -> ChargerStore:
        raise NotImplementedError

    async def add_token(self, token: KnownToken) -> None:
        raise NotImplementedError


class PostgresWorld(World):
    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def open(self) -> ChargerStore:
        return PostgresChargerStore(
            self.engine, fixed_vault(), "host-0", await PostgresFleet(self.engine).join("host-0", 60)
        )

    async def add_token(self, token: KnownToken) -> None:
        await PostgresTokens(self.engine, fixed_vault()).put(token)


class MemoryWorld(World):
    def __init__(self) -> None:
        self.database = MemoryDatabase()

    async def open(self) -> ChargerStore:
        return MemoryStore(self.database)

    async def add_token(self, token: KnownToken) -> None:
        self.database.add_token(token)


@pytest.fixture(params=["memory", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    return MemoryWorld() if request.param == "memory" else PostgresWorld(request.getfixturevalue("engine"))


@pytest.fixture
async def store(world: World) -> ChargerStore:
    return await world.open()


def uuid(number: int) -> str:
    return str(UUID(int=number))


def station(station_id: str = "CP-1", **values: object) -> Station:
    return msgspec.structs.replace(Station(station_id, vendor_name="ACME", model="Fast"), **values)


def transaction(number: int = 1, station_id: str = "CP-1", **values: object) -> ChargingTransaction:
    plain = ChargingTransaction(uuid(number), station_id, f"tx-{number}", NOON + timedelta(seconds=number))
    return msgspec.structs.replace(plain, **values)


def event(key: str = "0", transaction_id: str = "tx-1", station_id: str = "CP-1", **values: object) -> StoredEvent:
    plain = StoredEvent(
        station_id, transaction_id, key, 0, "Started", NOON, NOON, False, b'{"a":"%b"}' % key.encode(), b"", b""
    )
    return msgspec.structs.replace(plain, **values)


def command(number: int = 1, **values: object) -> Command:
    plain = Command(f"c-{number}", "CP-1", "Reset", {"type": "OnIdle"}, NOON + timedelta(seconds=number), NOON)
    return msgspec.structs.replace(plain, **values)


async def woken(store: ChargerStore, station_id: str = "CP-1") -> Snapshot:
    return (await store.load([station_id]))[station_id]


async def test_a_station_nobody_stored_wakes_up_unknown(store: ChargerStore) -> None:
    assert await store.load(["CP-1", "CP-2"]) == {"CP-1": Snapshot(), "CP-2": Snapshot()}


async def test_progress_is_all_that_changes_of_a_stored_transaction(store: ChargerStore) -> None:
    charging = transaction(1, id_token="Anna", evse_id=1)
    await store.commit([Unit("CP-1", [station(), charging])])
    further = msgspec.structs.replace(charging, charging_state="SuspendedEV", seen=[0, 9])
    await store.commit([Unit("CP-1", [Progress(further)])])
    assert (await woken(store)).transactions == [further]
    over = msgspec.structs.replace(further, ended_at=NOON, stopped_reason="Local")
    await store.commit([Unit("CP-1", [Progress(over)])])
    assert (await woken(store)).transactions == []
    (facts,) = await store.facts([Needs("CP-1", transaction_id="tx-1")])
    assert facts.transactions["tx-1"] == over


async def test_a_charger_wakes_up_as_it_was_stored(store: ChargerStore) -> None:
    before = station(
        registration="Accepted",
        conn_epoch=7,
        gateway_id="g-1",
        booted_at=NOON,
        next_transaction_id=12,
        connectors={"1/1": ConnectorState("Occupied", NOON, "SuspendedEV", "NoError")},
        violations={"BootNotification vendorName maxLength": 2},
    )
    meter = EnergyMeter(NOON, 100.0, 350.5, NOON, None, 250.5, 11_000.0, None, 1)
    charging = transaction(1, id_token="Anna", seen=[0, 3, 5, 5], evse_id=1, meter=meter, start_key="key")
    waiting = command(response={"status": "Ünïcode \u0000"}, status="sent", sent_at=NOON)
    assert await store.commit([Unit("CP-1", [before, charging, waiting])]) == frozenset()

    after = await woken(store)
    assert after == Snapshot(before, [charging], [waiting])


async def test_only_what_is_unfinished_wakes_up_and_in_order(store: ChargerStore) -> None:
    rows: list[Row] = [
        transaction(2),
        transaction(1),
        transaction(3, ended_at=NOON),
        command(2),
        command(1),
        command(3, status="accepted"),
    ]
    await store.commit([Unit("CP-1", rows)])
    after = await woken(store)
    assert [t.id for t in after.transactions] == [uuid(1), uuid(2)]
    assert [c.id for c in after.commands] == ["c-1", "c-2"]


async def test_transactions_that_never_end_do_not_fill_memory(store: ChargerStore) -> None:
    await store.commit([Unit("CP-1", [transaction(number) for number in range(1, 31)])])
    assert [t.id for t in (await woken(store)).transactions] == [uuid(number) for number in range(11, 31)]


async def test_of_one_key_the_later_unit_wins(store: ChargerStore) -> None:
    units = [
        Unit("CP-1", [station(model="old"), transaction(1)]),
        Unit("CP-1", [station(model="new"), transaction(1, evse_id=2)]),
    ]
    await store.commit(units)
    after = await woken(store)
    assert after.station is not None
    assert after.station.model == "new"
    assert [t.evse_id for t in after.transactions] == [2]


async def test_a_stored_event_keeps_its_first_content(store: ChargerStore) -> None:
    await store.commit([Unit("CP-1", [event(payload=b"1", answer=b"1"), event(payload=b"2", answer=b"2")])])
    await store.commit([Unit("CP-1", [event(payload=b"3", answer=b"3")])])
    (facts,) = await store.facts([Needs("CP-1", transaction_id="tx-1", event_keys=("0", "1"))])
    assert facts.events == {("tx-1", "0"): StoredAnswer(b"1", b"1"), ("tx-1", "1"): None}


async def test_facts_are_aligned_with_needs_and_say_what_is_missing(world: World, store: ChargerStore) -> None:
    await world.add_token(KnownToken("Anna", group_id="family"))
    reading = Reading(NOON, 1000.0, None, 7_000.0)
    mine, other = transaction(1, id_token="ANNA", start_key="s"), transaction(2, "CP-2", transaction_id="tx-1")
    await store.commit(
        [
            Unit("CP-1", [mine, event("0", readings=msgspec.json.encode([reading])), event("1")]),
            Unit("CP-2", [other]),
        ]
    )
    first, second, third = await store.facts(
        [
            Needs("CP-1", ("anna", "bob"), "tx-1", "s", ("1",), readings=True),
            Needs("CP-2", (), "tx-1", "s", readings=True),
            Needs("CP-3", ()),
        ]
    )
    assert first.tokens == {"anna": KnownToken("Anna", group_id="family", open_transactions=(uuid(1),)), "bob": None}
    assert first.transactions == {"tx-1": mine}
    assert first.starts == {"s": mine}
    assert first.events == {("tx-1", "1"): StoredAnswer(b'{"a":"1"}', b"")}
    assert first.readings == {"tx-1": [reading]}
    assert (second.transactions, second.starts, second.readings) == ({"tx-1": other}, {"s": None}, {"tx-1": []})
    assert (third.tokens, third.transactions) == ({}, {})


async def test_a_command_is_found_whatever_became_of_it(store: ChargerStore) -> None:
    done = command(1, status="accepted", response={"status": "Accepted"}, sent_at=NOON, finished_at=NOON)
    await store.commit([Unit("CP-1", [done])])
    assert await store.command("c-1") == done
    assert await store.command("c-2") is None


async def test_stations_with_overdue_commands_are_found(store: ChargerStore) -> None:
    await store.commit(
        [
            Unit("CP-1", [command(1), command(2)]),
            Unit("CP-2", [command(3, station_id="CP-2", status="sent", sent_at=NOON)]),
            Unit("CP-3", [command(4, station_id="CP-3", deadline=NOON + timedelta(seconds=1))]),
        ]
    )
    assert await store.overdue(NOON) == ["CP-1"]


async def test_a_token_is_free_again_when_its_transaction_has_ended(world: World, store: ChargerStore) -> None:
    await world.add_token(KnownToken("Anna"))
    await store.commit([Unit("CP-1", [transaction(1, id_token="anna")])])
    await store.commit([Unit("CP-1", [transaction(1, id_token="anna", ended_at=NOON)])])
    (facts,) = await store.facts([Needs("CP-1", ("anna",))])
    assert facts.tokens == {"anna": KnownToken("Anna")}


async def test_a_replaced_host_writes_nothing(world: World, store: ChargerStore) -> None:
    successor = await world.open()
    with pytest.raises(Fenced):
        await store.commit([Unit("CP-1", [station()])])
    assert await woken(successor) == Snapshot()
    assert await successor.commit([Unit("CP-1", [station()])]) == frozenset()


async def test_content_the_database_refuses_harms_no_other_station(store: ChargerStore) -> None:
    units = [Unit(f"CP-{n}", [station(f"CP-{n}", model="\0" if n in (2, 5) else "fine")]) for n in range(8)]
    assert await store.commit(units) == {2, 5}
    found = await store.load([f"CP-{n}" for n in range(8)])
    assert [n for n in range(8) if found[f"CP-{n}"].station is None] == [2, 5]


async def test_what_builds_on_a_refused_unit_is_refused_too(store: ChargerStore) -> None:
    units = [
        Unit("CP-1", [transaction(1)]),
        Unit("CP-1", [event("0", event_type="\0")]),
        Unit("CP-2", [station("CP-2")]),
        Unit("CP-1", [transaction(1, seen=[0, 0])]),
    ]
    assert await store.commit(units) == {1, 3}
    assert (await woken(store)).transactions == [transaction(1)]
    assert (await woken(store, "CP-2")).station == station("CP-2")


def every_kind_of_row() -> list[Unit]:
    reading = StoredReading("CP-1", 1, NOON, NOON, "d", b"{}")
    variable = ReportedVariable("CP-1", "EVSE", "", 1, "Power", "", "Actual", "11000", "ReadOnly", NOON)
    notice = Notice("CP-1", "SecurityEvent", NOON, NOON, "d", b'{"type":"\\u0000"}')
    fact = BusinessEvent("CP-1", NOON, StationConfigured())
    return [Unit("CP-1", [station(), transaction(), event(), command(), reading, variable, notice, fact])]


def opened(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with what its sealed columns hold: no two envelopes are the same."""
    for sealed in sealed_columns().values():
        if sealed.column.table.name == table and (envelope := row[sealed.column.name]) is not None:
            context = sealed.context([row[column.name] for column in sealed.key])
            row[sealed.column.name] = fixed_vault().open(envelope, context)
    return {**row, "updated_at": None}


async def test_every_kind_of_row_is_stored_and_a_repeat_changes_nothing(engine: AsyncEngine) -> None:
    store = await PostgresWorld(engine).open()
    tables = [insert.statement.split('"')[1] for insert in WRITES.values()]

    async def contents() -> dict[str, list[dict[str, object]]]:
        async with engine.connect() as connection:
            rows = {table: await connection.execute(text(f"SELECT * FROM {table}")) for table in tables}
            return {table: [opened(table, dict(row._mapping)) for row in found] for table, found in rows.items()}

    await store.commit(every_kind_of_row())
    stored = await contents()
    assert {table: len(rows) for table, rows in stored.items()} == dict.fromkeys(tables, 1)
    assert await store.commit(every_kind_of_row()) == frozenset()
    assert await contents() == stored


def test_rows_that_are_written_again_are_locked_in_the_order_of_their_keys() -> None:
    stations = [station("CP-2"), station("CP-1"), station("CP-3")]
    assert WRITES[Station].arrays([*stations], fixed_vault())[0] == ("CP-1", "CP-2", "CP-3")


UNITS = st.lists(
    st.builds(
        lambda number, key, model, seen: Unit(
            f"CP-{number}",
            [
                station(f"CP-{number}", model=model),
                transaction(number, f"CP-{number}", seen=seen),
                event(key, f"tx-{number}", f"CP-{number}", event_type=model),
                BusinessEvent(f"CP-{number}", NOON, CommandFinished("c", model, "accepted")),
                Notice(f"CP-{number}", model, NOON, NOON, "d", b"{}"),
            ],
        ),
        st.integers(1, 3),
        st.sampled_from(["0", "1"]),
        st.sampled_from(["a", "b", "\0"]),
        st.sampled_from([[], [0, 0], [0, 4]]),
    ),
    max_size=6,
)


async def everything(store: ChargerStore) -> object:
    stations = [f"CP-{n}" for n in range(1, 4)]
    needs = [Needs(f"CP-{n}", (), f"tx-{n}", None, ("0", "1"), readings=True) for n in range(1, 4)]
    return await store.load(stations), await store.facts(needs)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(UNITS)
async def test_postgresql_and_the_twin_agree_and_a_repeat_changes_nothing(
    engine: AsyncEngine, units: list[Unit]
) -> None:
    async with engine.connect() as connection:
        await connection.exec_driver_sql("TRUNCATE stations, transactions, transaction_events, commands, outbox")
        await connection.commit()
    real, twin = await PostgresWorld(engine).open(), await MemoryWorld().open()

    refused = await real.commit(units)
    assert refused == await twin.commit(units)
    stored = await everything(real)
    assert stored == await everything(twin)

    stored_units = [unit for index, unit in enumerate(units) if index not in refused]
    newest = {unit.station_id: unit for unit in stored_units}
    await real.commit(list(newest.values()))
    assert await everything(real) == stored
