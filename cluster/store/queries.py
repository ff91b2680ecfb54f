"""Read-only queries for the API and the command line.

They read past the chargers, straight from what is committed; lists go by pages in a stable order.
Must not know: HTTP, who may see what.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, func, literal, literal_column, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.meter import curve
from actors.domain.token import KnownToken
from actors.domain.transaction import gap_report
from actors.errors import NotFound
from cluster.bus.journal import STREAM
from cluster.store.decoding import (
    COMMAND_COLUMNS,
    STATION_COLUMNS,
    TRANSACTION_STATE,
    decode_command,
    decode_connectors,
    decode_readings,
    decode_token,
)
from cluster.store.exchanges import Holds, opened_frame
from cluster.store.holders import decode_transaction, opened_holder
from cluster.store.paging import MAX_LIMIT, Order
from cluster.store.reader import Reader, is_uuid
from cluster.store.sealed import EVENT_PAYLOAD, NOTICE_PAYLOAD, VARIABLE_VALUE, words
from cluster.store.station_detail import StationLook
from cluster.store.tables.chargers import (
    NEVER,
    commands,
    id_tokens,
    notices,
    ocpp_frames,
    stations,
    transaction_events,
    transactions,
    variables,
)
from cluster.store.tables.fleet import gateways, hosts
from cluster.store.tables.ways_out import journal, journal_readers, outbox
from cluster.store.views import (
    FleetCounts,
    FrameEntry,
    Page,
    ReceivedMeterValues,
    StationDetail,
    StationOrder,
    StationSummary,
    StoredNotice,
    StoredVariable,
    TransactionDetail,
    TransactionMeterValues,
    TransactionSummary,
    shown_token,
)
from cluster.vault.vault import Vault, place

_OPEN = transactions.c.ended_at.is_(None)
_CONNECTED = stations.c.gateway_id.is_not(None)
_PLAIN = [name for name in TransactionSummary.__struct_fields__ if name != "id_token"]
_SUMMARY = [transactions.c.holder, *(transactions.c[name] for name in _PLAIN)]
_VARIABLE_KEY = list(variables.primary_key.columns)
_in_outbox = select(func.count()).select_from(outbox).scalar_subquery()
_published = select(journal_readers.c.position).where(journal_readers.c.reader == STREAM).scalar_subquery()
_in_journal = select(func.count()).where(journal.c.position > _published).scalar_subquery()


def _frames_that(which: Holds) -> Select[Any]:
    logged = ocpp_frames.c
    position = logged.seq * 2 + int(which is Holds.SENT)
    columns = (logged.station_id, logged.at, logged.seq, position.label("position"), logged.exchange)
    return select(*columns, literal(int(which)).label("which")).where(logged.holds.op("&")(int(which)) != 0)


# One row of the log holds a frame and the answer to it.
_FRAMES = union_all(_frames_that(Holds.RECEIVED), _frames_that(Holds.SENT)).subquery("frames")

_NEVER: Final = literal_column(NEVER, stations.c.last_seen_at.type)
_BY_ID: Final = Order([stations.c.station_id], (str,))
_BY_LAST_SEEN: Final = Order([func.coalesce(stations.c.last_seen_at, _NEVER), stations.c.station_id], (datetime, str))
_BY_MODEL: Final = Order([stations.c.model, stations.c.station_id], (str, str))
STATIONS: Final[dict[StationOrder, Order]] = {
    "stationId": _BY_ID,
    "-stationId": _BY_ID._replace(descending=True),
    "lastSeenAt": _BY_LAST_SEEN,
    "-lastSeenAt": _BY_LAST_SEEN._replace(descending=True),
    "model": _BY_MODEL,
    "-model": _BY_MODEL._replace(descending=True),
}
TRANSACTIONS: Final = Order([transactions.c.began_at, transactions.c.id], (datetime, str), descending=True)
COMMANDS: Final = Order([commands.c.created_at, commands.c.id], (datetime, str), descending=True)
NOTICES: Final = Order([notices.c.at, notices.c.kind, notices.c.digest], (datetime, str, str), descending=True)
VARIABLES: Final = Order(_VARIABLE_KEY[1:], (str, str, int, str, str, str))
TOKENS: Final = Order([id_tokens.c.created_at, id_tokens.c.token_key], (datetime, bytes))
FRAMES_FORWARD: Final = Order([_FRAMES.c.at, _FRAMES.c.position], (datetime, int))
FRAMES: Final = FRAMES_FORWARD._replace(descending=True)


class _MeterValuesInside(msgspec.Struct, rename="camel"):
    """Where the requests of all versions carry meter values."""

    meter_value: list[object] = []
    transaction_data: list[object] = []


_meter_values = msgspec.json.Decoder(_MeterValuesInside).decode


class PostgresQueries:
    """Every method raises Unavailable when the database is away and BadRequest for a bad cursor, limit or value."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._reader = Reader(engine)
        self._look = StationLook(engine, vault)
        self._vault = vault

    async def close(self) -> None:
        """Close the connection that is its own; the others are the engine's."""
        await self._look.close()

    async def stations(
        self,
        connected: bool | None = None,
        registration: str | None = None,
        site_id: str | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
        order: StationOrder = "stationId",
    ) -> Page[StationSummary]:
        """List stations; `q` is a part of the id, vendor, model or serial number, in any case."""
        query = select(*STATION_COLUMNS)
        if connected is not None:
            query = query.where(_CONNECTED if connected else ~_CONNECTED)
        if registration is not None:
            query = query.where(stations.c.registration == registration)
        if site_id is not None:
            query = query.where(stations.c.site_id == site_id)
        if q is not None:
            where = (stations.c.station_id, stations.c.vendor_name, stations.c.model, stations.c.serial_number)
            query = query.where(or_(*(column.icontains(q, autoescape=True) for column in where)))
        return await self._reader.page(query, STATIONS[order], cursor, limit, _station_summary)

    async def station(self, station_id: str, show_tokens: bool = False) -> StationDetail:
        """Return one station with its open transactions. Raises NotFound."""
        return await self._look.station(station_id, show_tokens)

    async def transactions(
        self,
        station_id: str | None = None,
        is_open: bool | None = None,
        began_from: datetime | None = None,
        began_before: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
        show_tokens: bool = False,
    ) -> Page[TransactionSummary]:
        """List transactions, the newest first."""
        query = select(*_SUMMARY)
        if station_id is not None:
            query = query.where(transactions.c.station_id == station_id)
        if is_open is not None:
            query = query.where(_OPEN if is_open else ~_OPEN)
        if began_from is not None:
            query = query.where(transactions.c.began_at >= began_from)
        if began_before is not None:
            query = query.where(transactions.c.began_at < began_before)
        return await self._reader.page(query, TRANSACTIONS, cursor, limit, lambda row: self._summary(row, show_tokens))

    async def transaction(self, transaction_id: str, show_tokens: bool = False) -> TransactionDetail:
        """Return one transaction by the platform's id, with its gaps. Raises NotFound."""
        row = await self._transaction_row(transaction_id, select(*_SUMMARY, TRANSACTION_STATE))
        state = decode_transaction(self._vault, row.state, row.holder)
        return TransactionDetail(
            self._summary(row, show_tokens),
            gap_report(state),
            state.events,
            state.offline_events,
            state.meter.power_w,
            state.meter.soc_percent,
            state.meter.resets,
        )

    async def meter_values(self, transaction_id: str, received: bool = False) -> TransactionMeterValues:
        """Return the charging curve by the platform's id, with the messages as received if asked. Raises NotFound."""
        owner = await self._transaction_row(
            transaction_id, select(transactions.c.station_id, transactions.c.transaction_id)
        )
        events = transaction_events.c
        columns = [events.event_key, events.timestamp, events.received_at, events.readings]
        columns += [events.station_id, events.transaction_id, events.payload] if received else []
        query = select(*columns)
        query = query.where(events.station_id == owner.station_id, events.transaction_id == owner.transaction_id)
        rows = await self._reader.all(query.order_by(events.timestamp, events.received_at))
        readings = [reading for row in rows if row.readings for reading in decode_readings(row.readings)]
        return TransactionMeterValues(curve(readings), self._received(rows) if received else [])

    async def commands(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[Command]:
        """List the commands of a station, the newest first."""
        query = select(*COMMAND_COLUMNS).where(commands.c.station_id == station_id)
        return await self._reader.page(query, COMMANDS, cursor, limit, self._command)

    async def command(self, command_id: str) -> Command:
        """Return one command. Raises NotFound."""
        row = await self._reader.one(select(*COMMAND_COLUMNS).where(commands.c.id == command_id))
        if row is None:
            raise NotFound(f"there is no command {command_id}")
        return self._command(row)

    async def variables(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[StoredVariable]:
        """List the reported device model of a station."""
        query = select(variables).where(variables.c.station_id == station_id)
        return await self._reader.page(query, VARIABLES, cursor, limit, self._variable)

    async def notices(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[StoredNotice]:
        """List what a station has reported and is kept as it is, the newest first."""
        query = select(notices).where(notices.c.station_id == station_id)
        return await self._reader.page(query, NOTICES, cursor, limit, self._notice)

    async def tokens(self, cursor: str | None = None, limit: int = 100, show_tokens: bool = False) -> Page[KnownToken]:
        """List id tokens in the order they were registered."""

        def shown(row: Row[Any]) -> KnownToken:
            token = decode_token(self._vault, row._mapping)
            return msgspec.structs.replace(token, id_token=shown_token(token.id_token, show_tokens))

        return await self._reader.page(select(id_tokens), TOKENS, cursor, limit, shown)

    async def frames(self, station_id: str, cursor: str | None = None, limit: int = 100) -> Page[FrameEntry]:
        """List the logged OCPP frames of a station, the newest first."""
        return await self._reader.page(_frames(station_id), FRAMES, cursor, limit, self._frame)

    async def all_frames(self, station_id: str) -> AsyncIterator[FrameEntry]:
        """Yield every logged OCPP frame of a station, the oldest first, a page at a time."""
        cursor: str | None = None
        while True:
            page = await self._reader.page(_frames(station_id), FRAMES_FORWARD, cursor, MAX_LIMIT, self._frame)
            for frame in page.items:
                yield frame
            cursor = page.cursor
            if cursor is None:
                return

    async def counts(self) -> FleetCounts:
        """Return the platform in numbers."""
        queries = {
            "stations": select(func.count()).select_from(stations),
            "connected": select(func.count()).where(_CONNECTED),
            "open_transactions": select(func.count()).where(_OPEN),
            "waiting_commands": select(func.count()).where(commands.c.status.in_(["queued", "sent"])),
            "waiting_business_events": select(_in_outbox + _in_journal),
            "hosts": select(func.count()).select_from(hosts),
            "gateways": select(func.count()).select_from(gateways),
        }
        (row,) = await self._reader.all(select(*(query.label(name) for name, query in queries.items())))
        return FleetCounts(**row._mapping)

    async def _transaction_row(self, transaction_id: str, query: Select[Any]) -> Row[Any]:
        row = None
        if is_uuid(transaction_id):
            row = await self._reader.one(query.where(transactions.c.id == transaction_id))
        if row is None:
            raise NotFound(f"there is no transaction {transaction_id}")
        return row

    def _summary(self, row: Row[Any], show_tokens: bool) -> TransactionSummary:
        id_token = opened_holder(self._vault, row.id, row.holder).id_token
        shown = None if id_token is None else shown_token(id_token, show_tokens)
        return TransactionSummary(id_token=shown, **{name: row._mapping[name] for name in _PLAIN})

    def _received(self, rows: Sequence[Row[Any]]) -> list[ReceivedMeterValues]:
        found = []
        for row in rows:
            key = (row.station_id, row.transaction_id, row.event_key)
            inside = _meter_values(self._vault.open(row.payload, place(EVENT_PAYLOAD, *key)))
            if values := inside.meter_value or inside.transaction_data:
                found.append(ReceivedMeterValues(row.event_key, row.timestamp, row.received_at, values))
        return found

    def _command(self, row: Row[Any]) -> Command:
        return decode_command(self._vault, row._mapping)

    def _variable(self, row: Row[Any]) -> StoredVariable:
        values = {name: row._mapping[name] for name in StoredVariable.__struct_fields__}
        if row.value is not None:
            key = words(*(row._mapping[column.name] for column in _VARIABLE_KEY))
            values["value"] = self._vault.open(row.value, place(VARIABLE_VALUE, *key)).decode()
        return StoredVariable(**values)

    def _notice(self, row: Row[Any]) -> StoredNotice:
        context = place(NOTICE_PAYLOAD, *words(row.station_id, row.at, row.kind, row.digest))
        return StoredNotice(
            row.kind, row.at, row.received_at, msgspec.json.decode(self._vault.open(row.payload, context))
        )

    def _frame(self, row: Row[Any]) -> FrameEntry:
        which = Holds(row.which)
        data = opened_frame(self._vault, row.station_id, row.at, row.seq, row.exchange, which)
        return FrameEntry(row.at, "in" if which is Holds.RECEIVED else "out", data.decode(errors="replace"))


def _station_summary(row: Row[Any]) -> StationSummary:
    return StationSummary(
        row.station_id,
        row.vendor_name,
        row.model,
        row.firmware_version,
        row.ocpp_version,
        row.registration,
        row.gateway_id is not None,
        row.last_seen_at,
        decode_connectors(row.connectors),
    )


def _frames(station_id: str) -> Select[Any]:
    return select(_FRAMES).where(_FRAMES.c.station_id == station_id)
