"""Who may write what: hosts with their leases and epochs, and the partitions they own.

A host may write as long as its row in `hosts` has its epoch; every commit locks that row's key for sharing. Two ways
lead to another owner. The owner itself releases partitions, once their turns are committed. Or the host as a whole is
buried: its epoch is raised, which waits for its commits in flight and refuses all later ones, and all it owned is free.
Leases only say when to look; the epoch is what makes two writers impossible. Times are the database's.
Must not know: Ray, how partitions are dealt out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from sqlalchemy import ARRAY, Integer, any_, bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import Conflict, Fenced
from cluster.partitions import PartitionMap
from cluster.store.engine import reachable
from cluster.store.tables.fleet import fleet, gateways, hosts, partitions
from cluster.store.views import Claimed, FleetState, Member, Ownership, Restart

OWN: Final = select(partitions.c.station_id, partitions.c.partition).where(partitions.c.station_id.is_not(None))
"""The stations that have a partition of their own, and which."""

_LOCK: Final = 0x666C656574
"""The advisory lock of changes to the fleet ("fleet"): they are rare, so one at a time."""


class PostgresFleet:
    """Hosts and partitions; every method is one short transaction and raises Unavailable without a database."""

    def __init__(self, engine: AsyncEngine, configured_hosts: int = 1) -> None:
        self._engine = engine
        self._configured_hosts = configured_hosts

    async def prepare(self, count: int) -> None:
        """Make the partitions of a new database. Raises Conflict when the database has another number of them."""
        ordinary = partitions.c.station_id.is_(None)
        async with changing(self._engine) as connection:
            present = await connection.scalar(select(func.count()).select_from(partitions).where(ordinary))
            if present not in (0, count):
                raise Conflict(
                    f"hosts.partitions is {count}, but this database has {present}: they are fixed for its life"
                )
            numbers = select(func.generate_series(0, literal(count - 1, Integer)))
            await connection.execute(insert(partitions).from_select(["partition"], numbers).on_conflict_do_nothing())

    async def join(self, host_id: str, lease_s: float, own_partition: int | None = None, generation: int = 0) -> int:
        """Begin a new life of this host and return its epoch; its earlier life is fenced off and owns nothing.

        A host with an `own_partition` is dedicated to it and holds no other. `generation` is the last rolling restart
        when its process was started.
        """
        async with changing(self._engine) as connection:
            row = insert(hosts).values(host_id=host_id, epoch=0).on_conflict_do_nothing()
            await connection.execute(row)
            await _bury(connection, [host_id], only_expired=False)
            again = update(hosts).where(hosts.c.host_id == host_id)
            again = again.values(
                started_at=func.now(),
                draining=False,
                lease_until=_until(lease_s),
                own_partition=own_partition,
                generation=generation,
            )
            return int((await connection.execute(again.returning(hosts.c.epoch))).scalar_one())

    async def renew(self, host_id: str, epoch: int, lease_s: float) -> FleetState:
        """Hold the lease and return the fleet as it is. Raises Fenced when this life of the host is over."""
        mine = update(hosts).where(hosts.c.host_id == host_id, hosts.c.epoch == epoch)
        mine = mine.values(lease_until=_until(lease_s))
        async with reachable(), self._engine.begin() as connection:
            if (await connection.execute(mine.returning(hosts.c.host_id))).first() is None:
                raise Fenced(f"host {host_id} has been replaced: epoch {epoch} is over")
            version = await connection.scalar(select(fleet.c.version))
            return FleetState(int(version or 0), await _members(connection))

    async def bury(self, host_ids: Sequence[str], *, only_expired: bool) -> list[str]:
        """Fence hosts off and free all they own; return who was. With `only_expired`, those whose lease has run out."""
        async with changing(self._engine) as connection:
            return await _bury(connection, host_ids, only_expired=only_expired)

    async def claim(self, host_id: str, epoch: int, wanted: Sequence[int]) -> Claimed:
        """Take partitions that nobody owns; return those that this host has got. Raises Fenced.

        Whoever gets an ordinary partition must know which stations are in it no more, so that is returned with it.
        """
        free = update(partitions).where(partitions.c.partition == _any(wanted), partitions.c.owner.is_(None))
        free = free.values(owner=host_id, epoch=partitions.c.epoch + 1).returning(partitions.c.partition)
        async with changing(self._engine) as connection:
            await _hold_fence(connection, host_id, epoch)
            got = sorted((await connection.execute(free)).scalars())
            return Claimed(got, dict((await connection.execute(OWN)).all()))

    async def release(self, host_id: str, epoch: int, given: Sequence[int]) -> None:
        """Give up partitions whose turns are all committed. Raises Fenced."""
        mine = update(partitions).where(partitions.c.partition == _any(given), partitions.c.owner == host_id)
        async with changing(self._engine) as connection:
            await _hold_fence(connection, host_id, epoch)
            await connection.execute(mine.values(owner=None))

    async def drain(self, host_id: str) -> None:
        """Ask a host to give everything up; it stays a member."""
        async with changing(self._engine) as connection:
            await connection.execute(update(hosts).where(hosts.c.host_id == host_id).values(draining=True))

    async def partition_map(self) -> PartitionMap:
        """Return all partitions and their owners."""
        query = select(partitions.c.partition, partitions.c.station_id, partitions.c.owner)
        async with reachable(), self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        own = {station_id: partition for partition, station_id, _ in rows if station_id is not None}
        owners = {partition: owner for partition, _, owner in rows if owner is not None}
        return PartitionMap(len(rows) - len(own), own, owners)

    async def members(self) -> list[Member]:
        """Return the hosts that have a lease, expired or not."""
        async with reachable(), self._engine.connect() as connection:
            return await _members(connection)

    async def ownership(self) -> Ownership:
        """Return how many hosts are wanted, who there is, and who owns which partition."""
        return Ownership(await self.hosts_wanted(), await self.members(), await self.partition_map())

    async def hosts_wanted(self) -> int:
        """Return how many hosts an operator has asked for last, else as many as are configured."""
        async with reachable(), self._engine.connect() as connection:
            return await connection.scalar(select(fleet.c.hosts_wanted)) or self._configured_hosts

    async def restart(self, request_id: str) -> Restart:
        """Ask for a rolling restart of everything, once for one `request_id`; return how far it is."""
        another = update(fleet).where(fleet.c.restart_id.is_distinct_from(request_id))
        async with changing(self._engine) as connection:
            await connection.execute(another.values(generation=fleet.c.generation + 1, restart_id=request_id))
            return await _restart(connection)

    async def restarting(self) -> Restart:
        """Return how far the last rolling restart is."""
        async with reachable(), self._engine.connect() as connection:
            return await _restart(connection)

    async def want_hosts(self, count: int) -> None:
        """Ask for so many hosts from now on."""
        async with changing(self._engine) as connection:
            await connection.execute(update(fleet).values(hosts_wanted=count))


@asynccontextmanager
async def changing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Change hosts or partitions in one transaction, nobody else meanwhile; everyone sees that something is other."""
    async with reachable(), engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield connection
        await connection.execute(update(fleet).values(version=fleet.c.version + 1))


