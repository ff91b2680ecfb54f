"""What the API reads, on a small fleet with known content."""

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.events import StationConfigured
from actors.domain.meter import EnergyMeter, EnergyPoint, Reading
from actors.domain.records import BusinessEvent, Notice, ReportedVariable, Row, StoredEvent
from actors.domain.station import ConnectorState, Station
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction, GapReport
from actors.errors import BadRequest, NotFound
from actors.ports import Unit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.decoding import STATION_COLUMNS
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from cluster.store.queries import STATIONS, PostgresQueries
from cluster.store.tokens import PostgresTokens
from cluster.store.views import FleetCounts, ReceivedMeterValues, StationDetail, StationOrder, masked
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SOMEONE = "04A2B3C4D5E6"


@pytest.fixture
async def queries(engine: AsyncEngine) -> AsyncIterator[PostgresQueries]:
    made = PostgresQueries(engine, fixed_vault())
    yield made
    await made.close()


@pytest.fixture
async def store(engine: AsyncEngine) -> PostgresChargerStore:
    return PostgresChargerStore(engine, fixed_vault(), "a", await PostgresFleet(engine).join("a", 60))


def charged(number: int, station_id: str = "CP-1", **values: object) -> ChargingTransaction:
    at = NOON + timedelta(minutes=number)
    plain = ChargingTransaction(
        str(UUID(int=number)), station_id, f"tx-{number}", at, started_at=at, start_seq_no=0, seen=[0, 0]
    )
    return msgspec.structs.replace(plain, **values)


