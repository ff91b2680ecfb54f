"""The runtime for real: loopback only, two side by side, nothing left behind."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]


class PlatformProcess:
    """One runtime in a process of its own."""

    def __init__(self, folder: Path, port: int, proxy: str = "haproxy") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "output"
        folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ray.platform_process", str(folder), str(port), proxy],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
        )

    def await_ready(self) -> None:
        """Wait for its word."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._log.read_text()

    def family(self) -> list[psutil.Process]:
        """Return it and everything it has started."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def answers(self) -> bool:
        """Tell whether the application answers."""
        return httpx.get(f"{self.url}/pid").status_code == 200

    def stop(self) -> None:
        """Ask it to stop and wait for its end."""
        self._process.communicate(timeout=60)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def cleaned_up(*platforms: PlatformProcess) -> Iterator[None]:
    """Leave nothing behind when a test fails."""
    try:
        yield
    finally:
        for platform in platforms:
            try:
                family = platform.family()
            except psutil.NoSuchProcess:
                continue
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def names(processes: list[psutil.Process]) -> set[str]:
    """Return the names of those that still run."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


def listening(processes: list[psutil.Process]) -> set[str]:
    """Return the addresses these processes accept connections on."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a short-lived one has ended since it was listed
            connections = process.net_connections("tcp")
            found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return found


def is_loopback(address: str) -> bool:
    """Tell whether only this machine reaches an address, mapped into IPv6 or not."""
    found = ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def wait_until(fact: Callable[[], bool], within_s: float) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run."""
    running = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def test_two_platforms_side_by_side_on_loopback_leave_nothing(tmp_path: Path) -> None:
    one, two = (PlatformProcess(tmp_path / name, free_port()) for name in ("one", "two"))
    with cleaned_up(one, two):
        one.await_ready()
        two.await_ready()
        assert one.answers()
        assert two.answers()
        families = one.family(), two.family()
        for family in families:
            assert "haproxy" in names(family)
            assert all(is_loopback(address) for address in listening(family)), listening(family)

        two.kill()
        again = PlatformProcess(tmp_path / "two", int(two.url.rpartition(":")[2]))
        with cleaned_up(again):
            again.await_ready()  # at once, on the same folder and port
            assert again.answers()
            assert one.answers()
            wait_until(lambda: not alive(families[1]), within_s=60)
            ends = again.family()
            again.stop()
        one.stop()
        assert not alive([*families[0], *ends])


def test_a_folder_serves_one_platform_and_a_port_one_server(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        refused = PlatformProcess(tmp_path / "one", stranger.getsockname()[1])
        with cleaned_up(refused), pytest.raises(AssertionError, match=r"api\.port: port \d+ of 127\.0\.0\.1 is in use"):
            refused.await_ready()
