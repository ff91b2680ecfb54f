"""The listening socket: takes connections at a bounded rate, so that a storm of stations leaves the others their time.

Whoever comes faster waits in the kernel's queue, where it costs nothing; when that is full too, the kernel lets
stations try again later. Must not know: WebSockets.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
_TICKS_PER_S: Final = 50
"""Connections are taken a few at a time, so often."""
_AFTER_ERROR_S: Final = 1.0


class Listener:
    """Accepts at most `per_s` connections a second and gives each a protocol of its own."""

    def __init__(self, make: Callable[[], asyncio.Protocol], per_s: float) -> None:
        self._make = make
        self._per_s = per_s
        self._at_once = max(1.0, per_s / _TICKS_PER_S)
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen beside others on the same port; return the bound host and port."""
        loop = asyncio.get_running_loop()
        family, _, _, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=True)
        listening.setblocking(False)
        self._socket = listening
        self._accepting = loop.create_task(self._accept(listening))
        bound: tuple[str, int] = listening.getsockname()[:2]
        return bound

    def close(self) -> None:
        """Listen no more; connections that were taken stay."""
        if self._accepting is not None:
            self._accepting.cancel()
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        credit, refilled_at = self._at_once, loop.time()
        while True:
            now = loop.time()
            credit = min(self._at_once, credit + (now - refilled_at) * self._per_s)
            refilled_at = now
            if credit < 1:
                await asyncio.sleep(self._at_once / self._per_s)
                continue
            credit -= 1
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # too many open files
                log.warning("no connection can be taken", extra={"error": str(error)})
                await asyncio.sleep(_AFTER_ERROR_S)
            else:
                await self._take(connection)

    async def _take(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make, connection)
        except Exception as error:  # noqa: BLE001  one connection's fault must not keep the others out
            connection.close()
            log.warning("connection not taken", extra={"error": repr(error)})
