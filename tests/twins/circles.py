"""CircleStore and StationTies in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from actors.errors import BadRequest, Changed
from cluster.identity.circle import Circle, Offer
from cluster.identity.relation import Holding, Tie
from tests.twins.store import MemoryDatabase

_MAX_OFFERS = 100


class MemoryCircles:
    """The people of holdings; which site a station belongs to is in the database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.circles: dict[Holding, Circle] = {}

    async def circle(self, holding: Holding) -> Circle:
        known = self.circles.get(holding) or Circle(holding)
        return Circle(holding, known.version, dict(known.ties), dict(known.offers))

    async def save(self, circle: Circle) -> None:
        known = self.circles.get(circle.holding) or Circle(circle.holding)
        if known.version != circle.version:
            raise Changed(f"the people of {circle.holding.name} have changed meanwhile")
        if "\\u0000" in msgspec.json.encode(circle).decode():
            raise BadRequest("the people of a holding hold a value that cannot be stored")
        self.circles[circle.holding] = Circle(
            circle.holding, circle.version + 1, dict(circle.ties), dict(circle.offers)
        )

    async def bearing(self, subject: str, holdings: Sequence[Holding]) -> dict[Holding, list[Tie]]:
        found = {
            holding: [*self._here(subject, holding), *self._on_its_site(subject, holding)] for holding in set(holdings)
        }
        return {holding: ties for holding, ties in found.items() if ties}

    async def on_stations(self, station_ids: Collection[str]) -> dict[str, list[Tie]]:
        sites = {name: station.site_id for name, station in self.database.stations.items()}
        found = {
            name: [
                tie
                for tie in self.ties()
                if tie.holding in (Holding("station", name), Holding("site", sites.get(name) or ""))
            ]
            for name in set(station_ids)
        }
        return {name: ties for name, ties in found.items() if ties}

    async def offers_to(self, subject: str) -> list[Offer]:
        mine = [offer for offer in self._offers() if offer.subject == subject]
        return sorted(mine, key=lambda offer: (offer.offered_at, offer.id))[:_MAX_OFFERS]

    async def offer_of(self, digest: str) -> Offer | None:
        return next((offer for offer in self._offers() if offer.code_digest == digest), None)

    def ties(self) -> list[Tie]:
        return [tie for circle in self.circles.values() for tie in circle.ties.values()]

    def _offers(self) -> list[Offer]:
        return [offer for circle in self.circles.values() for offer in circle.offers.values()]

    def _here(self, subject: str, holding: Holding) -> list[Tie]:
        here = [tie for tie in self.ties() if tie.holding == holding]
        return [tie for tie in here if tie.subject == subject or tie.relation == "owner"]

    def _on_its_site(self, subject: str, holding: Holding) -> list[Tie]:
        station = self.database.stations.get(holding.name)
        if holding.kind != "station" or station is None or station.site_id is None:
            return []
        site = Holding("site", station.site_id)
        return [tie for tie in self.ties() if tie.holding == site and tie.subject == subject]
