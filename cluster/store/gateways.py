"""Which gateways hold sockets, and whose sockets are gone with one.

Must not know: Ray.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cluster.store.engine import reachable
from cluster.store.tables.chargers import stations
from cluster.store.tables.fleet import fleet, gateways


class PostgresGateways:
    """The gateways' table; every method is one short transaction and raises Unavailable without a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def started(self, gateway_id: str, node: str, address: str, generation: int = 0) -> None:
        """Remember a gateway that takes sockets now; `generation` is the last rolling restart by then."""
        row = insert(gateways).values(gateway_id=gateway_id, node=node, address=address, generation=generation)
        row = row.on_conflict_do_update(
            index_elements=[gateways.c.gateway_id],
            set_={"started_at": func.now(), "node": node, "address": address, "generation": generation},
        )
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(row)

    async def generation(self) -> int:
        """Return the number of the last rolling restart."""
        async with reachable(), self._engine.connect() as connection:
            return int(await connection.scalar(select(fleet.c.generation)) or 0)

    async def ids(self) -> list[str]:
        """Return the gateways that were started and are not known to be gone."""
        async with reachable(), self._engine.connect() as connection:
            return list((await connection.execute(select(gateways.c.gateway_id))).scalars())

    async def gone(self, gateway_id: str, at: datetime) -> list[str]:
        """Forget a gateway, mark its stations disconnected and return their ids; their hosts must be told as well."""
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(delete(gateways).where(gateways.c.gateway_id == gateway_id))
            return await _disconnect(connection, stations.c.gateway_id == gateway_id, at)

    async def forget_all(self, at: datetime) -> int:
        """Mark all stations disconnected, since a platform that starts holds no socket; return how many there were."""
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(delete(gateways))
            return len(await _disconnect(connection, stations.c.gateway_id.is_not(None), at))


async def _disconnect(connection: AsyncConnection, which: ColumnElement[bool], at: datetime) -> list[str]:
    """Lock the rows in the order in which commits do, then change them."""
    locked = select(stations.c.station_id).where(which).order_by(stations.c.station_id).with_for_update().cte("locked")
    statement = update(stations).where(stations.c.station_id == locked.c.station_id)
    statement = statement.values(gateway_id=None, disconnected_at=at)
    return list((await connection.execute(statement.returning(stations.c.station_id))).scalars())
