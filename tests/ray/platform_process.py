"""A process with a whole runtime and a small application on it: what `cloudbay up` does, without databases.

Run as `python -m tests.ray.platform_process DATA_DIR PORT HAPROXY`; says `ready`, and stops at end of input.
"""

import os
import sys

import ray.serve as rayserve
from fastapi import FastAPI

from cluster import runtime
from configs.settings import Settings


class Echo:
    """Answers with its process id."""

    def __init__(self) -> None:
        runtime.keep_replica_on_loopback()

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()

        @app.get("/pid")
        async def pid() -> int:
            return os.getpid()

        return app


def main(data_dir: str, port: int, haproxy: bool) -> None:
    """Run until standard input ends."""
    keys = {
        "data_dir": data_dir,
        "api.port": port,
        "api.haproxy": haproxy,
        "ray.num_cpus": 2,
        "ray.object_store_mb": 80,
    }
    running = runtime.start(Settings.load("embedded", env={}, overrides=keys))
    deployment = rayserve.deployment(name="Echo", ray_actor_options={"num_cpus": 0})(rayserve.ingress()(Echo))
    running.run({"/": deployment.bind()})
    print("ready", flush=True)
    sys.stdin.read()
    running.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "haproxy")
