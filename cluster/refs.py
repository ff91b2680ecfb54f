"""References: typed calls to chargers and gateways wherever they run, with Ray's errors turned into ours.

Callers name a station or a gateway and never see a handle, a host or Ray. Ray calls are never exactly-once, so
everything called here is safe to repeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import count as numbers
from itertools import islice
from typing import TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.domain.command import Command
from actors.domain.station import Configuration, Station
from actors.errors import CloudBayError, Unavailable
from cluster import batch
from cluster.gateway.ports import FleetMap, HostKey, HostUnavailable
from cluster.partitions import PartitionMap
from configs.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

_NORMAL_CLOSURE = 1000
_RETRY_FOR_S = 10.0
_RETRY_EVERY_S = 0.25
_STATS_WITHIN_S = 5.0
_MAP_WITHIN_S = 5.0
_DEAD_WITHIN_S = 2.0
"""A busy machine takes a second to learn of a death; more than this would delay beats too much for a lease."""


_HOST = "host-"


def host_ids(count: int, taken: Collection[str] = ()) -> list[str]:
    """Return the first names for so many host actors that are not taken."""
    free = (name for number in numbers() if (name := f"{_HOST}{number}") not in taken)
    return list(islice(free, count))


def actor_names(namespace: str) -> list[str]:
    """Return the names of all actors of a namespace; may block."""
    named = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in named if actor["namespace"] == namespace]


def make_directory(settings: Settings) -> RayDirectory:
    """Return a directory of this platform's actors, for a process that is connected to Ray."""
    return RayDirectory(settings.ray.namespace, settings.hosts.partitions, host_ids(settings.hosts.count))


class RayDirectory:
    """Who owns a station, as the hosts themselves say; the handles of named actors, kept while they work."""

    def __init__(self, namespace: str, partitions: int, host_ids: Sequence[str]) -> None:
        self._namespace = namespace
        self._host_ids = list(host_ids)
        self._map = PartitionMap(partitions)
        self._handles: dict[str, ActorHandle] = {}

    def route(self, station_id: str) -> HostKey:
        """Return the owner of a station. Raises HostUnavailable while none is known."""
        owner = self._map.owner(station_id)
        if owner is None:
            raise HostUnavailable(f"no host owns the partition of {station_id} yet")
        return owner

    async def refresh(self, suspects: Sequence[HostKey] = ()) -> None:
        """Read the partition map again, from any host that answers. Raises HostUnavailable when none does.

        `suspects` could not be reached: they are asked last, and the one who answers looks whether they are dead.
        Hosts may all have moved to other names since the last look; then Ray knows them.
        """
        known = sorted(self._host_ids, key=lambda host_id: host_id in suspects)
        if not (await self._read_map(known, suspects) or await self._read_map(await self._strangers(), suspects)):
            raise HostUnavailable("no host answers")

    async def _read_map(self, host_ids: Sequence[str], suspects: Sequence[HostKey]) -> bool:
        for host_id in host_ids:
            try:
                handle = await self.handle(host_id)
                found: FleetMap = await asyncio.wait_for(handle.fleet_map.remote(list(suspects)), _MAP_WITHIN_S)
            except (RayError, ValueError, TimeoutError):
                self.forget(host_id)
            else:
                self._map, self._host_ids = found.partitions, found.hosts or self._host_ids
                return True
        return False

    async def _strangers(self) -> list[str]:
        ours = await asyncio.to_thread(actor_names, self._namespace)
        return sorted(name for name in ours if name.startswith(_HOST) and name not in self._host_ids)

    def resolve(self, name: str) -> ActorHandle:
        """Return the handle of a named actor; may block. Raises ValueError when there is none."""
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = ray.get_actor(name, namespace=self._namespace)
        return handle

    async def handle(self, name: str) -> ActorHandle:
        """Return the handle of a named actor without blocking the event loop. Raises ValueError when there is none."""
        return self._handles.get(name) or await asyncio.to_thread(self.resolve, name)

    def forget(self, name: str) -> None:
        """Look a handle up again at its next use."""
        self._handles.pop(name, None)


