"""Who holds what: hosts with their epochs, partitions with their owners, gateways with their sockets.

A host may write as long as its row in `hosts` has its epoch; every commit locks that row for sharing. Whoever takes
something from a host raises the host's epoch, which waits for its commits in flight and refuses all later ones.
Must not know: Ray, how partitions are chosen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from sqlalchemy import ARRAY, ColumnElement, Integer, any_, bindparam, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cluster.store.engine import reachable
from cluster.store.tables import gateways, hosts, partitions, stations

_LOCK: Final = 0x666C656574
"""The advisory lock of changes to the fleet ("fleet"): they are rare, so one at a time."""


class PostgresFleet:
    """The fleet's tables; every method is one short transaction and raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def join(self, host_id: str) -> int:
        """Begin a new life of this host and return its epoch; its earlier life is fenced off and owns nothing."""
        row = insert(hosts).values(host_id=host_id, epoch=1)
        row = row.on_conflict_do_update(
            index_elements=[hosts.c.host_id], set_={"epoch": hosts.c.epoch + 1, "started_at": func.now()}
        )
        async with self._change() as connection:
            epoch: int = (await connection.execute(row.returning(hosts.c.epoch))).scalar_one()
            await connection.execute(update(partitions).where(partitions.c.owner == host_id).values(owner=None))
        return epoch

    async def claim(self, host_id: str, wanted: Sequence[int]) -> None:
        """Make a host that has joined the owner of partitions; any other host that owns one of them is fenced off."""
        numbers = bindparam("numbers", list(wanted), type_=ARRAY(Integer))
        robbed = select(partitions.c.owner).where(
            partitions.c.partition == any_(numbers), partitions.c.owner != host_id, partitions.c.owner.is_not(None)
        )
        rows = insert(partitions).from_select(["partition", "owner"], select(func.unnest(numbers), literal(host_id)))
        rows = rows.on_conflict_do_update(
            index_elements=[partitions.c.partition], set_={"owner": host_id, "epoch": partitions.c.epoch + 1}
        )
        async with self._change() as connection:
            await connection.execute(update(hosts).where(hosts.c.host_id.in_(robbed)).values(epoch=hosts.c.epoch + 1))
            await connection.execute(rows)

    async def partition_map(self) -> dict[int, str]:
        """Return the owner of every partition that has one."""
        query = select(partitions.c.partition, partitions.c.owner).where(partitions.c.owner.is_not(None))
        async with reachable(), self._engine.connect() as connection:
            return dict((await connection.execute(query)).all())

    async def gateway_started(self, gateway_id: str, node: str, address: str) -> None:
        """Remember a gateway that takes sockets now."""
        row = insert(gateways).values(gateway_id=gateway_id, node=node, address=address)
        row = row.on_conflict_do_update(
            index_elements=[gateways.c.gateway_id], set_={"started_at": func.now(), "node": node, "address": address}
        )
        async with self._change() as connection:
            await connection.execute(row)

    async def gateway_ids(self) -> list[str]:
        """Return the gateways that were started and are not known to be gone."""
        async with reachable(), self._engine.connect() as connection:
            return list((await connection.execute(select(gateways.c.gateway_id))).scalars())

    async def gateway_gone(self, gateway_id: str, at: datetime) -> list[str]:
        """Forget a gateway, mark its stations disconnected and return their ids; their hosts must be told as well."""
        async with self._change() as connection:
            await connection.execute(delete(gateways).where(gateways.c.gateway_id == gateway_id))
            return await _disconnect(connection, stations.c.gateway_id == gateway_id, at)

    async def forget_all_gateways(self, at: datetime) -> int:
        """Mark all stations disconnected, since a platform that starts holds no socket; return how many there were."""
        async with self._change() as connection:
            await connection.execute(delete(gateways))
            return len(await _disconnect(connection, stations.c.gateway_id.is_not(None), at))

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[AsyncConnection]:
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            yield connection


async def _disconnect(connection: AsyncConnection, which: ColumnElement[bool], at: datetime) -> list[str]:
    """Lock the rows in the order in which commits do, then change them."""
    locked = select(stations.c.station_id).where(which).order_by(stations.c.station_id).with_for_update().cte("locked")
    statement = update(stations).where(stations.c.station_id == locked.c.station_id)
    statement = statement.values(gateway_id=None, disconnected_at=at)
    return list((await connection.execute(statement.returning(stations.c.station_id))).scalars())
