"""One host's place in the fleet: holds its lease, takes and gives partitions, buries hosts that are gone.

There is no coordinator: all hosts look at the same tables and come to the same shares (balance.py). Every host watches
the one after it in the order of names, so that a death is seen within a beat instead of a lease.
Hard state: the lease and the owners, in the database. Must not know: Ray, SQL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from actors.errors import Fenced, Unavailable
from cluster.balance import moves
from cluster.partitions import PartitionMap
from cluster.store.views import Claimed, FleetState, Member

log = logging.getLogger(__name__)


class FleetStore(Protocol):
    """Who may write what, in the database. All raise Unavailable."""

    async def renew(self, host_id: str, epoch: int, lease_s: float) -> FleetState:
        """Hold the lease and return the fleet as it is. Raises Fenced."""

    async def bury(self, host_ids: Sequence[str], *, only_expired: bool) -> list[str]:
        """Fence hosts off and free all they own; return who was."""

    async def partition_map(self) -> PartitionMap:
        """Return all partitions and their owners."""

    async def claim(self, host_id: str, epoch: int, wanted: Sequence[int]) -> Claimed:
        """Take partitions that nobody owns; return those that this host has got. Raises Fenced."""

    async def release(self, host_id: str, epoch: int, given: Sequence[int]) -> None:
        """Give up partitions whose turns are all committed. Raises Fenced."""


class Peers(Protocol):
    """The other hosts, as processes."""

    async def dead(self, host_id: str) -> bool:
        """Tell whether a host's process is known to be gone; False when it is only silent."""

    async def wake(self, host_ids: Sequence[str]) -> None:
        """Ask hosts to look at the fleet now; best effort."""


class Holder(Protocol):
    """The chargers of this host, by partition."""

    @property
    def owned(self) -> Collection[int]:
        """The partitions that are served."""

    def hold(self, partitions: Collection[int], own: Mapping[str, int]) -> None:
        """Serve exactly these partitions from now on; `own` are the stations that have one of their own."""

    async def give_up(self, partitions: Collection[int]) -> None:
        """Serve these no more; returns once all their turns are committed and their chargers forgotten."""


class Membership:
    """The life of one host in the fleet, from `join` until it is fenced off or leaves."""

    def __init__(
        self, host_id: str, epoch: int, store: FleetStore, peers: Peers, holder: Holder, lease_s: float
    ) -> None:
        self.host_id = host_id
        self.epoch = epoch
        self._store = store
        self._peers = peers
        self._holder = holder
        self._lease_s = lease_s
        self._version = -1
        self._steady_since: float | None = None
        self._woken = asyncio.Event()
        self._beating = asyncio.Lock()

    @property
    def beat_s(self) -> float:
        """Seconds between two renewals: a lease outlives four lost ones."""
        return self._lease_s / 5

    async def run(self) -> None:
        """Beat until fenced off, which is how this ends: with Fenced."""
        while True:
            try:
                await self.beat()
            except Fenced:
                raise
            except Unavailable as error:
                self._steady_since = None
                log.warning("lease not renewed", extra={"host_id": self.host_id, "reason": str(error)})
            self._woken.clear()
            try:
                await asyncio.wait_for(self._woken.wait(), self.beat_s)
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Beat now instead of later."""
        self._woken.set()

    async def beat(self, suspects: Collection[str] = ()) -> None:
        """Renew the lease, bury the dead, and move one step towards a fair share. Raises Fenced, Unavailable.

        `suspects` are hosts that somebody could not reach: they are looked at as well.
        """
        async with self._beating:
            state = await self._store.renew(self.host_id, self.epoch, self._lease_s)
            buried = await self._bury(state.members, suspects)
            if buried or state.version != self._version:
                await self._rebalance(state, buried)

    async def _bury(self, members: Sequence[Member], suspects: Collection[str]) -> list[str]:
        """Fence off hosts whose lease has run out; suspects and the next in the ring if their process is gone."""
        now = asyncio.get_running_loop().time()
        if self._steady_since is None:
            self._steady_since = now
        buried: list[str] = []
        expired = [member.host_id for member in members if member.expired]
        # After an outage of the database all leases have run out: whoever is alive gets the time to renew first.
        if expired and now - self._steady_since >= self._lease_s:
            buried += await self._store.bury(expired, only_expired=True)
        holding = [member.host_id for member in members if not member.expired]
        for host_id in {_next(self.host_id, holding), *suspects}.intersection(holding) - {self.host_id}:
            if await self._peers.dead(host_id):
                buried += await self._store.bury([host_id], only_expired=False)
        for host_id in buried:
            log.warning("host buried", extra={"host_id": host_id, "by": self.host_id})
        return buried

    async def _rebalance(self, state: FleetState, buried: Sequence[str]) -> None:
        working = {m.host_id: m.own_partition for m in state.members if not m.draining and m.host_id not in buried}
        seen = await self._store.partition_map()
        own, mine = seen.own, {partition for partition, owner in seen.owners.items() if owner == self.host_id}
        # Before anything is given up: which stations go with a partition depends on who has one of its own.
        self._hold(mine, own)
        claim, release = moves(self.host_id, working, seen.owners, range(seen.total))
        if release:
            await self._holder.give_up(release)
            await self._store.release(self.host_id, self.epoch, release)
            log.info("partitions given up", extra={"host_id": self.host_id, "count": len(release)})
        mine.difference_update(release)
        if claim:
            got, own = await self._store.claim(self.host_id, self.epoch, claim)
            mine.update(got)
        self._hold(mine, own)
        # What changes from here on, by ourselves too, is another version and looked at in the next beat.
        self._version = state.version
        if release or buried:
            await self._peers.wake([host_id for host_id in working if host_id != self.host_id])

    def _hold(self, partitions: Collection[int], own: Mapping[str, int]) -> None:
        if partitions != self._holder.owned:
            log.info("partitions held", extra={"host_id": self.host_id, "count": len(partitions)})
        self._holder.hold(partitions, own)


def _next(me: str, host_ids: Sequence[str]) -> str:
    """Return the host after `me` in the order of names, the first after the last; `me` without another."""
    ordered = sorted({me, *host_ids})
    return ordered[(ordered.index(me) + 1) % len(ordered)]
