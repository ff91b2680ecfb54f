"""Ray actors by their names: made with the options that all of ours have, looked at, ended. Every call is bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import NamedTuple, TypeVar

import ray
from ray._private.state import state  # Ray 2.60 has no cheaper way to where an actor is than its table of actors
from ray.actor import ActorHandle
from ray.exceptions import RayError

from cluster.refs import actor_names

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOP_WITHIN_S = 5.0
_ANSWER_WITHIN_S = 10.0
_GONE_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.1


class Standing(NamedTuple):
    """What Ray knows of an actor: where it runs (None while it runs nowhere), and whether it never will again."""

    node_id: str | None
    dead: bool


class NamedActors:
    """Makes and ends the named actors of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def make(
        self, actor_class: type, name: str, *arguments: object, max_restarts: int, placement: Mapping[str, object]
    ) -> ActorHandle:
        """Begin to start an actor and return its handle. Raises ValueError when the name is taken.

        `placement` are Ray's options that say where it may run (nodes.py).
        """
        actor = ray.remote(actor_class).options(
            name=name,
            namespace=self._namespace,
            lifetime="detached",
            num_cpus=0,
            max_restarts=max_restarts,
            max_task_retries=0,
            max_concurrency=100_000,
            enable_task_events=False,
            **placement,
        )
        return actor.remote(*arguments)

    async def standing(self, handle: ActorHandle) -> Standing:
        """Return what Ray knows of an actor. Raises TimeoutError."""
        found = await in_time(asyncio.to_thread(state.actor_table, handle._actor_id.hex()))
        return Standing(
            node_id=found["Address"]["NodeID"] if found and found["State"] == "ALIVE" else None,
            dead=not found or found["State"] == "DEAD",
        )

    async def end(self, name: str, handle: ActorHandle) -> None:
        """Let an actor stop by itself, for a few seconds, and then end its process."""
        try:
            await asyncio.wait_for(handle.stop.remote(), _STOP_WITHIN_S)
        except (RayError, TimeoutError) as error:
            log.info("actor did not stop by itself", extra={"actor": name, "reason": type(error).__name__})
        await self.kill(handle)

    async def kill(self, handle: ActorHandle) -> None:
        """End an actor's process at once, wherever it is, and let Ray not start it again. Raises TimeoutError."""
        await in_time(asyncio.to_thread(ray.kill, handle))

    async def end_leftovers(self) -> None:
        """End every actor of this namespace: an earlier run has left them. Raises TimeoutError."""
        async with asyncio.timeout(_GONE_WITHIN_S):
            while names := await asyncio.to_thread(actor_names, self._namespace):
                await asyncio.to_thread(self._kill, names)
                await asyncio.sleep(_LOOK_EVERY_S)

    def _kill(self, names: list[str]) -> None:
        for name in names:
            try:
                ray.kill(ray.get_actor(name, namespace=self._namespace))
            except ValueError:
                continue


async def alive(handle: ActorHandle) -> bool:
    """Tell whether an actor's process is there; slow is not dead."""
    try:
        await in_time(handle.stats.remote())
    except TimeoutError:
        return True
    except RayError:
        return False
    return True


async def in_time(call: Awaitable[T]) -> T:
    """Wait for the result of a short call. Raises TimeoutError: an actor that hangs must not hold up the others."""
    return await asyncio.wait_for(call, _ANSWER_WITHIN_S)
