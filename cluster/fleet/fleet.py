"""The fleet: hosts and gateways started, kept as they are wanted, and stopped. Only this package makes Ray actors."""

from __future__ import annotations

import asyncio
import logging

from ray.exceptions import RayError

from actors.errors import Unavailable
from cluster.fleet.gateways import Gateways
from cluster.fleet.hosts import Hosts
from cluster.fleet.named import NamedActors
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
    ) -> None:
        actors = NamedActors(settings.ray.namespace)
        self.hosts = Hosts(settings, actors, hosts, placements)
        self.gateways = Gateways(settings, keys, actors, gateways, self.hosts.gateway_gone)
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Keep the fleet as it is wanted from now on."""
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            for keep in (self.gateways.keep, self.hosts.keep):
                try:
                    await keep()
                except (Unavailable, RayError, TimeoutError) as error:
                    log.warning("fleet not as wanted yet", extra={"reason": str(error)})
                except Exception:  # whatever it is, the fleet must go on being looked after
                    log.exception("fleet not as wanted yet")

    async def stop(self) -> None:
        """Close gateways first, so that no frame comes any more, then hosts."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self.gateways.stop()
        await self.hosts.stop()