async def _bury(connection: AsyncConnection, host_ids: Sequence[str], *, only_expired: bool) -> list[str]:
    dead = select(hosts.c.host_id).where(hosts.c.host_id.in_(host_ids))
    if only_expired:
        dead = dead.where(hosts.c.lease_until <= func.clock_timestamp())
    # FOR UPDATE waits for the commits that share the key (an update of other columns alone would not), and looks
    # at the lease again if it was renewed meanwhile.
    found = list((await connection.execute(dead.order_by(hosts.c.host_id).with_for_update())).scalars())
    which = hosts.c.host_id.in_(found)
    await connection.execute(
        update(hosts).where(which).values(epoch=hosts.c.epoch + 1, lease_until=func.to_timestamp(0))
    )
    await connection.execute(update(partitions).where(partitions.c.owner.in_(found)).values(owner=None))
    return found


async def _restart(connection: AsyncConnection) -> Restart:
    generation = int(await connection.scalar(select(fleet.c.generation)) or 0)
    old_hosts = select(func.count()).where(hosts.c.lease_until > func.to_timestamp(0), hosts.c.generation < generation)
    old_gateways = select(func.count()).where(gateways.c.generation < generation)
    return Restart(
        generation, int(await connection.scalar(old_hosts) or 0), int(await connection.scalar(old_gateways) or 0)
    )


async def _hold_fence(connection: AsyncConnection, host_id: str, epoch: int) -> None:
    mine = select(hosts.c.host_id).where(hosts.c.host_id == host_id, hosts.c.epoch == epoch)
    if await connection.scalar(mine.with_for_update(read=True, key_share=True)) is None:
        raise Fenced(f"host {host_id} has been replaced: epoch {epoch} is over")


async def _members(connection: AsyncConnection) -> list[Member]:
    expired = (hosts.c.lease_until <= func.clock_timestamp()).label("expired")
    columns = (hosts.c.host_id, hosts.c.draining, expired, hosts.c.own_partition, hosts.c.generation)
    query = select(*columns).where(hosts.c.lease_until > func.to_timestamp(0))
    return [Member(*row) for row in await connection.execute(query.order_by(hosts.c.host_id))]


def _until(lease_s: float) -> object:
    return func.clock_timestamp() + timedelta(seconds=lease_s)


def _any(numbers: Sequence[int]) -> object:
    return any_(bindparam("numbers", list(numbers), type_=ARRAY(Integer)))
