"""The people of stations and sites: circles are read and written as a whole, and looked into by person.

Must not know: who may change them, and how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Table, Text, delete, literal, or_, select, tuple_, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import BadRequest, Changed
from cluster.identity.circle import Circle, Offer
from cluster.identity.relation import Grant, Place
from cluster.store.engine import blames_content, reachable
from cluster.store.reader import Reader
from cluster.store.tables import circles, offers, relations, stations

_MAX_OFFERS: Final = 100
_RELATION: Final = relations.c.state.cast(Text).label("state")
_OFFER: Final = offers.c.state.cast(Text).label("state")

_decode_grant = msgspec.json.Decoder(Grant).decode
_decode_offer = msgspec.json.Decoder(Offer).decode


class PostgresCircles:
    """CircleStore on PostgreSQL; writers of one place wait for each other, and the later one is told."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def circle(self, place: Place) -> Circle:
        """Return the circle of a place; an empty one if it has none."""
        async with reachable(), self._engine.connect() as connection:
            # The version first: what is written between these is then newer than it, and noticed by `save`.
            version = await connection.scalar(select(circles.c.version).where(_at(circles, place)))
            found = await connection.execute(select(_RELATION).where(_at(relations, place)))
            offered = await connection.execute(select(_OFFER).where(_at(offers, place)))
            people = [_decode_grant(row.state) for row in found]
            open_offers = [_decode_offer(row.state) for row in offered]
        return Circle(
            place,
            version or 0,
            {grant.subject: grant for grant in people},
            {offer.id: offer for offer in open_offers},
        )

    async def save(self, circle: Circle) -> None:
        """Store a circle that has changed since it was read. Raises Changed if it was stored meanwhile."""
        try:
            async with reachable(), self._engine.begin() as connection:
                await _raise_version(connection, circle)
                for table in (relations, offers):
                    await connection.execute(delete(table).where(_at(table, circle.place)))
                if circle.grants:
                    await connection.execute(
                        insert(relations), [_relation_row(grant) for grant in circle.grants.values()]
                    )
                if circle.offers:
                    await connection.execute(insert(offers), [_offer_row(offer) for offer in circle.offers.values()])
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the people of a place hold a value that cannot be stored") from error
            raise

    async def bearing(self, subject: str, places: Sequence[Place]) -> dict[Place, list[Grant]]:
        """Return, for places, what somebody has there and the owner of each; at a station, what he has on its site."""
        who = or_(relations.c.subject == subject, relations.c.relation == "owner")
        here = tuple_(relations.c.kind, relations.c.name).in_([tuple(place) for place in places])
        asked = [place.name for place in places if place.kind == "station"]
        on_site = (relations.c.kind == "site") & (relations.c.name == stations.c.site_id)
        of_sites = select(literal("station"), stations.c.station_id, _RELATION).join_from(relations, stations, on_site)
        both = union_all(
            select(relations.c.kind.label("kind"), relations.c.name.label("name"), _RELATION).where(here, who),
            of_sites.where(stations.c.station_id.in_(asked), relations.c.subject == subject),
        )
        found: dict[Place, list[Grant]] = {}
        for row in await self._reader.all(select(both.subquery())):
            found.setdefault(Place(row.kind, row.name), []).append(_decode_grant(row.state))
        return found

    async def offers_to(self, subject: str) -> list[Offer]:
        """Return what is offered to somebody, a hundred at most, the oldest first."""
        query = select(_OFFER).where(offers.c.subject == subject).order_by(offers.c.offered_at, offers.c.id)
        return [_decode_offer(row.state) for row in await self._reader.all(query.limit(_MAX_OFFERS))]

    async def offer_of(self, digest: str) -> Offer | None:
        """Return the offer whose code has this digest."""
        row = await self._reader.one(select(_OFFER).where(offers.c.code_digest == digest))
        return None if row is None else _decode_offer(row.state)


async def _raise_version(connection: AsyncConnection, circle: Circle) -> None:
    """Take the row of the place, as it was when the circle was read, or tell that it has changed."""
    if circle.version == 0:
        first = insert(circles).values(kind=circle.place.kind, name=circle.place.name, version=1)
        written = await connection.execute(first.on_conflict_do_nothing())
    else:
        known = update(circles).where(_at(circles, circle.place), circles.c.version == circle.version)
        written = await connection.execute(known.values(version=circle.version + 1))
    if written.rowcount == 0:
        raise Changed(f"the people of {circle.place.name} have changed meanwhile")


def _at(table: Table, place: Place) -> ColumnElement[bool]:
    return (table.c.kind == place.kind) & (table.c.name == place.name)


def _relation_row(grant: Grant) -> dict[str, object]:
    return {
        "kind": grant.place.kind,
        "name": grant.place.name,
        "subject": grant.subject,
        "relation": grant.relation,
        "valid_from": grant.terms.valid_from,
        "valid_until": grant.terms.valid_until,
        "state": grant,
    }


def _offer_row(offer: Offer) -> dict[str, object]:
    return {
        "id": offer.id,
        "kind": offer.place.kind,
        "name": offer.place.name,
        "subject": offer.subject,
        "code_digest": offer.code_digest,
        "offered_at": offer.offered_at,
        "state": offer,
    }
