"""A FastAPI application that answers a constant, on the Ray Serve of a running platform: what is there to compare with.

Deployed as the platform deploys its own: `python -m benchmarks.bare ADDRESS NAMESPACE JSON`, in the environment of that
Ray. The constant is what the platform answers, so that both send the same.
"""

from __future__ import annotations

import json
import sys

import ray
import ray.serve as rayserve
from fastapi import FastAPI
from ray.serve.schema import LoggingConfig

PREFIX = "/bare"


class Bare:
    """The application."""

    def __init__(self, constant: dict[str, object]) -> None:
        self._constant = constant

    def __serve_build_asgi_app__(self) -> FastAPI:
        app, constant = FastAPI(), self._constant

        @app.get("/station")
        async def station() -> dict[str, object]:
            return constant

        return app


def main(address: str, namespace: str, constant: str) -> None:
    ray.init(address=address, namespace=namespace, log_to_driver=False)
    deployment = rayserve.deployment(
        name="Bare",
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
        logging_config=LoggingConfig(enable_access_log=False),
    )(rayserve.ingress()(Bare))
    rayserve.run(deployment.bind(json.loads(constant)), name="bare", route_prefix=PREFIX)


if __name__ == "__main__":
    main(*sys.argv[1:])
