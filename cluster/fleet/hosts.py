"""The hosts of the fleet: as many as are wanted that hold many chargers each, and one for each dedicated station.

Ray restarts a host under its own name, each time with a new epoch; what it held is taken by the others meanwhile.
A host on a draining Ray node first gets a successor, under another name and on another node, and then hands over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from ray.actor import ActorHandle

from actors.errors import Unavailable
from cluster.fleet.named import NamedActors, in_time
from cluster.fleet.nodes import Node, emptiest, places, rather_on
from cluster.host_actor import HostActor
from cluster.refs import host_ids
from cluster.store.fleet import PostgresFleet
from cluster.store.placements import PostgresPlacements
from cluster.store.views import Member
from configs.settings import Settings

_START_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05
_DEDICATED: Final = "charger-"
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

    async def start(self, nodes: Sequence[Node]) -> None:
        """Start the packed hosts and wait until all partitions have an owner; dedicated ones come later.

        Raises Unavailable, TimeoutError.
        """
        await self._store.prepare(self._settings.hosts.partitions)
        of_an_earlier_run = [member.host_id for member in await self._store.members()]
        await self._store.bury(of_an_earlier_run, only_expired=False)
        await self._add(dict.fromkeys(host_ids(await self._store.hosts_wanted())), nodes)
        async with asyncio.timeout(_START_WITHIN_S):
            while (await self._store.partition_map()).free:  # noqa: ASYNC110 - the facts are in the database
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _add(self, wanted: Mapping[str, int | None], nodes: Sequence[Node]) -> None:
        """Start hosts, each with the partition it is dedicated to or None, where the fewest are.

        None of them stays when one does not come up.
        """
        where = places(nodes, self._settings.hosts.node_labels)
        if not where:
            raise Unavailable(f"hosts.node_labels: no node of the Ray cluster has {self._settings.hosts.node_labels}")
        there = (await self._nodes_of(self._running)).values()
        settings = self._settings.model_dump(mode="json")
        generation = (await self._store.restarting()).generation
        added: dict[str, ActorHandle] = {}
        try:
            for (name, own_partition), node_id in zip(wanted.items(), emptiest(where, there, len(wanted)), strict=True):
                placement = rather_on(node_id, self._settings.hosts.node_labels)
                arguments = (name, settings, own_partition, generation)
                added[name] = self._actors.make(HostActor, name, *arguments, max_restarts=-1, placement=placement)
            # All join before any serves, so that the first does not take what is the others' share.
            for begin in ("start", "serve"):
                calls = [getattr(handle, begin).remote() for handle in added.values()]
                await asyncio.wait_for(asyncio.gather(*calls), _START_WITHIN_S)
        except BaseException:
            for handle in added.values():
                await self._actors.kill(handle)
            raise
        self._running |= added

    async def keep(self, nodes: Sequence[Node]) -> None:
        """Add hosts that are wanted; drain those that are not or must move; end those that hold nothing.

        Who moves, off a draining node or in a rolling restart, first gets a successor.
        """
        members = {member.host_id: member for member in await self._store.members()}
        await self._bring_back([name for name in self._running if name not in members])
        draining = {name for name, member in members.items() if member.draining}
        moving = await self._to_be_moved(nodes) or await self._next_of_restart(members)
        staying = sorted((name for name in self._running if name not in draining | moving), key=_order)
        packed = [name for name in staying if not name.startswith(_DEDICATED)]
        count = await self._store.hosts_wanted()
        own = await self._placements.own_partitions()
        dedicated = {f"{_DEDICATED}{station_id}": partition for station_id, partition in own.items()}
        wanted: dict[str, int | None] = dict.fromkeys(host_ids(max(0, count - len(packed)), taken=self._running))
        wanted |= {name: partition for name, partition in dedicated.items() if name not in self._running}
        if wanted:
            await self._add(dict(islice(wanted.items(), _ADDED_AT_ONCE)), nodes)
        surplus = set(staying).difference(packed[:count], dedicated)
        for name in (surplus | moving) - draining:
            await self._store.drain(name)
        leaving = draining.intersection(self._running)
        if leaving:
            holding = set((await self._store.partition_map()).owners.values())
            for name in leaving - holding:
                await self._actors.end(name, self._running.pop(name))

    async def _bring_back(self, names: Iterable[str]) -> None:
        """Let hosts serve that Ray has restarted, as it restarts no work; forget those that it has given up."""
        for name in names:
            if (await self._actors.standing(self._running[name])).dead:
                del self._running[name]
            else:
                self._running[name].serve.remote()

    async def _to_be_moved(self, nodes: Sequence[Node]) -> set[str]:
        """Return the hosts on draining nodes, if there is another node for them."""
        draining = {node.node_id for node in nodes if node.draining}
        if not draining or not places(nodes, self._settings.hosts.node_labels):
            return set()
        return {name for name, node_id in (await self._nodes_of(self._running)).items() if node_id in draining}

    async def _next_of_restart(self, members: Mapping[str, Member]) -> set[str]:
        """Return the one host that a rolling restart comes to next, if none is on its way out."""
        if any(member.draining for member in members.values()):
            return set()
        generation = (await self._store.restarting()).generation
        old = [name for name, member in members.items() if name in self._running and member.generation < generation]
        return set(sorted(old, key=_order)[:1])

    async def _nodes_of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the node of each host that runs somewhere."""
        asked = list(names)
        found = await asyncio.gather(*(self._actors.standing(self._running[name]) for name in asked))
        return {name: at.node_id for name, at in zip(asked, found, strict=True) if at.node_id is not None}

    async def gateway_gone(self, gateway_id: str) -> None:
        """Tell every host that a gateway's sockets are gone. Raises RayError, TimeoutError when one cannot be told now.

        Who has no lease needs no word: before it serves again it reads from the database that they are gone.
        """
        serving = {member.host_id for member in await self._store.members()}
        told = [handle for name, handle in self._running.items() if name in serving]
        await asyncio.gather(*(in_time(handle.gateway_gone.remote(gateway_id)) for handle in told))

    async def stop(self) -> None:
        """Stop every host."""
        while self._running:
            await self._actors.end(*self._running.popitem())


def _order(name: str) -> tuple[int, str]:
    return len(name), name  # host-2 before host-10
