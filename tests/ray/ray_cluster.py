"""A Ray cluster of several nodes on this machine, as `ray start` makes them, each on a loopback address of its own."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.processes import free_port
from tests.e2e.running import eventually

_UP_WITHIN_S = 60.0
_OBJECT_STORE_BYTES = 80 * 2**20


class RayNode:
    """One node: `ray start --block`, with the raylet and all its workers below it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.raylet = eventually(self._find_raylet, _UP_WITHIN_S)
        (self.node_id,) = (a.partition("=")[2] for a in self.raylet.cmdline() if a.startswith("--node_id="))

    def _find_raylet(self) -> psutil.Process | None:
        assert self._process.poll() is None, self._log.read_text()
        if "This command will now block" not in self._log.read_text():
            return None
        return next(p for p in psutil.Process(self._process.pid).children() if p.name() == "raylet")

    def count(self, actor: str) -> int:
        """Return how many actors of this class run here, by the names that Ray gives their processes."""
        try:
            workers = self.raylet.children()
        except psutil.NoSuchProcess:
            return 0
        return sum(_title(worker).startswith(f"ray::{actor}") for worker in workers)

    def kill(self) -> None:
        """SIGKILL the raylet: to the cluster the node is gone, and its workers end as soon as they notice."""
        self.raylet.kill()

    def stop(self) -> None:
        """End the node with all its processes, within seconds."""
        try:
            family = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        _, left = psutil.wait_procs(family, timeout=10)
        for process in left:
            process.kill()


class RayCluster:
    """A head and further nodes; `environment` is what every process that joins needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: list[RayNode] = []
        self._numbers = itertools.count(2)
        self.address = f"127.0.0.2:{free_port()}"  # 127.0.0.1 is for clusters of one node only
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._environment = {
            **self.environment,
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            "RAY_worker_niceness": "0",
            "RAY_health_check_period_ms": "1000",  # the default is three seconds, five times
            "AUTOSCALER_METRIC_PORT": "0",
            "DASHBOARD_METRIC_PORT": "0",
        }
        self._start_node("--head", f"--port={self.address.partition(':')[2]}", "--include-dashboard=false")

    def join(self, **labels: str) -> RayNode:
        """Start a node with these labels and wait until it is part of the cluster."""
        shown = ",".join(f"{name}={value}" for name, value in labels.items())
        return self._start_node(f"--address={self.address}", f"--labels={shown}", "--include-log-monitor=false")

    def drain(self, node: RayNode) -> None:
        """Tell the cluster that a node will be gone soon, as an autoscaler does before it takes a machine away."""
        reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test"]
        command = [*_RAY, "drain-node", "--address", self.address, "--node-id", node.node_id, *reason]
        subprocess.run(command, env={**os.environ, **self._environment}, check=True, timeout=60)

    def stop(self) -> None:
        """End all nodes, the head last."""
        while self._nodes:
            self._nodes.pop().stop()

    def _start_node(self, *arguments: str) -> RayNode:
        number = next(self._numbers)
        folder = self._folder / str(number)  # of its own: nodes that share one take each other's sockets
        folder.mkdir()
        log = folder / "output"
        command = [*_RAY, "start", "--block", f"--node-ip-address=127.0.0.{number}", f"--temp-dir={folder}"]
        command += ["--num-cpus=2", f"--object-store-memory={_OBJECT_STORE_BYTES}", *arguments]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **self._environment}, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            node = RayNode(process, log)
        except BaseException:
            process.kill()
            raise
        self._nodes.append(node)
        return node


_RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def _title(process: psutil.Process) -> str:
    try:
        return str(process.cmdline()[0])
    except (psutil.NoSuchProcess, IndexError):
        return ""
