"""Starts HAProxy for Ray Serve, where Ray Serve's own start falls short: where it listens, what it tells, when it ends.

Ray Serve binds HAProxy's metrics and statistics to fixed ports of every interface, has it tell nobody who calls, and
leaves HAProxy behind when it is killed itself. It is told to run this file as the binary
(RAY_SERVE_HAPROXY_BINARY_PATH), which mends the configuration and becomes HAProxy: metrics and statistics on sockets
beside the configuration, the API where the settings say.
Runs as a script of its own, so it imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_METRICS = re.compile(r"^(frontend prometheus\n\s*bind) \S+$", re.MULTILINE)
_STATISTICS = re.compile(r"^(listen stats\n\s*bind) \S+$", re.MULTILINE)
_CALLER = "\n    http-request set-header X-Forwarded-For %[src]\n    http-request del-header X-Request-ID"
_FRONTEND = re.compile(rf"^(frontend http_frontend\n\s*bind) \S+:(\d+)$(?:{re.escape(_CALLER)})?", re.MULTILINE)
_ADMIN_SOCKET = re.compile(r"^(\s*stats socket .*) mode 666 ", re.MULTILINE)


def mended(configuration: str, host: str, folder: Path) -> str:
    """Return the configuration with the API on `host` and all else on sockets in `folder`, for their owner only.

    The API is told who calls; what a caller says of that itself, or calls the request, is thrown away.
    """
    configuration = _METRICS.sub(rf"\1 unix@{folder}/metrics mode 600", configuration)
    configuration = _STATISTICS.sub(rf"\1 unix@{folder}/stats mode 600", configuration)
    configuration = _FRONTEND.sub(rf"\1 {host}:\2{_CALLER}", configuration)
    return _ADMIN_SOCKET.sub(r"\1 mode 600 ", configuration)


def write_launcher(folder: Path, binary: str, host: str) -> Path:
    """Write the executable that Ray Serve takes for HAProxy; `host` is where the API listens."""
    launcher = folder / "haproxy"
    command = shlex.join([sys.executable, "-I", "-S", __file__, binary, host])
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(0o700)
    return launcher


def main(binary: str, host: str, arguments: list[str]) -> NoReturn:
    """Become HAProxy."""
    path = Path(arguments[arguments.index("-f") + 1])
    path.write_text(mended(path.read_text(), host, path.parent))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(binary, [binary, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
