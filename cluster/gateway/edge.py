"""What all sockets of one gateway share: settings, the way to the hosts, the table of stations, counters.

Must not know: OCPP, Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from websockets.frames import CloseCode

from cluster.gateway.uplink import Uplink
from configs.plane import Gateway as GatewaySettings

if TYPE_CHECKING:
    from cluster.gateway.station import StationSocket

log = logging.getLogger(__name__)

_ENDS_PER_TURN: Final = 32


class GatewayStats(msgspec.Struct, frozen=True):
    """Counts of one gateway since it started, and what it holds now."""

    connected: int
    handshaking: int
    reading_paused: int
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    batches: int
    batch_failures: int
    queued_bytes: int
    dead_peers: int
    refused: dict[str, int]
    """Connections not let in, by reason."""


class Edge:
    """Shared by the sockets of one gateway; `stations` maps an identity to its newest socket."""

    __slots__ = (
        "_empty", "_ends", "_queue_bytes", "bytes_in", "bytes_out", "dead_peers", "frames_in", "frames_out",
        "gateway_id", "handshaking", "loop", "password_key", "reading_paused", "refused", "settings", "sockets",
        "stations", "uplink", "wire_log",
    )  # fmt: skip

    def __init__(self, gateway_id: str, settings: GatewaySettings, password_key: bytes, uplink: Uplink) -> None:
        self.gateway_id = gateway_id
        self.settings = settings
        self.password_key = password_key
        self.uplink = uplink
        self.loop = asyncio.get_running_loop()
        self.sockets: set[StationSocket] = set()
        self.stations: dict[str, StationSocket] = {}
        self._empty = asyncio.Event()
        self._queue_bytes = settings.max_queued_mb * 2**20
        self._ends: deque[Callable[[], None]] = deque()
        self.refused: Counter[str] = Counter()
        self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = 0
        self.dead_peers = self.handshaking = self.reading_paused = 0
        # At lower levels websockets writes headers, and so passwords, to its log.
        self.wire_log = logging.getLogger("cluster.gateway.wire")
        self.wire_log.setLevel(logging.WARNING)

    @property
    def full(self) -> bool:
        """Whether so much waits for the hosts that a station is read again only when its last frame is answered."""
        return self.uplink.queued_bytes >= self._queue_bytes

    def opened(self, socket: StationSocket) -> None:
        """Take a new connection into the sweep."""
        self.sockets.add(socket)
        self.handshaking += 1
        self._empty.clear()

    def admit(self, socket: StationSocket, conn_epoch: int) -> None:
        """Make `socket` its station's newest and close the one it replaces; an older epoch is closed itself."""
        self.handshaking -= 1
        other = self.stations.get(socket.station_id)
        if other is not None and other.conn_epoch is not None and other.conn_epoch > conn_epoch:
            socket.close(CloseCode.NORMAL_CLOSURE, "a newer connection of this station is open")
            return
        self.stations[socket.station_id] = socket
        if other is not None:
            other.close(CloseCode.NORMAL_CLOSURE, "replaced by a newer connection of this station")

    def forget(self, socket: StationSocket) -> None:
        """Drop a closed socket; a newer one of the same station stays."""
        self.sockets.discard(socket)
        self.handshaking -= socket.conn_epoch is None
        if not self.sockets:
            self._empty.set()
        if self.stations.get(socket.station_id) is socket:
            del self.stations[socket.station_id]

    def end_soon(self, end: Callable[[], None]) -> None:
        """Run the end of a socket, a few in each turn of the loop: thousands can be cut in one moment."""
        if not self._ends:
            self.loop.call_soon(self._run_ends)
        self._ends.append(end)

    def _run_ends(self) -> None:
        for _ in range(min(_ENDS_PER_TURN, len(self._ends))):
            try:
                self._ends.popleft()()
            except Exception:  # one broken socket must not keep the others from their end
                log.exception("socket not ended")
        if self._ends:
            self.loop.call_soon(self._run_ends)

    async def wait_empty(self, timeout_s: float) -> None:
        """Wait until no socket is left, at most `timeout_s`."""
        if self.sockets:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), timeout_s)

    def stats(self) -> GatewayStats:
        """Return the counters."""
        return GatewayStats(
            connected=len(self.stations),
            handshaking=self.handshaking,
            reading_paused=self.reading_paused,
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            batches=self.uplink.batches,
            batch_failures=self.uplink.failures,
            queued_bytes=self.uplink.queued_bytes,
            dead_peers=self.dead_peers,
            refused=dict(self.refused),
        )
