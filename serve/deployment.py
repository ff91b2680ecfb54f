"""The API as a Ray Serve application; the only file of this package that imports Ray."""

from __future__ import annotations

from collections.abc import Mapping

import ray.serve as rayserve
from fastapi import FastAPI
from ray.serve.schema import LoggingConfig

from cluster.bootstrap import open_api
from cluster.keys import Keys
from cluster.logs import set_up_logging
from cluster.runtime import keep_replica_on_loopback
from configs.settings import Settings
from serve.app import build_app

_MAX_ONGOING_REQUESTS = 1000
"""A request that waits for a station (`Prefer: wait`) costs nothing, and would soon use up Ray's default of 5."""


class Api:
    """One API process. Hard state: none. Soft state: connections, counters. Lost in a crash: requests under way."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: Mapping[str, object], keys: Keys, generation: int
    ) -> None:
        loaded = Settings.model_validate(settings)
        set_up_logging(loaded.log)
        keep_replica_on_loopback()
        self._services = await open_api(loaded, keys, generation)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self._services)

    async def __del__(self) -> None:
        await self._services.close()


def build(settings: Settings, keys: Keys, generation: int) -> rayserve.Application:
    """Return the application for `ray.serve.run`; with another `generation` it is another one, and replaces it."""
    deployment = rayserve.deployment(
        name="Api",
        num_replicas=settings.api.replicas,
        max_ongoing_requests=_MAX_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": 0},
        logging_config=LoggingConfig(enable_access_log=False),
    )(rayserve.ingress()(Api))
    return deployment.bind(settings.model_dump(mode="json"), keys, generation)