async def test_stations_are_listed_page_by_page_without_gaps_or_repeats(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    ids = [f"CP-{number:02}" for number in range(25)]
    await store.commit([Unit(station_id, [Station(station_id)]) for station_id in ids])
    seen, cursor = list[str](), None
    while True:
        page = await queries.stations(cursor=cursor, limit=10)
        seen += [station.station_id for station in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == ids


async def test_stations_are_found_by_connection_registration_site_and_words(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    fleet = [
        Station("CP-1", vendor_name="Acme", gateway_id="g", registration="Accepted"),
        Station("CP-2", model="100%_fast", registration="Pending"),
        Station("CP-3", serial_number="SN-9", site_id="DEPOT"),
    ]
    await store.commit([Unit(station.station_id, [station]) for station in fleet])

    async def ids(**asked: Any) -> list[str]:
        return [s.station_id for s in (await queries.stations(**asked)).items]

    assert await ids(connected=True) == ["CP-1"]
    assert await ids(connected=False) == ["CP-2", "CP-3"]
    assert await ids(registration="Pending") == ["CP-2"]
    assert await ids(site_id="DEPOT") == ["CP-3"]
    assert await ids(q="acME") == ["CP-1"]
    assert await ids(q="sn-") == ["CP-3"]
    assert await ids(q="%_") == ["CP-2"]


async def test_a_station_is_shown_without_its_password(queries: PostgresQueries, store: PostgresChargerStore) -> None:
    station = Station("CP-1", password_digest="secret", connectors={"1/1": ConnectorState("Available", NOON)})
    station.record_violation("BootNotification", "maxLength", "model")
    await store.commit([Unit("CP-1", [station, charged(1, id_token=SOMEONE), charged(2, ended_at=NOON)])])
    detail = await queries.station("CP-1")
    assert detail.station == msgspec.structs.replace(station, password_digest=None)
    assert detail.password_set
    assert [(t.transaction_id, t.id_token) for t in detail.open_transactions] == [("tx-1", "********D5E6")]
    with pytest.raises(NotFound, match="CP-9"):
        await queries.station("CP-9")


async def test_stations_asked_for_together_are_each_their_own(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    ids = [f"CP-{number}" for number in range(5)]
    await store.commit([Unit(i, [Station(i, model=f"model of {i}"), charged(n, i)]) for n, i in enumerate(ids)])
    found = await asyncio.gather(*(queries.station(i) for i in [*ids, "CP-9", "a\0b", *ids]), return_exceptions=True)
    details = [one for one in found if isinstance(one, StationDetail)]
    assert [(one.station.station_id, one.station.model) for one in details] == [(i, f"model of {i}") for i in ids * 2]
    assert [[each.station_id for each in one.open_transactions] for one in details] == [[i] for i in ids * 2]
    assert [type(one) for one in found[5:7]] == [NotFound, BadRequest]


async def test_a_connection_that_was_cut_is_made_anew(
    queries: PostgresQueries, store: PostgresChargerStore, engine: AsyncEngine
) -> None:
    await store.commit([Unit("CP-1", [Station("CP-1")])])
    await queries.station("CP-1")
    async with engine.connect() as connection:
        cut = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'stations'"
        assert (await connection.execute(text(cut))).scalar_one() == 1
    assert (await queries.station("CP-1")).station.station_id == "CP-1"


async def test_transactions_are_listed_newest_first_by_station_state_and_time(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    unset_clock = charged(5, started_at=datetime(1970, 1, 1, tzinfo=UTC))
    rows = [charged(1, ended_at=NOON), charged(2, "CP-2"), charged(3, id_token=SOMEONE), unset_clock]
    await store.commit([Unit(row.station_id, [row]) for row in rows])

    async def wire_ids(**filters: object) -> list[str]:
        page = await queries.transactions(**filters)  # type: ignore[arg-type]
        return [transaction.transaction_id for transaction in page.items]

    assert await wire_ids() == ["tx-5", "tx-3", "tx-2", "tx-1"]
    assert await wire_ids(station_id="CP-1", is_open=True) == ["tx-5", "tx-3"]
    assert await wire_ids(is_open=False) == ["tx-1"]
    later = {"began_from": NOON + timedelta(minutes=2), "began_before": NOON + timedelta(minutes=3)}
    assert await wire_ids(**later) == ["tx-2"]
    first = await queries.transactions(limit=3)
    rest = await queries.transactions(limit=3, cursor=first.cursor, show_tokens=True)
    assert [t.transaction_id for t in rest.items] == ["tx-1"]
    shown = await queries.transactions(station_id="CP-1", show_tokens=True)
    assert [t.id_token for t in shown.items] == [None, SOMEONE, None]


async def test_a_transaction_says_what_is_missing_of_it(queries: PostgresQueries, store: PostgresChargerStore) -> None:
    meter = EnergyMeter(energy_wh=1234.5, power_w=7000.0)
    gappy = charged(1, seen=[0, 1, 4, 4], end_seq_no=4, ended_at=NOON, events=3, meter=meter)
    await store.commit([Unit("CP-1", [gappy])])
    detail = await queries.transaction(gappy.id)
    assert detail.gaps == GapReport(
        complete=False, start_missing=False, end_missing=False, missing=[(2, 3)], conflicts=0
    )
    assert (detail.summary.energy_wh, detail.summary.complete, detail.events) == (1234.5, False, 3)
    for nothing in ("not-an-id", str(UUID(int=99))):
        with pytest.raises(NotFound, match=nothing):
            await queries.transaction(nothing)


async def test_meter_values_are_a_curve_and_on_demand_what_was_received(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    def measured(key: str, minutes: int, register_wh: float, payload: bytes) -> StoredEvent:
        at = NOON + timedelta(minutes=minutes)
        readings = msgspec.json.encode([Reading(at, register_wh, None, 6000.0)])
        return StoredEvent("CP-1", "tx-1", key, None, "Updated", at, at, False, payload, readings, b"")

    later = measured("1", 10, 2000.0, b'{"meterValue":[{"sampledValue":[{"value":2.0}]}]}')
    earlier = measured("0", 0, 1000.0, b'{"transactionData":[{"sampledValue":[{"value":"1000"}]}],"x":"\\u0000"}')
    await store.commit([Unit("CP-1", [charged(1), later, earlier])])

    found = await queries.meter_values(charged(1).id)
    assert found.curve == [EnergyPoint(earlier.timestamp, 0.0, 6000.0), EnergyPoint(later.timestamp, 1000.0, 6000.0)]
    assert found.received == []
    received = (await queries.meter_values(charged(1).id, received=True)).received
    assert received == [
        ReceivedMeterValues("0", earlier.timestamp, earlier.timestamp, [{"sampledValue": [{"value": "1000"}]}]),
        ReceivedMeterValues("1", later.timestamp, later.timestamp, [{"sampledValue": [{"value": 2.0}]}]),
    ]


async def test_commands_notices_and_variables_of_a_station(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    commands = [
        Command(f"c-{n}", "CP-1", "Reset", {"type": "OnIdle"}, NOON + timedelta(seconds=n), NOON) for n in range(3)
    ]
    notice = Notice("CP-1", "SecurityEvent", NOON, NOON, "d", b'{"type":"StartupOfTheDevice","odd":"\\u0000"}')
    variables = [
        ReportedVariable("CP-1", "EVSE", "", number, "Power", "", "Actual", "11", "ReadOnly", NOON) for number in (1, 2)
    ]
    await store.commit([Unit("CP-1", [*commands, notice, *variables])])

    page = await queries.commands("CP-1", limit=2)
    assert page.items == [commands[2], commands[1]]
    assert (await queries.commands("CP-1", page.cursor)).items == [commands[0]]
    assert await queries.command("c-1") == commands[1]
    with pytest.raises(NotFound):
        await queries.command("c-9")
    (found,) = (await queries.notices("CP-1")).items
    assert found.payload == {"type": "StartupOfTheDevice", "odd": "\0"}
    first = await queries.variables("CP-1", limit=1)
    second = await queries.variables("CP-1", cursor=first.cursor, limit=1)
    assert [page.items[0].evse_id for page in (first, second)] == [1, 2]
    assert second.cursor is None


async def test_id_tokens_are_masked_also_in_cursors(queries: PostgresQueries, engine: AsyncEngine) -> None:
    tokens = PostgresTokens(engine, fixed_vault())
    await tokens.put(KnownToken(SOMEONE))
    await tokens.put(KnownToken("short", group_id="family"))
    await tokens.put(KnownToken(SOMEONE.lower(), status="Blocked"))

    first = await queries.tokens(limit=1)
    assert first.items == [KnownToken("********d5e6", status="Blocked")]
    assert first.cursor is not None
    assert SOMEONE.lower() not in urlsafe_b64decode(first.cursor + "==").decode()
    second = await queries.tokens(first.cursor, limit=1)
    assert second.items == [KnownToken("*****", group_id="family")]
    assert second.cursor is None
    assert (await queries.tokens(show_tokens=True)).items[0].id_token == SOMEONE.lower()

    await tokens.remove("SHORT")
    assert len((await queries.tokens()).items) == 1
    with pytest.raises(NotFound):
        await tokens.remove("short")
    with pytest.raises(BadRequest):
        await tokens.put(KnownToken("ab", status="a\0b"))


async def test_the_platform_in_numbers(
    queries: PostgresQueries, store: PostgresChargerStore, engine: AsyncEngine
) -> None:
    await PostgresGateways(engine).started("g-1", "node", "127.0.0.1:9000")
    fact = BusinessEvent("CP-1", NOON, StationConfigured())
    rows: list[Row] = [Station("CP-1", gateway_id="g-1"), charged(1), charged(2, ended_at=NOON), fact]
    await store.commit([Unit("CP-1", rows), Unit("CP-2", [Station("CP-2")])])
    assert await queries.counts() == FleetCounts(
        stations=2,
        connected=1,
        open_transactions=1,
        waiting_commands=0,
        waiting_business_events=1,
        hosts=1,
        gateways=1,
    )


@pytest.mark.parametrize("cursor", ["", "nonsense", "W10", "WzFd", "é", "WyJhIiwgImIiXQ"])
async def test_a_foreign_cursor_is_refused_with_a_word(queries: PostgresQueries, cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        await queries.stations(cursor=cursor)


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_page_has_a_bounded_size(queries: PostgresQueries, limit: int) -> None:
    with pytest.raises(BadRequest, match="limit"):
        await queries.stations(limit=limit)


async def test_what_cannot_be_looked_for_is_a_bad_request(queries: PostgresQueries) -> None:
    with pytest.raises(BadRequest):
        await queries.station("a\0b")


def test_masking_never_shows_half_of_a_token() -> None:
    assert [masked(text) for text in ("", "1234", "12345678", "123456789")] == ["", "****", "********", "*****6789"]


@pytest.mark.parametrize("order", STATIONS)
async def test_every_order_of_stations_is_read_from_an_index(engine: AsyncEngine, order: StationOrder) -> None:
    """A page of 100,000 stations costs what the page costs."""
    query = STATIONS[order].at(select(*STATION_COLUMNS), None, 50)
    text_of_it = str(query.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
    async with engine.connect() as connection:
        await connection.execute(text("SET enable_seqscan = off"))
        plan = "\n".join((await connection.execute(text(f"EXPLAIN {text_of_it}"))).scalars())
    assert "Index Scan" in plan
    assert "Sort" not in plan, plan


async def test_a_station_is_read_with_all_that_charges_at_it_the_newest_first(
    queries: PostgresQueries, store: PostgresChargerStore
) -> None:
    running = [charged(number, id_token=SOMEONE) for number in (1, 3, 2)]
    await store.commit([Unit("CP-1", [Station("CP-1"), *running, charged(4, ended_at=NOON)])])
    await store.commit([Unit("CP-2", [Station("CP-2"), charged(5, "CP-2")])])
    found = await queries.station("CP-1")
    assert [one.transaction_id for one in found.open_transactions] == ["tx-3", "tx-2", "tx-1"]
    assert found.open_transactions == (await queries.transactions("CP-1", is_open=True)).items
    assert (await queries.station("CP-1", show_tokens=True)).open_transactions[0].id_token == SOMEONE
