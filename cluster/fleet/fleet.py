"""The fleet: hosts and gateways started, kept as they are wanted, and stopped. Only this package makes Ray actors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ray.exceptions import RayError

from actors.errors import Unavailable
from cluster.fleet.api import Api
from cluster.fleet.gateways import Gateways
from cluster.fleet.hosts import Hosts
from cluster.fleet.named import NamedActors
from cluster.fleet.nodes import RayNodes
from cluster.keys import Keys
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from cluster.store.placements import PostgresPlacements
from configs.settings import Settings

log = logging.getLogger(__name__)

_WATCH_EVERY_S = 1.0


class Fleet:
    """All hosts and gateways of one platform."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        hosts: PostgresFleet,
        placements: PostgresPlacements,
        gateways: PostgresGateways,
        deploy_api: Callable[[int], None],
    ) -> None:
        self._actors = NamedActors(settings.ray.namespace)
        self._nodes = RayNodes()
        self.hosts = Hosts(settings, self._actors, hosts, placements)
        self.gateways = Gateways(settings, keys, self._actors, gateways, self.hosts.gateway_gone)
        self.api = Api(hosts, deploy_api)
        self._watchers: list[asyncio.Task[None]] = []

    async def start_hosts(self) -> None:
        """Start every host and wait until all partitions have an owner; what an earlier run has left is ended first."""
        await self._actors.end_leftovers()
        await self.hosts.start(await self._nodes.look())

    async def start_gateways(self) -> None:
        """Start every gateway and wait until it listens."""
        await self.gateways.start(await self._nodes.look())

    def watch(self) -> None:
        """Keep the fleet as it is wanted from now on; hosts that are slow to start do not hold up gateways."""
        kinds = (self._keep_gateways, self._keep_hosts, self.api.keep)
        self._watchers = [asyncio.create_task(self._watch(keep)) for keep in kinds]

    async def _keep_gateways(self) -> None:
        await self.gateways.keep(await self._nodes.look())

    async def _keep_hosts(self) -> None:
        await self.hosts.keep(await self._nodes.look())

    async def _watch(self, keep: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                await keep()
            except (Unavailable, RayError, TimeoutError) as error:
                log.warning("fleet not as wanted yet", extra={"reason": repr(error)})
            except Exception:  # whatever it is, the fleet must go on being looked after
                log.exception("fleet not as wanted yet")

    async def stop(self) -> None:
        """Close gateways first, so that no frame comes any more, then hosts."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await self.gateways.stop()
        await self.hosts.stop()
