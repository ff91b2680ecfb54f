"""A ChargerHost as a long-lived process: joins the fleet, serves its partitions, and begins anew when it is fenced off.

A plain class; `cluster.fleet` applies Ray. Ray runs `__init__` again when it restarts the process, so everything that
needs an event loop or the database begins with the first call.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from actors.domain.command import Command
from actors.domain.station import Configuration, Station
from actors.errors import CloudBayError, Fenced
from cluster.bootstrap.host import HostServices, open_host
from cluster.garbage import collect_only_the_young
from cluster.gateway.ports import FleetMap
from cluster.host import ChargerHost
from cluster.logs import set_up_logging
from configs.settings import Settings

log = logging.getLogger(__name__)

_REJOIN_AFTER_S = 1.0


class HostActor:
    """One host process. Hard state: its epoch, in the database. Soft state and losses: see ChargerHost.

    With an `own_partition` it is dedicated to the one station in it.
    """

    def __init__(
        self, host_id: str, settings: Mapping[str, object], own_partition: int | None, generation: int
    ) -> None:
        self._host_id = host_id
        self._own_partition = own_partition
        self._generation = generation
        self._settings = Settings.model_validate(settings)
        self._services: HostServices | None = None
        self._starting = asyncio.Lock()
        self._living: asyncio.Task[None] | None = None
        set_up_logging(self._settings.log)
        collect_only_the_young()

    async def start(self) -> int:
        """Join the fleet, once; return the epoch of this life."""
        return (await self._opened()).membership.epoch

    async def serve(self) -> None:
        """Begin to hold partitions: to be called when all hosts that start together have joined."""
        await self._opened()
        if self._living is None:
            self._living = asyncio.create_task(self._live())

    async def _opened(self) -> HostServices:
        async with self._starting:
            if self._services is None:
                self._services = await open_host(self._settings, self._host_id, self._own_partition, self._generation)
            return self._services

    async def _live(self) -> None:
        """Serve one life after the other: a life ends when another host has taken this one's partitions."""
        while True:
            try:
                services = await self._opened()
                await services.live()
            except Fenced:
                log.warning("host was fenced off and joins again", extra={"host_id": self._host_id})
            except CloudBayError as error:
                log.warning("host cannot join", extra={"host_id": self._host_id, "reason": str(error)})
                await asyncio.sleep(_REJOIN_AFTER_S)
            except Exception:
                log.exception("host failed and joins again", extra={"host_id": self._host_id})
                await asyncio.sleep(_REJOIN_AFTER_S)
            over, self._services = self._services, None
            if over is not None:
                await over.close()

    async def ingest(self, data: bytes) -> bytes:
        """See ChargerHost.ingest."""
        return await (await self._host()).ingest(data)

    async def submit(self, command: Command, wait_s: float, again: bool) -> Command:
        """See ChargerHost.submit."""
        return await (await self._host()).submit(command, wait_s, again=again)

    async def cancel(self, station_id: str, command_id: str, again: bool) -> Command:
        """See ChargerHost.cancel."""
        return await (await self._host()).cancel(station_id, command_id, again=again)

    async def configure(self, station_id: str, change: Configuration, create: bool, again: bool) -> Station:
        """See ChargerHost.configure."""
        return await (await self._host()).configure(station_id, change, create=create, again=again)

    async def gateway_gone(self, gateway_id: str) -> None:
        """See ChargerHost.gateway_gone."""
        await (await self._host()).gateway_gone(gateway_id)

    async def fleet_map(self, suspects: Sequence[str] = ()) -> FleetMap:
        """Return who owns what, as the database says; `suspects` are hosts that the caller could not reach."""
        services = await self._opened()
        if suspects:
            with suppress(CloudBayError):
                await services.membership.beat(suspects)
        shared = [m.host_id for m in await services.fleet.members() if m.own_partition is None]
        return FleetMap(await services.fleet.partition_map(), shared)

    async def wake(self) -> None:
        """Look at the fleet now: something has changed."""
        if self._services is not None:
            self._services.membership.wake()

    async def ping(self) -> None:
        """Answer, to show that this process is there."""

    async def stats(self) -> dict[str, float]:
        """Return the host's counters, its process id and its CPU seconds."""
        await self._host()
        times, services = os.times(), await self._opened()
        return {**services.stats(), "pid": os.getpid(), "cpu_s": times.user + times.system}

    async def stop(self) -> None:
        """Leave the fleet: give everything up, flush and close."""
        if self._living is not None:
            self._living.cancel()
        if self._services is not None:
            await self._services.leave()

    async def _host(self) -> ChargerHost:
        if self._services is None or self._living is None:
            await self.serve()  # Ray has restarted the process, or a new life begins.
        return (await self._opened()).host
