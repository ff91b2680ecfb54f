"""What decides who may see a live event: for many people and charges at a time.

Must not know: who may see what.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import ARRAY, CollectionAggregate, Text, Uuid, any_, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.identity.relation import Tie
from cluster.onlookers import Origin
from cluster.store.reader import Reader, is_uuid
from cluster.store.tables.chargers import stations, transactions
from cluster.store.tables.sharing import drivers, relations

_decode_tie: Final = msgspec.json.Decoder(Tie).decode


class PostgresOnlookers:
    """OnlookerQueries on PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = Reader(engine)

    async def ties(self, subjects: Collection[str]) -> list[Tie]:
        """Return what these people are to holdings, in force or not, and the owners of the stations among these."""
        theirs = relations.c.subject == _any(subjects)
        of_stations = relations.c.kind == "station"
        names = select(relations.c.name).where(of_stations, theirs)
        owners = of_stations & (relations.c.relation == "owner") & relations.c.name.in_(names)
        query = select(relations.c.state.cast(Text).label("state")).where(or_(theirs, owners))
        return [_decode_tie(row.state) for row in await self._reader.all(query)]

    async def sites(self, station_ids: Collection[str]) -> dict[str, str]:
        """Return the sites of those of these stations that have one."""
        query = select(stations.c.station_id, stations.c.site_id)
        query = query.where(stations.c.station_id == _any(station_ids), stations.c.site_id.is_not(None))
        return {row.station_id: row.site_id for row in await self._reader.all(query)}

    async def charging(self, subjects: Collection[str]) -> dict[str, frozenset[str]]:
        """Return the stations where each of these people charges now; who charges nowhere is left out."""
        query = select(drivers.c.subject, transactions.c.station_id)
        query = query.join(transactions, transactions.c.token_key == drivers.c.token_key)
        query = query.where(drivers.c.subject == _any(subjects), transactions.c.ended_at.is_(None))
        found: dict[str, set[str]] = {}
        for row in await self._reader.all(query):
            found.setdefault(row.subject, set()).add(row.station_id)
        return {subject: frozenset(names) for subject, names in found.items()}

    async def origins(self, charges: Collection[str]) -> dict[str, Origin]:
        """Return whose these charges are; what is no charge is left out."""
        ids = literal([each for each in charges if is_uuid(each)], ARRAY(Uuid(as_uuid=False)))
        with_driver = transactions.outerjoin(drivers, drivers.c.token_key == transactions.c.token_key)
        columns = (transactions.c.id, transactions.c.station_id, transactions.c.began_at, drivers.c.subject)
        query = select(*columns).select_from(with_driver).where(transactions.c.id == any_(ids))
        return {row.id: Origin(row.station_id, row.subject, row.began_at) for row in await self._reader.all(query)}


def _any(texts: Collection[str]) -> CollectionAggregate[bool]:
    return any_(literal(list(texts), ARRAY(Text)))
