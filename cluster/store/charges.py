"""What app users look at: their stations, their relations and what they have charged.

Must not know: HTTP, who may see what.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Row, Select, Text, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.errors import NotFound
from cluster.identity.relation import Holding, Tie, Use
from cluster.store.decoding import STATION_COLUMNS, TRANSACTION_STATE, decode_station
from cluster.store.holders import decode_nameless
from cluster.store.paging import Order
from cluster.store.queries import TRANSACTIONS
from cluster.store.reader import Reader
from cluster.store.tables.chargers import commands, stations, transactions
from cluster.store.tables.sharing import drivers, relations
from cluster.store.views import Charge, Page

_MINE: Final = Order([relations.c.kind, relations.c.name], (str, str))
_STATIONS: Final = Order([stations.c.station_id], (str,))
_STATE: Final = frozenset({"subject", "power_w", "soc_percent"})
_COLUMNS: Final = [transactions.c[name] for name in Charge.__struct_fields__ if name not in _STATE]
START_WAIT: Final = timedelta(minutes=5)
"""How long a start that was asked for may take to become a transaction."""

_decode_tie = msgspec.json.Decoder(Tie).decode


class PostgresCharges:
    """ChargeQueries on PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = Reader(engine)

    async def ties_of(self, subject: str, cursor: str | None = None, limit: int = 100) -> Page[Tie]:
        """List what somebody has relations to, in force or not."""
        query = select(relations.c.state.cast(Text).label("state")).where(relations.c.subject == subject)
        return await self._reader.page(query, _MINE, cursor, limit, lambda row: _decode_tie(row.state))

    async def stations_of(
        self, subject: str, now: datetime, cursor: str | None = None, limit: int = 100
    ) -> Page[Station]:
        """List the stations that somebody has a relation to that is in force, by id; without passwords."""
        begun = or_(relations.c.valid_from.is_(None), relations.c.valid_from <= now)
        lasting = or_(relations.c.valid_until.is_(None), relations.c.valid_until > now)
        mine = select(relations.c.name).where(relations.c.subject == subject, begun, lasting)
        sites = mine.where(relations.c.kind == "site")
        ids = union(
            mine.where(relations.c.kind == "station"),
            select(stations.c.station_id).where(stations.c.site_id.in_(sites)),
        )
        query = select(*STATION_COLUMNS).where(stations.c.station_id.in_(ids))
        return await self._reader.page(query, _STATIONS, cursor, limit, _station)

    async def charges(
        self,
        subject: str | None = None,
        station_id: str | None = None,
        began_from: datetime | None = None,
        is_open: bool | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Charge]:
        """List charges of a person, at a station, or both, the newest first."""
        query = _charges()
        if subject is not None:
            query = query.where(transactions.c.token_key == _token_of(subject))
        if station_id is not None:
            query = query.where(transactions.c.station_id == station_id)
        if began_from is not None:
            query = query.where(transactions.c.began_at >= began_from)
        if is_open is not None:
            query = query.where(transactions.c.ended_at.is_(None) if is_open else transactions.c.ended_at.is_not(None))
        return await self._reader.page(query, TRANSACTIONS, cursor, limit, _charge)

    async def charge(self, charge_id: str) -> Charge:
        """Return one charge. Raises NotFound."""
        row = await self._reader.one(_charges().where(transactions.c.id == charge_id)) if _is_uuid(charge_id) else None
        if row is None:
            raise NotFound(f"there is no charge {charge_id}")
        return _charge(row)

    async def used(self, subject: str, holding: Holding, since: datetime, now: datetime) -> Use:
        """Return what somebody has charged at a holding since then, with starts that may still become charges."""
        charged = func.coalesce(func.sum(transactions.c.energy_wh), 0.0)
        made = select(func.count().label("made"), charged.label("energy_wh")).where(
            transactions.c.token_key == _token_of(subject),
            transactions.c.began_at >= since,
            _at(transactions.c.station_id, holding),
        )
        asked = select(func.count()).where(
            commands.c.requested_by == subject,
            commands.c.action == "RequestStartTransaction",
            commands.c.status.in_(["queued", "sent", "accepted"]),
            commands.c.transaction.is_(None),
            commands.c.created_at >= max(since, now - START_WAIT),
            _at(commands.c.station_id, holding),
        )
        (row,) = await self._reader.all(made.add_columns(asked.scalar_subquery().label("asked")))
        return Use(row.made + row.asked, row.energy_wh)


def _charges() -> Select[Any]:
    with_driver = transactions.outerjoin(drivers, drivers.c.token_key == transactions.c.token_key)
    return select(*_COLUMNS, drivers.c.subject, TRANSACTION_STATE).select_from(with_driver)


def _charge(row: Row[Any]) -> Charge:
    meter = decode_nameless(row.state).meter
    values = {name: row._mapping[name] for name in Charge.__struct_fields__ if name not in _STATE}
    return Charge(**values, subject=row.subject, power_w=meter.power_w, soc_percent=meter.soc_percent)


def _station(row: Row[Any]) -> Station:
    return msgspec.structs.replace(decode_station(row._mapping), password_digest=None)


def _token_of(subject: str) -> ColumnElement[bytes]:
    return select(drivers.c.token_key).where(drivers.c.subject == subject).scalar_subquery()


def _at(station_id: ColumnElement[str], holding: Holding) -> ColumnElement[bool]:
    if holding.kind == "station":
        return station_id == holding.name
    return station_id.in_(select(stations.c.station_id).where(stations.c.site_id == holding.name))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
