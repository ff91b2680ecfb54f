"""A ChargerHost as a long-lived process: joins the fleet, takes its partitions, ticks, and ends when it is fenced off.

A plain class; `cluster.fleet` applies Ray. Ray runs `__init__` again when it restarts the process, so everything that
needs an event loop or the database begins with the first call.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence

from actors.domain.command import Command
from actors.domain.station import Configuration, Station
from cluster.bootstrap import HostServices, open_host
from cluster.garbage import collect_rarely
from cluster.gateway.ports import HostKey
from cluster.host import ChargerHost
from cluster.logs import set_up_logging
from configs.settings import Settings

log = logging.getLogger(__name__)


class HostActor:
    """One host process. Hard state: its epoch, in the database. Soft state and losses: see ChargerHost."""

    def __init__(self, host_id: str, settings: Mapping[str, object], partitions: Sequence[int]) -> None:
        self._host_id = host_id
        self._settings = Settings.model_validate(settings)
        self._partitions = list(partitions)
        self._services: HostServices | None = None
        self._starting = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        set_up_logging(self._settings.log)

    async def start(self) -> int:
        """Join the fleet and take the partitions, once; return the epoch."""
        return (await self._opened()).epoch

    async def _opened(self) -> HostServices:
        async with self._starting:
            if self._services is None:
                collect_rarely()
                self._services = await open_host(self._settings, self._host_id, self._partitions)
                self._running = asyncio.create_task(self._run(self._services.host))
            return self._services

    async def _run(self, host: ChargerHost) -> None:
        await host.run()
        # Fenced: another life of this host writes now. The process ends, so that nothing of this one lingers.
        log.warning("host ends because it is fenced off", extra={"host_id": self._host_id})
        os._exit(1)

    async def ingest(self, data: bytes) -> bytes:
        """See ChargerHost.ingest."""
        return await (await self._host()).ingest(data)

    async def submit(self, command: Command, wait_s: float, again: bool) -> Command:
        """See ChargerHost.submit."""
        return await (await self._host()).submit(command, wait_s, again=again)

    async def cancel(self, station_id: str, command_id: str) -> Command:
        """See ChargerHost.cancel."""
        return await (await self._host()).cancel(station_id, command_id)

    async def configure(self, station_id: str, change: Configuration, create: bool) -> Station:
        """See ChargerHost.configure."""
        return await (await self._host()).configure(station_id, change, create=create)

    async def gateway_gone(self, gateway_id: str) -> None:
        """See ChargerHost.gateway_gone."""
        await (await self._host()).gateway_gone(gateway_id)

    async def partition_map(self) -> dict[int, HostKey]:
        """Return who owns each partition, as the database says."""
        return await (await self._opened()).fleet.partition_map()

    async def stats(self) -> dict[str, float]:
        """Return the host's counters, its process id and its CPU seconds."""
        times = os.times()
        return {**(await self._host()).stats(), "pid": os.getpid(), "cpu_s": times.user + times.system}

    async def stop(self) -> None:
        """Flush and close what is open."""
        if self._running is not None:
            self._running.cancel()
        if self._services is not None:
            await self._services.close()

    async def _host(self) -> ChargerHost:
        return (self._services or await self._opened()).host
