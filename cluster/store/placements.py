"""Who gets a host of its own (`dedicated` placement): rules by station and by site, and the partitions they lead to.

A station that gets a partition of its own keeps it; when no host is dedicated to it any more, the others share it like
any partition. The new partition begins with the owner of the one that the station was in: who serves the station by an
older map is then the one who owns it by the newer, so it never has two.
Must not know: Ray, how partitions are dealt out.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Select, delete, func, literal, select, union
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import Conflict, NotFound
from cluster.partitions import PartitionMap
from cluster.store.engine import reachable
from cluster.store.fleet import OWN, changing
from cluster.store.tables.chargers import stations
from cluster.store.tables.fleet import partitions, placements
from cluster.store.views import Placement, PlacementKind

_BY_STATION: Final = select(placements.c.name.label("station_id")).where(placements.c.kind == "station")
_BY_SITE: Final = select(stations.c.station_id).join(
    placements, (placements.c.kind == "site") & (placements.c.name == stations.c.site_id)
)
_ORDINARY: Final = select(func.count()).select_from(partitions).where(partitions.c.station_id.is_(None))


class PostgresPlacements:
    """The rules; every method is one short transaction and raises Unavailable without a database.

    `everyone` dedicates a host to each station without any rule; `most` is how many stations may have one.
    """

    def __init__(self, engine: AsyncEngine, everyone: bool, most: int) -> None:
        self._engine = engine
        self._everyone = everyone
        self._most = most

    async def rules(self) -> list[Placement]:
        """Return all rules, by kind and name."""
        query = select(placements.c.kind, placements.c.name).order_by(placements.c.kind, placements.c.name)
        async with reachable(), self._engine.connect() as connection:
            return [Placement(*row) for row in await connection.execute(query)]

    async def dedicate(self, kind: PlacementKind, name: str) -> None:
        """Give a station, or every station of a site, a host of its own.

        Raises NotFound for an unknown station, and Conflict when more stations would have one than may.
        """
        async with reachable(), self._engine.begin() as connection:
            if kind == "station":
                known = select(stations.c.station_id).where(stations.c.station_id == name)
                if await connection.scalar(known) is None:
                    raise NotFound(f"there is no station {name}")
            await connection.execute(insert(placements).values(kind=kind, name=name).on_conflict_do_nothing())
            count = int(await connection.scalar(select(func.count()).select_from(self._wanted().subquery())) or 0)
            if count > self._most:
                raise Conflict(
                    f"{count} stations would have a host process of their own, and hosts.max_dedicated is {self._most}"
                )

    async def pack(self, kind: PlacementKind, name: str) -> None:
        """Take a rule back: its stations share hosts again. Raises NotFound."""
        rule = delete(placements).where(placements.c.kind == kind, placements.c.name == name)
        async with reachable(), self._engine.begin() as connection:
            if (await connection.execute(rule)).rowcount == 0:
                raise NotFound(f"no host is dedicated to {kind} {name}")

    async def own_partitions(self) -> dict[str, int]:
        """Return who should have a host of its own and the partition of each; makes those that are missing."""
        wanted = self._wanted().subquery()
        query = select(wanted.c.station_id, partitions.c.partition)
        query = query.join(partitions, partitions.c.station_id == wanted.c.station_id, isouter=True)
        query = query.order_by(wanted.c.station_id).limit(self._most)
        async with reachable(), self._engine.connect() as connection:
            found = dict((await connection.execute(query)).all())
        missing = [station_id for station_id, partition in found.items() if partition is None]
        if missing:
            async with changing(self._engine) as connection:
                ordinary = int(await connection.scalar(_ORDINARY) or 0)
                made_meanwhile = dict((await connection.execute(OWN)).all())
                for station_id in missing:
                    until_now = PartitionMap(ordinary).of(station_id)
                    found[station_id] = made_meanwhile.get(station_id) or await _make(connection, station_id, until_now)
        return found

    def _wanted(self) -> Select[tuple[str]]:
        if self._everyone:
            return select(stations.c.station_id)
        return select(union(_BY_STATION, _BY_SITE).subquery().c.station_id)


async def _make(connection: AsyncConnection, station_id: str, until_now: int) -> int:
    last = select(func.max(partitions.c.partition)).scalar_subquery()
    new = select(last + 1, partitions.c.owner, literal(station_id)).where(partitions.c.partition == until_now)
    row = insert(partitions).from_select(["partition", "owner", "station_id"], new)
    return int((await connection.execute(row.returning(partitions.c.partition))).scalar_one())
