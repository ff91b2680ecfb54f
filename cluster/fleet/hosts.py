"""The hosts of the fleet: as many as are wanted that hold many chargers each, and one for each dedicated station.

Ray restarts a host under its own name, each time with a new epoch; what it held is taken by the others meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Final

from ray.actor import ActorHandle

from cluster.fleet.named import NamedActors
from cluster.host_actor import HostActor
from cluster.refs import host_ids
from cluster.store.fleet import PostgresFleet
from cluster.store.placements import PostgresPlacements
from configs.settings import Settings

_START_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05
_ADDED_AT_ONCE: Final = 8
"""Python takes seconds of CPU to start a host; who charges needs the processors as well."""


class Hosts:
    """Starts hosts, keeps those that are wanted, and stops all of them."""

    def __init__(
        self, settings: Settings, actors: NamedActors, store: PostgresFleet, placements: PostgresPlacements
    ) -> None:
        self._settings = settings
        self._actors = actors
        self._store = store
        self._placements = placements
        self._running: dict[str, ActorHandle] = {}

    @property
    def ids(self) -> list[str]:
        """The hosts that run now."""
        return list(self._running)

    async def start(self) -> None:
        """Start the packed hosts and wait until all partitions have an owner; dedicated ones come later."""
        await self._store.prepare(self._settings.hosts.partitions)
        of_an_earlier_run = [member.host_id for member in await self._store.members()]
        await self._actors.kill(of_an_earlier_run)
        await self._store.bury(of_an_earlier_run, only_expired=False)
        await self._add(dict.fromkeys(host_ids(await self._store.hosts_wanted())))
        async with asyncio.timeout(_START_WITHIN_S):
            while (await self._store.partition_map()).free:  # noqa: ASYNC110 - the facts are in the database
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _add(self, wanted: Mapping[str, int | None]) -> None:
        """Start hosts, each with the partition it is dedicated to, or None."""
        settings = self._settings.model_dump(mode="json")
        for name, own_partition in wanted.items():
            self._running[name] = self._actors.make(HostActor, name, name, settings, own_partition, max_restarts=-1)
        added = [self._running[name] for name in wanted]
        # All join before any serves, so that the first does not take what is the others' share.
        await asyncio.wait_for(asyncio.gather(*(handle.start.remote() for handle in added)), _START_WITHIN_S)
        await asyncio.wait_for(asyncio.gather(*(handle.serve.remote() for handle in added)), _START_WITHIN_S)

    async def keep(self) -> None:
        """Add hosts that are wanted; drain the others, and end those that hold nothing any more."""
        wanted: dict[str, int | None] = dict.fromkeys(host_ids(await self._store.hosts_wanted()))
        own = await self._placements.own_partitions()
        wanted |= {f"charger-{station_id}": partition for station_id, partition in own.items()}
        missing = ((name, partition) for name, partition in wanted.items() if name not in self._running)
        await self._add(dict(islice(missing, _ADDED_AT_ONCE)))
        members = {member.host_id: member for member in await self._store.members()}
        for name, handle in self._running.items():
            if name not in members:
                handle.serve.remote()  # Ray has restarted it, and restarts no work
        surplus = [name for name in self._running if name not in wanted]
        if not surplus:
            return
        draining = {name for name, member in members.items() if member.draining}
        holding = set((await self._store.partition_map()).owners.values())
        for name in surplus:
            if name not in draining:
                await self._store.drain(name)
            elif name not in holding:
                await self._actors.end(name, self._running.pop(name))

    async def gateway_gone(self, gateway_id: str) -> None:
        """Tell every host that a gateway's sockets are gone. Raises RayError when one cannot be told now."""
        for handle in self._running.values():
            await handle.gateway_gone.remote(gateway_id)

    async def stop(self) -> None:
        """Stop every host."""
        while self._running:
            await self._actors.end(*self._running.popitem())
