"""The gateways of the fleet: as many as are wanted on every Ray node that has their labels.

Each life of a gateway has a new id, as its sockets are gone with the old one, and stays on its node. On a draining node
they close their sockets at a pace at which the others can take them, and are ended; if there are others.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import ray
from ray.actor import ActorHandle

from actors.errors import Unavailable
from cluster.fleet.named import NamedActors, alive, in_time
from cluster.fleet.nodes import Node, missing, only_on, places
from cluster.gateway.server import GatewayActor
from cluster.keys import Keys
from cluster.refs import make_directory
from cluster.store.gateways import PostgresGateways
from configs.settings import Settings

log = logging.getLogger(__name__)

_START_WITHIN_S = 60.0


@dataclass
class _Running:
    handle: ActorHandle
    node_id: str
    generation: int
    draining: bool = False


class Gateways:
    """Starts gateways, replaces those that die, moves them off draining nodes, and stops all of them."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        actors: NamedActors,
        store: PostgresGateways,
        tell_hosts_it_is_gone: Callable[[str], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._actors = actors
        self._store = store
        self._tell_hosts_it_is_gone = tell_hosts_it_is_gone
        self._running: dict[str, _Running] = {}
        self._untold: set[str] = set()
        self._generation = 0

    @property
    def ids(self) -> list[str]:
        """The gateways that run now."""
        return list(self._running)

    async def start(self, nodes: Sequence[Node]) -> None:
        """Start every gateway and wait until it listens. Raises Unavailable when no node has their labels."""
        labels = self._settings.gateway.node_labels
        where = places(nodes, labels)
        if not where:
            raise Unavailable(f"gateway.node_labels: no node of the Ray cluster has {labels}")
        self._generation = await self._store.generation()
        await self._store.forget_all(datetime.now(UTC))
        await asyncio.gather(*(self._add(node_id) for node_id in self._missing(where, ())))

    async def keep(self, nodes: Sequence[Node]) -> None:
        """Bury gateways that have died, start those that are missing, and retire those that leave.

        Those on draining nodes leave, and in a rolling restart one after the other, each when another has its place.
        """
        self._generation = await self._store.generation()
        await self._bury_dead({node.node_id for node in nodes})
        where = places(nodes, self._settings.gateway.node_labels)
        moving = {i for i, gateway in self._running.items() if gateway.draining or gateway.node_id not in where}
        leaving = moving or self._next_of_restart()
        await _each(self._add(node_id) for node_id in self._missing(where, leaving))
        if self._missing(where, leaving):  # who leaves only for a restart stays until another has its place
            leaving = moving
        if self._running.keys() - leaving:  # else the stations have nowhere to go
            await _each(self._retire(gateway_id) for gateway_id in leaving)
        for gateway_id in list(self._untold):
            await self._tell_hosts_it_is_gone(gateway_id)
            self._untold.discard(gateway_id)

    def _next_of_restart(self) -> set[str]:
        """Return the one gateway that a rolling restart comes to next, if any."""
        old = [gateway_id for gateway_id, gateway in self._running.items() if gateway.generation < self._generation]
        return set(old[:1])

    def _missing(self, where: Collection[str], leaving: Collection[str]) -> list[str]:
        """Return a node for each gateway that is missing beside those that leave."""
        staying = [gateway.node_id for gateway_id, gateway in self._running.items() if gateway_id not in leaving]
        return missing(where, staying, self._settings.gateway.count)

    async def _add(self, node_id: str) -> None:
        gateway_id = f"gateway-{uuid.uuid4().hex[:12]}"
        handle = self._actors.make(
            GatewayActor,
            gateway_id,
            gateway_id,
            node_id,
            self._settings.gateway.model_dump(mode="json"),
            self._keys.password,
            make_directory(self._settings),
            partial(ray.get_actor, namespace=self._settings.ray.namespace),
            self._settings.log.model_dump(mode="json"),
            max_restarts=0,
            placement=only_on(node_id),
        )
        generation = self._generation
        self._running[gateway_id] = _Running(handle, node_id, generation)
        try:
            host, port = await asyncio.wait_for(handle.start.remote(), _START_WITHIN_S)
            await self._store.started(gateway_id, node=node_id, address=f"{host}:{port}", generation=generation)
        except BaseException:
            del self._running[gateway_id]
            await self._actors.kill(handle)
            raise

    async def _bury_dead(self, live_nodes: set[str]) -> None:
        looked_at = dict(self._running)
        answers = await asyncio.gather(*(alive(gateway.handle) for gateway in looked_at.values()))
        for (gateway_id, gateway), answered in zip(looked_at.items(), answers, strict=True):
            if answered and gateway.node_id in live_nodes:
                continue
            log.warning("gateway died", extra={"gateway_id": gateway_id, "node": gateway.node_id})
            await self._gone(gateway_id)
            await self._actors.kill(gateway.handle)  # it may be cut off and not dead

    async def _retire(self, gateway_id: str) -> None:
        """Let a gateway take no more stations and send away those it has; end it when it has none."""
        gateway = self._running[gateway_id]
        if not gateway.draining:
            await in_time(gateway.handle.drain.remote())
            gateway.draining = True
            log.warning("gateway drains", extra={"gateway_id": gateway_id, "node": gateway.node_id})
            return
        stats = await in_time(gateway.handle.stats.remote())
        if not stats["connected"] + stats["handshaking"]:
            await self._actors.end(gateway_id, gateway.handle)
            await self._gone(gateway_id)

    async def _gone(self, gateway_id: str) -> None:
        """Mark what it held as disconnected; the hosts are told, and told again, until all have heard it."""
        await self._store.gone(gateway_id, datetime.now(UTC))
        self._running.pop(gateway_id, None)
        self._untold.add(gateway_id)

    async def stop(self) -> None:
        """Stop every gateway."""
        while self._running:
            gateway_id, gateway = self._running.popitem()
            await self._actors.end(gateway_id, gateway.handle)


async def _each(steps: Iterable[Awaitable[None]]) -> None:
    """Take all steps at once; one that fails does not stop the others, and is taken again with the next look."""
    for failed in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(failed, BaseException):
            log.warning("gateways not as wanted yet", extra={"reason": repr(failed)})
