"""CircleStore in memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.errors import BadRequest, Changed
from cluster.identity.circle import Circle, Offer
from cluster.identity.relation import Grant, Place
from tests.twins.store import MemoryDatabase

_MAX_OFFERS = 100


class MemoryCircles:
    """The people of places; which site a station belongs to is in the database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.circles: dict[Place, Circle] = {}

    async def circle(self, place: Place) -> Circle:
        known = self.circles.get(place) or Circle(place)
        return Circle(place, known.version, dict(known.grants), dict(known.offers))

    async def save(self, circle: Circle) -> None:
        known = self.circles.get(circle.place) or Circle(circle.place)
        if known.version != circle.version:
            raise Changed(f"the people of {circle.place.name} have changed meanwhile")
        if "\\u0000" in msgspec.json.encode(circle).decode():
            raise BadRequest("the people of a place hold a value that cannot be stored")
        self.circles[circle.place] = Circle(circle.place, circle.version + 1, dict(circle.grants), dict(circle.offers))

    async def bearing(self, subject: str, places: Sequence[Place]) -> dict[Place, list[Grant]]:
        found = {place: [*self._here(subject, place), *self._on_its_site(subject, place)] for place in set(places)}
        return {place: grants for place, grants in found.items() if grants}

    async def offers_to(self, subject: str) -> list[Offer]:
        mine = [offer for offer in self._offers() if offer.subject == subject]
        return sorted(mine, key=lambda offer: (offer.offered_at, offer.id))[:_MAX_OFFERS]

    async def offer_of(self, digest: str) -> Offer | None:
        return next((offer for offer in self._offers() if offer.code_digest == digest), None)

    def grants(self) -> list[Grant]:
        return [grant for circle in self.circles.values() for grant in circle.grants.values()]

    def _offers(self) -> list[Offer]:
        return [offer for circle in self.circles.values() for offer in circle.offers.values()]

    def _here(self, subject: str, place: Place) -> list[Grant]:
        here = [grant for grant in self.grants() if grant.place == place]
        return [grant for grant in here if grant.subject == subject or grant.relation == "owner"]

    def _on_its_site(self, subject: str, place: Place) -> list[Grant]:
        station = self.database.stations.get(place.name)
        if place.kind != "station" or station is None or station.site_id is None:
            return []
        site = Place("site", station.site_id)
        return [grant for grant in self.grants() if grant.place == site and grant.subject == subject]