class RayChargers:
    """Chargers by their station id: the host that owns the station is found, and asked again if it has moved."""

    def __init__(self, directory: RayDirectory) -> None:
        self._directory = directory

    async def submit(self, command: Command, wait_s: float = 0.0, again: bool = False) -> Command:
        """Queue a command. Raises what ChargerHost.submit raises."""
        return await self._ask(
            command.station_id, lambda host, repeated: host.submit.remote(command, wait_s, again or repeated)
        )

    async def cancel(self, station_id: str, command_id: str) -> Command:
        """Withdraw a queued command. Raises what ChargerHost.cancel raises."""
        return await self._ask(station_id, lambda host, again: host.cancel.remote(station_id, command_id, again))

    async def configure(
        self, station_id: str, change: Configuration, *, create: bool = False, again: bool = False
    ) -> Station:
        """Take an admin's decisions about a station. Raises what ChargerHost.configure raises."""
        return await self._ask(
            station_id, lambda host, repeated: host.configure.remote(station_id, change, create, again or repeated)
        )

    async def _ask(self, station_id: str, call: Callable[[ActorHandle, bool], Awaitable[T]]) -> T:
        """Call the owner, and again while it is being replaced; a repeated call is told that it is one."""
        deadline = asyncio.get_running_loop().time() + _RETRY_FOR_S
        again = False
        while True:
            try:
                return await self._ask_owner(station_id, call, again)
            except (HostUnavailable, Unavailable) as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise Unavailable(f"station {station_id} cannot be reached now: {error}") from None
                again = True
                await asyncio.sleep(_RETRY_EVERY_S)
                await self._refresh()

    async def _refresh(self) -> None:
        try:
            await self._directory.refresh()
        except HostUnavailable as error:
            log.info("partition map not read", extra={"reason": str(error)})

    async def _ask_owner(self, station_id: str, call: Callable[[ActorHandle, bool], Awaitable[T]], again: bool) -> T:
        owner = self._directory.route(station_id)
        try:
            return await call(await self._directory.handle(owner), again)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, CloudBayError):
                raise cause from None
            raise
        except (RayError, ValueError) as error:
            self._directory.forget(owner)
            raise Unavailable(f"host {owner} does not answer") from error


class RayPeers:
    """The other hosts, as processes."""

    def __init__(self, directory: RayDirectory) -> None:
        self._directory = directory

    async def dead(self, host_id: str) -> bool:
        """Tell whether a host's process is known to be gone; False when it is only silent."""
        if not await self._gone(host_id):
            return False
        # The handle may have been one of an actor that was ended and made anew under the same name.
        self._directory.forget(host_id)
        return await self._gone(host_id)

    async def _gone(self, host_id: str) -> bool:
        try:
            handle = await self._directory.handle(host_id)
            await asyncio.wait_for(handle.ping.remote(), _DEAD_WITHIN_S)
        except (RayActorError, ValueError):
            return True
        except (RayError, TimeoutError):
            return False
        return False

    async def wake(self, host_ids: Sequence[str]) -> None:
        """Ask hosts to look at the fleet now; best effort."""
        for host_id in host_ids:
            try:
                (await self._directory.handle(host_id)).wake.remote()
            except (RayError, ValueError):
                self._directory.forget(host_id)


class RayStationLink:
    """The way from a host to a station's socket, through the gateway that holds it."""

    def __init__(self, directory: RayDirectory) -> None:
        self._directory = directory

    async def send(self, gateway_id: str, station_id: str, conn_epoch: int, frames: Sequence[bytes]) -> bool:
        """Send frames in order; False when that socket, or its gateway, is gone."""
        return await self._push(gateway_id, [batch.Send(station_id, conn_epoch, frame) for frame in frames])

    async def close(self, gateway_id: str, station_id: str, conn_epoch: int, reason: str) -> None:
        """Close the socket of `conn_epoch`, if it is still there."""
        await self._push(gateway_id, [batch.Close(station_id, conn_epoch, _NORMAL_CLOSURE, reason)])

    async def _push(self, gateway_id: str, pushes: Sequence[batch.Push]) -> bool:
        try:
            gateway = await self._directory.handle(gateway_id)
            return all(batch.decode_delivered(await gateway.push.remote(batch.encode(pushes))))
        except (RayActorError, ValueError):
            self._directory.forget(gateway_id)
            return False
        except RayError as error:
            raise Unavailable(f"gateway {gateway_id} does not answer") from error


class RayFleet:
    """Hosts and gateways by name, for who wants to know how they are."""

    def __init__(self, directory: RayDirectory) -> None:
        self._directory = directory

    async def stats(self, names: Sequence[str]) -> dict[str, dict[str, object]]:
        """Return the counters of each actor that answers, by its name."""
        answers = await asyncio.gather(*(self._one(name) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}

    async def _one(self, name: str) -> dict[str, object] | None:
        try:
            handle = await self._directory.handle(name)
            return dict(await asyncio.wait_for(handle.stats.remote(), _STATS_WITHIN_S))
        except (RayError, ValueError, TimeoutError):
            self._directory.forget(name)
            return None
