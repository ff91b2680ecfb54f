"""The gateway as a Ray actor: hosts' actor handles become `Ingest`, Ray's errors become HostUnavailable.

cluster/fleet applies Ray's decorator and options to `GatewayActor`. The only file of this package that imports Ray.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
from ray.exceptions import RayError, RayTaskError

from cluster.garbage import collect_only_the_young
from cluster.gateway.gateway import Gateway
from cluster.gateway.ports import HostKey, HostUnavailable, Router
from cluster.logs import set_up_logging
from configs.plane import Gateway as GatewaySettings
from configs.plane import Log

_INGEST_TIMEOUT_S = 10.0
"""A stopped process or a cut-off node makes calls hang; another host owns its stations by then. Repeats are safe."""


class IngestMethod(Protocol):
    """The `ingest` method of a host's actor handle."""

    def remote(self, batch: bytes) -> Awaitable[bytes]:
        """Call it."""


class HostHandle(Protocol):
    """The actor handle of a ChargerHost, as far as a gateway uses it."""

    @property
    def ingest(self) -> IngestMethod:
        """The method that takes batches."""


Resolve = Callable[[HostKey], HostHandle]
"""Looks up a host's actor handle; may block, and raises ValueError when there is none."""


class RayIngest:
    """One host behind its actor handle, looked up when first needed and again after a failure."""

    def __init__(self, host_key: HostKey, resolve: Resolve) -> None:
        self._host_key = host_key
        self._resolve = resolve
        self._handle: HostHandle | None = None

    async def ingest(self, batch: bytes) -> bytes:
        """Call the host; an exception raised inside its `ingest` comes out as it is."""
        try:
            if self._handle is None:
                self._handle = await asyncio.to_thread(self._resolve, self._host_key)
            return await asyncio.wait_for(self._handle.ingest.remote(batch), _INGEST_TIMEOUT_S)
        except RayTaskError:
            raise
        except (RayError, TimeoutError, ValueError) as error:
            self._handle = None
            raise HostUnavailable(f"{type(error).__name__} calling host {self._host_key}") from error


class GatewayActor:
    """One gateway process, which logs as `log` says. Hard state: none; see Gateway for what a crash loses."""

    def __init__(
        self,
        gateway_id: str,
        node_id: str,
        settings: Mapping[str, object],
        password_key: bytes,
        router: Router,
        resolve: Resolve,
        log: Mapping[str, object],
    ) -> None:
        set_up_logging(Log.model_validate(log))
        self._gateway_id = gateway_id
        self._node_id = node_id
        self._settings = GatewaySettings.model_validate(settings)
        self._password_key = password_key
        self._router = router
        self._resolve = resolve
        self._gateway: Gateway | None = None
        self._draining: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, int]:
        """Listen; returns the bound host and port. Safe to repeat only after `stop`."""
        collect_only_the_young()
        self._gateway = Gateway(
            self._gateway_id,
            self._settings,
            self._password_key,
            self._router,
            lambda host_key: RayIngest(host_key, self._resolve),
        )
        return await self._gateway.start()

    async def push(self, batch: bytes) -> bytes:
        """Send or close on behalf of a host; see Gateway.push."""
        return self._started().push(batch)

    async def stats(self) -> dict[str, object]:
        """Return the gateway's counters, its Ray node, its process id and its CPU seconds."""
        times = os.times()
        counters = msgspec.structs.asdict(self._started().stats())
        return {**counters, "node": self._node_id, "pid": os.getpid(), "cpu_s": times.user + times.system}

    async def drain(self) -> None:
        """Begin to send stations away and take no more; `stats` tells when none is left. Harmless when repeated."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._started().drain())

    async def stop(self) -> None:
        """Close every socket and deliver what was read."""
        await self._started().close()

    def _started(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError(f"gateway {self._gateway_id} is not started: call start() first")
        return self._gateway
