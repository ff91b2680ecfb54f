"""A FastAPI application that answers a constant, on the Ray Serve of a running platform: what is there to compare with.

Deployed as the platform deploys its own: `python -m benchmarks.bare ADDRESS NAMESPACE`, in the environment of that Ray.
"""

from __future__ import annotations

import sys

import ray
import ray.serve as rayserve
from fastapi import FastAPI
from ray.serve.schema import LoggingConfig

PREFIX = "/bare"

app = FastAPI()


@app.get("/station")
async def station() -> dict[str, object]:
    """Return a constant."""
    return {"stationId": "CP-1", "connected": True}


class Bare:
    """The application."""


def main(address: str, namespace: str) -> None:
    ray.init(address=address, namespace=namespace, log_to_driver=False)
    deployment = rayserve.deployment(
        name="Bare",
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
        logging_config=LoggingConfig(enable_access_log=False),
    )(rayserve.ingress(app)(Bare))
    rayserve.run(deployment.bind(), name="bare", route_prefix=PREFIX)


if __name__ == "__main__":
    main(*sys.argv[1:])
