"""What tests need from outside: fetched once by the registry's own client, kept in a cache, run beside the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cloudbay-tests"
FETCH_TIMEOUT_S = 400
Command = Sequence[str | Path]


def not_here(reason: str) -> NoReturn:
    """Skip the test; in CI, where everything is to be had, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"needed in CI: {reason}")
    pytest.skip(reason)


def fetched(name: str, fetch: Callable[[Path], object]) -> Path:
    """Return the cache's folder of that name, filled by `fetch` if it is not there; never a half-filled one."""
    folder = CACHE / name
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        fetch(half)
        with suppress(OSError):  # another run was faster
            half.rename(folder)
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).decode(errors="replace").strip()
        not_here(f"{name} cannot be fetched: {error}\n{said[-1000:]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        not_here(f"{name} cannot be fetched: {error}")
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def run(command: Command, folder: Path, **variables: str) -> None:
    """Run a client to its end. Raises OSError, CalledProcessError, TimeoutExpired."""
    subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, check=True, capture_output=True, timeout=FETCH_TIMEOUT_S
    )


@contextmanager
def server(
    command: Command,
    url: str,
    log: Path,
    variables: Mapping[str, str] | None = None,
    patience_s: float = 60,
) -> Iterator[None]:
    """Run a server for as long as the block; it is there once `url` answers 200."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **(variables or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, url, log, patience_s)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    with httpx.Client(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if client.get(url).status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer; the server says:\n{log.read_text(errors='replace')[-3000:]}")
