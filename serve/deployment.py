"""The applications as Ray Serve runs them; the only file of this package that imports Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import ray.serve as rayserve
from fastapi import FastAPI
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from cluster.bootstrap.api import open_api
from cluster.garbage import collect_seldom
from cluster.keys import Keys
from cluster.logs import set_up_logging
from cluster.runtime import keep_replica_on_loopback, when_leaving
from cluster.services import ApiServices
from configs.api import Api as ApiSettings
from configs.fields import ApiName
from configs.settings import Settings
from serve import access
from serve.admin import application as admin
from serve.app import application as app
from serve.front import application as front

_MAX_ONGOING_REQUESTS = 1000
"""A request that waits for a station (`Prefer: wait`) costs nothing, and would soon use up Ray's default of 5."""

_APPLICATIONS: Final[Mapping[str, Callable[[ApiServices], FastAPI]]] = {
    admin.PREFIX: admin.build,
    app.PREFIX: app.build,
    front.PREFIX: front.build,
}


class Api:
    """One API process. Hard state: none. Soft state: connections, counters. Lost in a crash: requests under way."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, prefix: str, settings: Mapping[str, object], keys: Keys, generation: int
    ) -> None:
        loaded = Settings.model_validate(settings)
        set_up_logging(loaded.log)
        keep_replica_on_loopback()
        self._prefix = prefix
        api: ApiName = "app" if prefix.startswith("/app/") else "admin"
        self._services = await open_api(loaded, keys, generation, api, access.SCOPES)
        when_leaving(self._services.live.leave)
        collect_seldom()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return _APPLICATIONS[self._prefix](self._services)

    async def __del__(self) -> None:
        await self._services.close()


def build(settings: Settings, keys: Keys, generation: int) -> dict[str, rayserve.Application]:
    """Return the applications by their paths; with another `generation` they are others, and replace them."""
    return {prefix: _built(prefix, settings, keys, generation) for prefix in _APPLICATIONS}


def _built(prefix: str, settings: Settings, keys: Keys, generation: int) -> rayserve.Application:
    deployment = rayserve.deployment(
        name="Api",
        **size(settings.api),
        max_ongoing_requests=_MAX_ONGOING_REQUESTS + settings.live.max_listeners,
        ray_actor_options={"num_cpus": 0},
        logging_config=LoggingConfig(enable_access_log=False),
    )(rayserve.ingress()(Api))
    return deployment.bind(prefix, settings.model_dump(mode="json"), keys, generation)


def size(api: ApiSettings) -> dict[str, Any]:
    """Return how many processes an application has: as many as are set, or by what it has to do."""
    if api.max_replicas is None:
        return {"num_replicas": api.replicas}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=api.replicas,
            max_replicas=api.max_replicas,
            target_ongoing_requests=api.requests_per_replica,
        )
    }
