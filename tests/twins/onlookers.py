"""OnlookerQueries in memory."""

from __future__ import annotations

from collections.abc import Collection

from actors.errors import NotFound, Unavailable
from cluster.identity.relation import Tie
from cluster.onlookers import Origin
from cluster.store.views import Charge
from tests.twins.charges import MemoryCharges


class MemoryOnlookers:
    """What the tables of a database say of who may see what; `asked` counts the questions for charges."""

    def __init__(self, charges: MemoryCharges) -> None:
        self._charges = charges
        self.down = False
        self.asked = 0

    async def ties(self, subjects: Collection[str]) -> list[Tie]:
        self._reach()
        every = self._charges.circles.ties()
        theirs = {tie.holding for tie in every if tie.subject in subjects and tie.holding.kind == "station"}
        return [tie for tie in every if tie.subject in subjects or (tie.relation == "owner" and tie.holding in theirs)]

    async def sites(self, station_ids: Collection[str]) -> dict[str, str]:
        self._reach()
        found = {station_id: self._charges.database.stations.get(station_id) for station_id in station_ids}
        return {name: station.site_id for name, station in found.items() if station is not None and station.site_id}

    async def charging(self, subjects: Collection[str]) -> dict[str, frozenset[str]]:
        self._reach()
        running = [(subject, await self._running(subject)) for subject in subjects]
        return {subject: frozenset(charge.station_id for charge in found) for subject, found in running if found}

    async def origins(self, charges: Collection[str]) -> dict[str, Origin]:
        self._reach()
        self.asked += 1
        found = {}
        for charge_id in charges:
            try:
                charge = await self._charges.charge(charge_id)
            except NotFound:
                continue
            found[charge_id] = Origin(charge.station_id, charge.subject, charge.began_at)
        return found

    async def _running(self, subject: str) -> list[Charge]:
        return (await self._charges.charges(subject, is_open=True, limit=1000)).items

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the database cannot be reached now")
