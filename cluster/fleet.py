"""The fleet: which Ray actors run, where, and that they keep running.

`packed` placement: few ChargerHost processes hold many chargers each. The only file that makes Ray actors of our
classes.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.errors import Unavailable
from cluster.gateway.server import GatewayActor
from cluster.host_actor import HostActor
from cluster.keys import Keys
from cluster.refs import host_ids, make_directory
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from configs.settings import Settings

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 60.0
_WATCH_EVERY_S = 1.0
_LOOK_EVERY_S = 0.05


class Fleet:
    """Starts hosts and gateways, keeps as many of them as are wanted, and stops all of them.

    Hosts are restarted by Ray under their own name, each time with a new epoch; what they held is taken by the others
    meanwhile. A gateway gets a new id with each life, because its sockets are gone with the old one.
    """

    def __init__(self, settings: Settings, keys: Keys, hosts: PostgresFleet, gateways: PostgresGateways) -> None:
        self._settings = settings
        self._keys = keys
        self._host_store = hosts
        self._gateway_store = gateways
        self._hosts: dict[str, ActorHandle] = {}
        self._gateways: dict[str, ActorHandle] = {}
        self._watcher: asyncio.Task[None] | None = None

    @property
    def host_ids(self) -> list[str]:
        """The hosts that run now."""
        return list(self._hosts)

    @property
    def gateway_ids(self) -> list[str]:
        """The gateways that run now."""
        return list(self._gateways)

    async def start_hosts(self) -> None:
        """Start every host and wait until all partitions have an owner."""
        partitions = self._settings.hosts.partitions
        await self._host_store.prepare(partitions)
        of_an_earlier_run = [member.host_id for member in await self._host_store.members()]
        await asyncio.to_thread(self._kill, of_an_earlier_run)
        await self._host_store.bury(of_an_earlier_run, only_expired=False)
        await self._add_hosts(host_ids(await self._host_store.hosts_wanted()))
        async with asyncio.timeout(_START_TIMEOUT_S):
            while len(await self._host_store.owners()) < partitions:  # noqa: ASYNC110 - the facts are in the database
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _add_hosts(self, names: Sequence[str]) -> None:
        settings = self._settings.model_dump(mode="json")
        for name in names:
            self._hosts[name] = self._actor(HostActor, name, max_restarts=-1).remote(name, settings)
        added = [self._hosts[name] for name in names]
        # All join before any serves, so that the first does not take what is the others' share.
        await asyncio.wait_for(asyncio.gather(*(handle.start.remote() for handle in added)), _START_TIMEOUT_S)
        await asyncio.wait_for(asyncio.gather(*(handle.serve.remote() for handle in added)), _START_TIMEOUT_S)

    async def start_gateways(self) -> None:
        """Start every gateway and wait until it listens; from now on the fleet is kept as it is wanted."""
        await asyncio.to_thread(self._kill, await self._gateway_store.ids())  # of an earlier run
        await self._gateway_store.forget_all(datetime.now(UTC))
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
        await self._gateway_store.started(gateway_id, node="", address=f"{host}:{port}")
        self._gateways[gateway_id] = handle

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                await self._keep_gateways()
                await self._keep_hosts()
            except (Unavailable, RayError, TimeoutError) as error:
                log.warning("fleet not as wanted yet", extra={"reason": str(error)})
            except Exception:  # whatever it is, the fleet must go on being looked after
                log.exception("fleet not as wanted yet")

    async def _keep_gateways(self) -> None:
        for gateway_id in [i for i, handle in self._gateways.items() if not await _alive(handle)]:
            await self._bury(gateway_id)
        while len(self._gateways) < self._settings.gateway.count:
            await self._start_gateway()

    async def _keep_hosts(self) -> None:
        """Add hosts that are wanted; drain the others, and end those that hold nothing any more."""
        wanted = host_ids(await self._host_store.hosts_wanted())
        missing = [name for name in wanted if name not in self._hosts]
        if missing:
            await self._add_hosts(missing)
        members = {member.host_id: member for member in await self._host_store.members()}
        for name, handle in self._hosts.items():
            if name not in members:
                handle.serve.remote()  # Ray has restarted it, and restarts no work
        surplus = [name for name in self._hosts if name not in wanted]
        if not surplus:
            return
        draining = {name for name, member in members.items() if member.draining}
        holding = set((await self._host_store.owners()).values())
        for name in surplus:
            if name not in draining:
                await self._host_store.drain(name)
            elif name not in holding:
                await self._end({name: self._hosts.pop(name)})

    async def _bury(self, gateway_id: str) -> None:
        """Tell database and hosts that a gateway's sockets are gone; repeated until all have heard it."""
        log.warning("gateway died", extra={"gateway_id": gateway_id})
        await self._gateway_store.gone(gateway_id, datetime.now(UTC))
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

    def _kill(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                ray.kill(ray.get_actor(name, namespace=self._settings.ray.namespace))
            except ValueError:
                continue

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
