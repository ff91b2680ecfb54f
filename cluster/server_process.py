"""One server process that lives with a data folder: started, stopped, and found again after any crash.

A lock on the folder, which dies with its holder, says whether a live platform owns it. A server that runs on the folder
while nobody holds the lock is an orphan of a killed platform and is replaced. Pid files decide nothing.
Must not know: which server it is. Calls block; from a running event loop use a thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

START_TIMEOUT_S = 300.0  # recovery after a crash may replay gigabytes; a server that exits is noticed at once
KILL_TIMEOUT_S = 10.0
POLL_S = 0.05
WATCH_S = 0.5


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot run; the message says why and what to do."""


class ServerProcess(ABC):
    """A server and its folder. Restartable; for one thread at a time."""

    def __init__(self, name: str, folder: Path, binary: Path) -> None:
        self.name = name
        self._folder = folder.resolve()
        self._binary = binary
        self._log_file = self._folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def running(self) -> bool:
        """Tell whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    @abstractmethod
    def url(self) -> str:
        """Return the URL of the running server; also right in another process, by the data folder alone."""

    def start(self) -> str:
        """Start the server on its data, replacing an orphan, and return its URL once it answers.

        Raises EmbeddedServerError when another platform uses the folder or the server does not come up.
        """
        if self.running:
            return self.url
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._acquire_lock()
            self._end_orphans()
            self._prepare()
            self._launch()
        except PermissionError as error:
            self.stop()
            raise EmbeddedServerError(
                f"{self.name}: no access to {error.filename}: it is another user's. Start as the user who started on "
                f"this folder before, or change the owner of {self._folder}, or choose another data_dir."
            ) from error
        except BaseException:
            self.stop()
            raise
        log.info("embedded server started", extra={"server": self.name, "folder": str(self._folder)})
        return self.url

    def stop(self) -> None:
        """Stop the server, by force when it does not listen, and let go of its folder; harmless when not running."""
        if self._process is not None:
            if self.running:
                self._end(psutil.Process(self._process.pid))
            self._process.wait()
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _acquire_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EmbeddedServerError(
                f"{self.name}: another platform is running on {self._folder}; stop it, or choose another data_dir"
            ) from None
        self._lock = lock

    def _end_orphans(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"]
            if command and Path(command[0]).name == self._binary.name and self._marker() in command:
                log.warning("replacing orphaned server", extra={"server": self.name, "pid": process.pid})
                self._end(process)

    def _end(self, process: psutil.Process) -> None:
        family = [process]
        try:
            family += process.children(recursive=True)
            for request, patience_s in self._stop_requests():
                process.send_signal(request)
                if _gone_within(patience_s, family):
                    return
                log.warning("server does not stop", extra={"server": self.name, "signal": request.name})
        except psutil.NoSuchProcess:
            log.info("server was gone already", extra={"server": self.name})
        for member in family:
            if _alive(member):
                member.kill()
        if not _gone_within(KILL_TIMEOUT_S, family):
            raise EmbeddedServerError(f"{self.name}: process {process.pid} does not end on SIGKILL; the disk may hang")

    def _launch(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            self._keep_last_log()
            self._process = self._spawn(self._command())
            while self.running:
                if self._ready():
                    return
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(f"{self.name}: not ready in {START_TIMEOUT_S:.0f} s\n{self.log_tail()}")
                time.sleep(POLL_S)
            if not self._passing_fault(self.log_tail()) or time.monotonic() > deadline:
                raise EmbeddedServerError(f"{self.name}: ended while starting\n{self.log_tail()}")
            time.sleep(POLL_S)

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        descriptor = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(  # noqa: S603 - our own binaries
                command,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C reaches the platform alone, which then stops us in its order
                umask=0o077,
            )
        finally:
            os.close(descriptor)

    def _keep_last_log(self) -> None:
        if self._log_file.exists():
            self._log_file.replace(self._log_file.with_suffix(".log.1"))

    def log_tail(self) -> str:
        """Return the last lines of the server's log, with its path."""
        lines = self._log_file.read_text(errors="replace").splitlines() if self._log_file.exists() else []
        return "\n".join([f"end of {self._log_file}:", *lines[-12:]])

    @abstractmethod
    def _marker(self) -> str:
        """Return the argument that stands on the command line of this folder's server and of no other."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the folder ready; the lock is held and no server is left on it."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _ready(self) -> bool: ...

    @abstractmethod
    def _passing_fault(self, log_tail: str) -> bool:
        """Tell whether the server ended for a reason that another try may overcome."""

    @abstractmethod
    def _stop_requests(self) -> list[tuple[signal.Signals, float]]:
        """Return the signals that ask the server to stop, mildest first, each with the seconds it may take."""


async def keep_running(server: ServerProcess, closing: asyncio.Event) -> None:
    """Start a server again whenever it has died, until `closing` is set."""
    while not closing.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), WATCH_S)
        if closing.is_set() or server.running:
            continue
        log.error("embedded server died and is started again", extra={"server": server.name})
        try:
            await asyncio.to_thread(server.start)
        except EmbeddedServerError as error:
            log.error("embedded server does not start", extra={"server": server.name, "reason": str(error)})  # noqa: TRY400


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _gone_within(patience_s: float, processes: Sequence[psutil.Process]) -> bool:
    deadline = time.monotonic() + patience_s
    while any(_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
