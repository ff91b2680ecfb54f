"""The gateways of the fleet: as many as are wanted. Each life has a new id, as sockets are gone with the old one."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import ray
from ray.actor import ActorHandle

from cluster.fleet.named import NamedActors, alive
from cluster.gateway.server import GatewayActor
from cluster.keys import Keys
from cluster.refs import make_directory
from cluster.store.gateways import PostgresGateways
from configs.settings import Settings

log = logging.getLogger(__name__)

_START_WITHIN_S = 60.0


class Gateways:
    """Starts gateways, replaces those that die, and stops all of them."""

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
        self._running: dict[str, ActorHandle] = {}

    @property
    def ids(self) -> list[str]:
        """The gateways that run now."""
        return list(self._running)

    async def start(self) -> None:
        """Start every gateway and wait until it listens."""
        await self._actors.kill(await self._store.ids())  # of an earlier run
        await self._store.forget_all(datetime.now(UTC))
        await asyncio.gather(*(self._add() for _ in range(self._settings.gateway.count)))

    async def _add(self) -> None:
        gateway_id = f"gateway-{uuid.uuid4().hex[:12]}"
        handle = self._actors.make(
            GatewayActor,
            gateway_id,
            gateway_id,
            self._settings.gateway.model_dump(mode="json"),
            self._keys.password,
            make_directory(self._settings),
            partial(ray.get_actor, namespace=self._settings.ray.namespace),
            self._settings.log.model_dump(mode="json"),
            max_restarts=0,
        )
        host, port = await asyncio.wait_for(handle.start.remote(), _START_WITHIN_S)
        await self._store.started(gateway_id, node="", address=f"{host}:{port}")
        self._running[gateway_id] = handle

    async def keep(self) -> None:
        """Bury gateways that have died, and start others in their place."""
        for gateway_id in [i for i, handle in self._running.items() if not await alive(handle)]:
            await self._bury(gateway_id)
        while len(self._running) < self._settings.gateway.count:
            await self._add()

    async def _bury(self, gateway_id: str) -> None:
        """Tell database and hosts that a gateway's sockets are gone; repeated until all have heard it."""
        log.warning("gateway died", extra={"gateway_id": gateway_id})
        await self._store.gone(gateway_id, datetime.now(UTC))
        await self._tell_hosts_it_is_gone(gateway_id)
        self._running.pop(gateway_id, None)

    async def stop(self) -> None:
        """Stop every gateway."""
        while self._running:
            await self._actors.end(*self._running.popitem())
