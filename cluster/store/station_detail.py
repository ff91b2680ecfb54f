"""Stations with what charges at them now, in one question: it is what is asked most.

It goes past SQLAlchemy, whose way to one row takes six times as long as asyncpg's.
Must not know: HTTP, who may see what.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import asyncpg
from sqlalchemy import Column, ColumnElement, Text, Uuid, any_, bindparam, literal_column, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest, NotFound
from cluster.store.decoding import STATION_COLUMNS, Fields, decode_station
from cluster.store.engine import blames_content, driver_pool, reachable
from cluster.store.holders import opened_holder
from cluster.store.tables.chargers import stations, transactions
from cluster.store.together import Together
from cluster.store.views import StationDetail, TransactionSummary, shown_token
from cluster.vault.vault import Vault

_MAX_OPEN: Final = "100"
_PLAIN: Final = [name for name in TransactionSummary.__struct_fields__ if name != "id_token"]


def _here(column: Column[Any]) -> ColumnElement[Any]:
    read = column.cast(Text) if isinstance(column.type, Uuid) else column
    return read.label(f"open_{column.name}")


_OPEN_HERE = (
    select(_here(transactions.c.holder), *(_here(transactions.c[name]) for name in _PLAIN))
    .where(transactions.c.station_id == stations.c.station_id, transactions.c.ended_at.is_(None))
    .order_by(transactions.c.began_at.desc(), transactions.c.id.desc())
    .limit(literal_column(_MAX_OPEN))
    .lateral("open_here")
)
_QUERY = (  # a row for each open transaction of each station, or one
    select(*STATION_COLUMNS, *_OPEN_HERE.c)
    .select_from(stations.outerjoin(_OPEN_HERE, true()))
    .where(stations.c.station_id == any_(bindparam("wanted", type_=ARRAY(Text))))
    .order_by(stations.c.station_id, _OPEN_HERE.c.open_began_at.desc(), _OPEN_HERE.c.open_id.desc())
)
_STATIONS: Final = str(_QUERY.compile(dialect=dialect()))  # type: ignore[no-untyped-call]


class StationLook:
    """Raises Unavailable when the database is away, BadRequest for an id that cannot be looked for."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault
        self._rows = Together(self._ask)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def station(self, station_id: str, show_tokens: bool = False) -> StationDetail:
        """Return one station with its open transactions. Raises NotFound."""
        rows = await self._rows.get(station_id)
        if rows is None:
            raise NotFound(f"there is no station {station_id}")
        station = decode_station(rows[0])
        password_set, station.password_digest = station.password_digest is not None, None
        charging = [self._charging(row, show_tokens) for row in rows if row["open_id"] is not None]
        return StationDetail(station, password_set, charging)

    async def close(self) -> None:
        """Close its connection, when no question is under way."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def _ask(self, station_ids: Collection[str]) -> Mapping[str, Sequence[Fields]]:
        try:
            async with reachable():
                if self._pool is None:
                    self._pool = await driver_pool(self._engine, "stations", 1)
                rows = await self._pool.fetch(_STATIONS, list(station_ids))
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the request holds a value that cannot be looked for") from error
            raise
        return {station_id: list(own) for station_id, own in groupby(rows, itemgetter("station_id"))}

    def _charging(self, row: Fields, show_tokens: bool) -> TransactionSummary:
        id_token = opened_holder(self._vault, row["open_id"], row["open_holder"]).id_token
        shown = None if id_token is None else shown_token(id_token, show_tokens)
        return TransactionSummary(id_token=shown, **{name: row[f"open_{name}"] for name in _PLAIN})
