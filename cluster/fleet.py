"""The fleet: which Ray actors run, where, and that they keep running.

`packed` placement: few ChargerHost processes hold many chargers each. The only file that makes Ray actors of our
classes.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from functools import partial

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.errors import Unavailable
from cluster.gateway.server import GatewayActor
from cluster.host_actor import HostActor
from cluster.keys import Keys
from cluster.partitions import split
from cluster.refs import host_ids, make_directory
from cluster.store.fleet import PostgresFleet
from configs.settings import Settings

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 60.0
_WATCH_EVERY_S = 1.0


class Fleet:
    """Starts hosts and gateways, replaces gateways that die, and stops all of them.

    Hosts are restarted by Ray under their own name, each time with a new epoch. A gateway gets a new id with each life,
    because its sockets are gone with the old one.
    """

    def __init__(self, settings: Settings, keys: Keys, store: PostgresFleet) -> None:
        self._settings = settings
        self._keys = keys
        self._store = store
        self._hosts: dict[str, ActorHandle] = {}
        self._gateways: dict[str, ActorHandle] = {}
        self._watcher: asyncio.Task[None] | None = None

    @property
    def gateway_ids(self) -> list[str]:
        """The gateways that run now."""
        return list(self._gateways)

    async def start_hosts(self) -> None:
        """Start every host and wait until it owns its partitions."""
        shares = split(self._settings.hosts.partitions, self._settings.hosts.count)
        for host_id, partitions in zip(host_ids(self._settings), shares, strict=True):
            self._hosts[host_id] = self._actor(HostActor, host_id, max_restarts=-1).remote(
                host_id, self._settings.model_dump(mode="json"), partitions
            )
        starting = asyncio.gather(*(handle.start.remote() for handle in self._hosts.values()))
        await asyncio.wait_for(starting, _START_TIMEOUT_S)

    async def start_gateways(self) -> None:
        """Start every gateway and wait until it listens; from now on dead ones are replaced."""
        await self._store.forget_all_gateways(datetime.now(UTC))
        await asyncio.gather(*(self._start_gateway() for _ in range(self._settings.gateway.count)))
        self._watcher = asyncio.create_task(self._watch())

    async def _start_gateway(self) -> None:
        gateway_id = f"gateway-{uuid.uuid4().hex[:12]}"
        handle = self._actor(GatewayActor, gateway_id, max_restarts=0).remote(
            gateway_id,
            self._settings.gateway.model_dump(mode="json"),
            self._keys.password,
            make_directory(self._settings),
            partial(ray.get_actor, namespace=self._settings.ray.namespace),
            self._settings.log.model_dump(mode="json"),
        )
        host, port = await asyncio.wait_for(handle.start.remote(), _START_TIMEOUT_S)
        await self._store.gateway_started(gateway_id, node="", address=f"{host}:{port}")
        self._gateways[gateway_id] = handle

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                for gateway_id in [i for i, handle in self._gateways.items() if not await _alive(handle)]:
                    await self._bury(gateway_id)
                while len(self._gateways) < self._settings.gateway.count:
                    await self._start_gateway()
            except (Unavailable, RayError, TimeoutError) as error:
                log.warning("gateway not replaced yet", extra={"reason": str(error)})

    async def _bury(self, gateway_id: str) -> None:
        """Tell database and hosts that a gateway's sockets are gone; repeated until all have heard it."""
        log.warning("gateway died", extra={"gateway_id": gateway_id})
        await self._store.gateway_gone(gateway_id, datetime.now(UTC))
        for handle in self._hosts.values():
            await handle.gateway_gone.remote(gateway_id)
        self._gateways.pop(gateway_id, None)

    async def stop(self) -> None:
        """Close gateways first, so that no frame comes any more, then hosts."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self._end(self._gateways)
        await self._end(self._hosts)

    async def _end(self, actors: dict[str, ActorHandle]) -> None:
        for name, handle in actors.items():
            try:
                await asyncio.wait_for(handle.stop.remote(), 5.0)
            except (RayError, TimeoutError) as error:
                log.info("actor did not stop by itself", extra={"actor": name, "reason": type(error).__name__})
            ray.kill(handle)
        actors.clear()

    def _actor(self, actor_class: type, name: str, max_restarts: int) -> ActorHandle:
        return ray.remote(actor_class).options(
            name=name,
            namespace=self._settings.ray.namespace,
            lifetime="detached",
            num_cpus=0,
            max_restarts=max_restarts,
            max_task_retries=0,
            max_concurrency=100_000,
            enable_task_events=False,
        )


async def _alive(gateway: ActorHandle) -> bool:
    try:
        await asyncio.wait_for(gateway.stats.remote(), 10.0)
    except RayError:
        return False
    except TimeoutError:
        return True  # Slow is not dead.
    return True
