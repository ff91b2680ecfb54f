"""ChargeQueries and Drivers in memory."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from actors.domain.moment import believable
from actors.domain.station import Station
from actors.domain.token import KnownToken, token_key
from actors.domain.transaction import ChargingTransaction, gap_report
from actors.errors import NotFound
from cluster.identity.relation import Holding, Tie, Use
from cluster.store.views import Charge, Page
from tests.twins.circles import MemoryCircles
from tests.twins.paging import cut
from tests.twins.store import MemoryDatabase


class MemoryDrivers:
    """Id tokens of people, registered in the database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.tokens: dict[str, str] = {}

    async def id_token(self, subject: str) -> str:
        id_token = self.tokens.setdefault(subject, f"{len(self.tokens):020x}")
        if id_token not in self.database.tokens:
            self.database.add_token(KnownToken(id_token))
        return id_token

    def driver(self, id_token: str | None) -> str | None:
        return next((who for who, token in self.tokens.items() if id_token and token_key(id_token) == token), None)


class MemoryCharges:
    """What the tables of a database say to app users."""

    def __init__(self, database: MemoryDatabase, circles: MemoryCircles, drivers: MemoryDrivers) -> None:
        self.database = database
        self.circles = circles
        self.drivers = drivers

    async def ties_of(self, subject: str, cursor: str | None = None, limit: int = 100) -> Page[Tie]:
        mine = [tie for tie in self.circles.ties() if tie.subject == subject]
        return cut(sorted(mine, key=_holding), _holding, cursor, limit)

    async def stations_of(
        self, subject: str, now: datetime, cursor: str | None = None, limit: int = 100
    ) -> Page[Station]:
        mine = {tie.holding for tie in self.circles.ties() if tie.subject == subject and tie.in_force(now)}
        found = [
            msgspec.structs.replace(station, password_digest=None)
            for station in self.database.stations.values()
            if {Holding("station", station.station_id), Holding("site", station.site_id or "")} & mine
        ]
        return cut(sorted(found, key=_id), _id, cursor, limit)

    async def charges(
        self,
        subject: str | None = None,
        station_id: str | None = None,
        began_from: datetime | None = None,
        is_open: bool | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Charge]:
        found = [
            charge
            for charge in map(self._charge, self.database.transactions.values())
            if subject in (None, charge.subject)
            and station_id in (None, charge.station_id)
            and (began_from is None or charge.began_at >= began_from)
            and is_open in (None, charge.ended_at is None)
        ]
        return cut(sorted(found, key=_began, reverse=True), _began, cursor, limit)

    async def charge(self, charge_id: str) -> Charge:
        if charge_id not in self.database.transactions:
            raise NotFound(f"there is no charge {charge_id}")
        return self._charge(self.database.transactions[charge_id])

    async def used(self, subject: str, holding: Holding, since: datetime, now: datetime) -> Use:
        there = (await self.charges(subject, began_from=since, limit=1000)).items
        made = [charge for charge in there if self._at(charge.station_id, holding)]
        asked = [
            command
            for command in self.database.commands.values()
            if command.requested_by == subject
            and command.action == "RequestStartTransaction"
            and command.status in ("queued", "sent", "accepted")
            and command.transaction is None
            and command.created_at >= max(since, now - timedelta(minutes=5))
            and self._at(command.station_id, holding)
        ]
        return Use(len(made) + len(asked), sum((charge.energy_wh for charge in made), 0.0))

    def _at(self, station_id: str, holding: Holding) -> bool:
        if holding.kind == "station":
            return station_id == holding.name
        station = self.database.stations.get(station_id)
        return station is not None and station.site_id == holding.name

    def _charge(self, transaction: ChargingTransaction) -> Charge:
        began_at = transaction.started_at or transaction.created_at
        return Charge(
            transaction.id,
            transaction.station_id,
            transaction.transaction_id,
            transaction.evse_id,
            transaction.connector_id,
            self.drivers.driver(transaction.id_token),
            began_at if believable(began_at, transaction.created_at) else transaction.created_at,
            transaction.started_at,
            transaction.ended_at,
            transaction.meter.energy_wh,
            transaction.charging_state,
            transaction.stopped_reason,
            gap_report(transaction).complete,
            transaction.last_event_at or transaction.created_at,
            transaction.meter.power_w,
            transaction.meter.soc_percent,
        )


def _holding(tie: Tie) -> Holding:
    return tie.holding


def _id(station: Station) -> str:
    return station.station_id


def _began(charge: Charge) -> tuple[datetime, str]:
    return charge.began_at, charge.id
