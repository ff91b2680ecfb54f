"""Ray actors by their names: made with the options that all of ours have, looked at, ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

log = logging.getLogger(__name__)

_STOP_WITHIN_S = 5.0
_ANSWER_WITHIN_S = 10.0


class NamedActors:
    """Makes and ends the named actors of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def make(self, actor_class: type, name: str, *arguments: object, max_restarts: int) -> ActorHandle:
        """Begin to start an actor and return its handle. Raises ValueError when the name is taken."""
        actor = ray.remote(actor_class).options(
            name=name,
            namespace=self._namespace,
            lifetime="detached",
            num_cpus=0,
            max_restarts=max_restarts,
            max_task_retries=0,
            max_concurrency=100_000,
            enable_task_events=False,
        )
        return actor.remote(*arguments)

    async def end(self, name: str, handle: ActorHandle) -> None:
        """Let an actor stop by itself, for a few seconds, and then end its process."""
        try:
            await asyncio.wait_for(handle.stop.remote(), _STOP_WITHIN_S)
        except (RayError, TimeoutError) as error:
            log.info("actor did not stop by itself", extra={"actor": name, "reason": type(error).__name__})
        ray.kill(handle)

    async def kill(self, names: Iterable[str]) -> None:
        """End what still runs under these names, at once."""
        await asyncio.to_thread(self._kill, list(names))

    def _kill(self, names: list[str]) -> None:
        for name in names:
            try:
                ray.kill(ray.get_actor(name, namespace=self._namespace))
            except ValueError:
                continue


async def alive(handle: ActorHandle) -> bool:
    """Tell whether an actor's process is there; slow is not dead."""
    try:
        await asyncio.wait_for(handle.stats.remote(), _ANSWER_WITHIN_S)
    except TimeoutError:
        return True
    except RayError:
        return False
    return True
