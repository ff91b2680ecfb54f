"""The people of stations and sites: circles are read and written as a whole, and looked into by person.

Must not know: who may change them, and how.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Table, Text, delete, literal, or_, select, tuple_, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import BadRequest, Changed
from cluster.identity.circle import Circle, Offer
from cluster.identity.relation import Holding, Tie
from cluster.store.engine import blames_content, reachable
from cluster.store.reader import Reader
from cluster.store.tables.chargers import stations
from cluster.store.tables.sharing import circles, offers, relations

_MAX_OFFERS: Final = 100
_RELATION: Final = relations.c.state.cast(Text).label("state")
_OFFER: Final = offers.c.state.cast(Text).label("state")

_decode_tie = msgspec.json.Decoder(Tie).decode
_decode_offer = msgspec.json.Decoder(Offer).decode


class PostgresCircles:
    """CircleStore, and StationTies of webhooks, on PostgreSQL; of two writers of one holding the later one is told."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def circle(self, holding: Holding) -> Circle:
        """Return the circle of a holding; an empty one if it has none."""
        async with reachable(), self._engine.connect() as connection:
            return await read_circle(connection, holding)

    async def save(self, circle: Circle) -> None:
        """Store a circle that has changed since it was read. Raises Changed if it was stored meanwhile."""
        try:
            async with reachable(), self._engine.begin() as connection:
                await write_circle(connection, circle)
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the people of a holding hold a value that cannot be stored") from error
            raise

    async def bearing(self, subject: str, holdings: Sequence[Holding]) -> dict[Holding, list[Tie]]:
        """Return what somebody has at holdings and the owner of each; at a station, also what he has on its site."""
        who = or_(relations.c.subject == subject, relations.c.relation == "owner")
        here = tuple_(relations.c.kind, relations.c.name).in_([tuple(holding) for holding in holdings])
        asked = [holding.name for holding in holdings if holding.kind == "station"]
        on_site = (relations.c.kind == "site") & (relations.c.name == stations.c.site_id)
        of_sites = select(literal("station"), stations.c.station_id, _RELATION).join_from(relations, stations, on_site)
        both = union_all(
            select(relations.c.kind.label("kind"), relations.c.name.label("name"), _RELATION).where(here, who),
            of_sites.where(stations.c.station_id.in_(asked), relations.c.subject == subject),
        )
        found: dict[Holding, list[Tie]] = {}
        for row in await self._reader.all(select(both.subquery())):
            found.setdefault(Holding(row.kind, row.name), []).append(_decode_tie(row.state))
        return found

    async def on_stations(self, station_ids: Collection[str]) -> dict[str, list[Tie]]:
        """Return everybody's ties that bear on stations: on each itself and on its site."""
        asked = list(station_ids)
        on_site = (relations.c.kind == "site") & (relations.c.name == stations.c.site_id)
        of_sites = select(stations.c.station_id.label("name"), _RELATION).join_from(relations, stations, on_site)
        here = (relations.c.kind == "station") & relations.c.name.in_(asked)
        both = union_all(
            select(relations.c.name.label("name"), _RELATION).where(here),
            of_sites.where(stations.c.station_id.in_(asked)),
        )
        found: dict[str, list[Tie]] = {}
        for row in await self._reader.all(select(both.subquery())):
            found.setdefault(row.name, []).append(_decode_tie(row.state))
        return found

    async def offers_to(self, subject: str) -> list[Offer]:
        """Return what is offered to somebody, a hundred at most, the oldest first."""
        query = select(_OFFER).where(offers.c.subject == subject).order_by(offers.c.offered_at, offers.c.id)
        return [_decode_offer(row.state) for row in await self._reader.all(query.limit(_MAX_OFFERS))]

    async def offer_of(self, digest: str) -> Offer | None:
        """Return the offer whose code has this digest."""
        row = await self._reader.one(select(_OFFER).where(offers.c.code_digest == digest))
        return None if row is None else _decode_offer(row.state)


async def read_circle(connection: AsyncConnection, holding: Holding) -> Circle:
    """Return the circle of a holding inside somebody's transaction."""
    # The version first: what is written between these is then newer than it, and noticed by `write_circle`.
    version = await connection.scalar(select(circles.c.version).where(_at(circles, holding)))
    found = await connection.execute(select(_RELATION).where(_at(relations, holding)))
    offered = await connection.execute(select(_OFFER).where(_at(offers, holding)))
    people = [_decode_tie(row.state) for row in found]
    open_offers = [_decode_offer(row.state) for row in offered]
    return Circle(
        holding, version or 0, {tie.subject: tie for tie in people}, {offer.id: offer for offer in open_offers}
    )


async def write_circle(connection: AsyncConnection, circle: Circle) -> None:
    """Store a circle inside somebody's transaction. Raises Changed if it was stored since it was read."""
    await _raise_version(connection, circle)
    for table in (relations, offers):
        await connection.execute(delete(table).where(_at(table, circle.holding)))
    if circle.ties:
        await connection.execute(insert(relations), [_relation_row(tie) for tie in circle.ties.values()])
    if circle.offers:
        await connection.execute(insert(offers), [_offer_row(offer) for offer in circle.offers.values()])


async def _raise_version(connection: AsyncConnection, circle: Circle) -> None:
    """Take the row of the holding, as it was when the circle was read, or tell that it has changed."""
    if circle.version == 0:
        first = insert(circles).values(kind=circle.holding.kind, name=circle.holding.name, version=1)
        written = await connection.execute(first.on_conflict_do_nothing())
    else:
        known = update(circles).where(_at(circles, circle.holding), circles.c.version == circle.version)
        written = await connection.execute(known.values(version=circle.version + 1))
    if written.rowcount == 0:
        raise Changed(f"the people of {circle.holding.name} have changed meanwhile")


def _at(table: Table, holding: Holding) -> ColumnElement[bool]:
    return (table.c.kind == holding.kind) & (table.c.name == holding.name)


def _relation_row(tie: Tie) -> dict[str, object]:
    return {
        "kind": tie.holding.kind,
        "name": tie.holding.name,
        "subject": tie.subject,
        "relation": tie.relation,
        "valid_from": tie.terms.valid_from,
        "valid_until": tie.terms.valid_until,
        "state": tie,
    }


def _offer_row(offer: Offer) -> dict[str, object]:
    return {
        "id": offer.id,
        "kind": offer.holding.kind,
        "name": offer.holding.name,
        "subject": offer.subject,
        "code_digest": offer.code_digest,
        "offered_at": offer.offered_at,
        "state": offer,
    }
