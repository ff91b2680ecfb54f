"""The edge gateway: listens for stations, carries their frames to hosts and the hosts' frames to them.

A plain class; cluster/gateway/server.py runs it as a Ray actor. Several gateways share one port through SO_REUSEPORT.

Hard state: none. Lost on a crash: sockets (stations reconnect) and unanswered frames (stations send them again).
Must not know: OCPP messages, Ray.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from websockets.frames import CloseCode

from cluster import batch
from cluster.gateway.edge import Edge, GatewayStats
from cluster.gateway.listener import Listener
from cluster.gateway.ports import HostKey, Ingest, Router
from cluster.gateway.station import StationSocket
from cluster.gateway.uplink import Uplink
from configs.plane import Gateway as GatewaySettings

log = logging.getLogger(__name__)

_SWEEPS_PER_TIMEOUT = 4
_SWEPT_PER_TURN = 200
"""Pings to thousands at once, and their pongs, would hold the loop for a long moment."""


class Gateway:
    """One gateway; create it inside a running event loop. `password_key` is the platform's key for password hashes."""

    def __init__(
        self,
        gateway_id: str,
        settings: GatewaySettings,
        password_key: bytes,
        router: Router,
        connect: Callable[[HostKey], Ingest],
    ) -> None:
        self._settings = settings
        uplink = Uplink(router, connect, settings.window, settings.max_batch_items)
        self._edge = Edge(gateway_id, settings, password_key, uplink)
        self._listener = Listener(lambda: StationSocket(self._edge), settings.accepts_per_s)
        self._sweeper: asyncio.TimerHandle | None = None
        shortest_s = min(settings.ping_interval_s, settings.pong_timeout_s, settings.handshake_timeout_s)
        self._sweep_interval_s = shortest_s / _SWEEPS_PER_TIMEOUT
        self._unswept: list[StationSocket] = []
        self._sweep_again_s = self._sweep_interval_s

    async def start(self) -> tuple[str, int]:
        """Listen; returns the bound host and port."""
        edge = self._edge
        host, port = await self._listener.open(self._settings.host, self._settings.port)
        self._sweeper = edge.loop.call_later(self._sweep_interval_s, self._sweep)
        log.info("gateway listening", extra={"gateway_id": edge.gateway_id, "host": host, "port": port})
        return host, port

    def push(self, pushes: bytes) -> bytes:
        """Send or close as hosts ask; returns for each whether the socket of that very `conn_epoch` was open here.

        A host may push as soon as it has decided to admit; the socket is there only after its Admitted arrived here, so
        False shortly after an admission means "not yet".
        """
        return batch.encode([self._push(push) for push in batch.decode_pushes(pushes)])

    def _push(self, push: batch.Push) -> bool:
        socket = self._edge.stations.get(push.station_id)
        if socket is None or socket.conn_epoch != push.conn_epoch:
            return False
        try:
            if isinstance(push, batch.Send):
                return socket.send(push.data)
            socket.close(push.code, push.reason)
        except Exception:  # one broken push must not stop the others of its batch
            log.exception("push not delivered", extra={"station_id": push.station_id})
            return False
        return True

    def stats(self) -> GatewayStats:
        """Return counters since the start and what is connected now."""
        return self._edge.stats()

    async def drain(self) -> None:
        """Stop listening, and send stations away with 1001 no faster than another gateway takes them."""
        await self._close_sockets(pause_s=1 / self._settings.accepts_per_s)

    async def close(self) -> None:
        """Stop listening, close every socket with 1001, deliver what was read; takes a few `pong_timeout_s` at most."""
        await self._close_sockets(pause_s=0)
        if not await self._edge.uplink.drain(self._settings.pong_timeout_s):
            log.warning("gateway stopped with unanswered items", extra={"gateway_id": self._edge.gateway_id})
        await self._edge.uplink.close()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _close_sockets(self, pause_s: float) -> None:
        self._listener.close()
        for socket in tuple(self._edge.sockets):
            socket.close(CloseCode.GOING_AWAY, "the gateway is stopping")
            if pause_s:
                await asyncio.sleep(pause_s)
        await self._edge.wait_empty(self._settings.pong_timeout_s)
        for socket in tuple(self._edge.sockets):
            socket.abort("the gateway is stopping")
        await self._edge.wait_empty(self._settings.pong_timeout_s)  # a cut socket posts its Disconnect a turn later

    def _sweep(self) -> None:
        """Look at some sockets, at a pace at which every one is looked at once in an interval."""
        edge = self._edge
        if not self._unswept:
            self._unswept = list(edge.sockets)
            turns = math.ceil(len(self._unswept) / _SWEPT_PER_TURN)
            self._sweep_again_s = self._sweep_interval_s / max(1, turns)
        self._sweeper = edge.loop.call_later(self._sweep_again_s, self._sweep)
        now = edge.loop.time()
        turn, self._unswept = self._unswept[:_SWEPT_PER_TURN], self._unswept[_SWEPT_PER_TURN:]
        for socket in turn:
            try:
                if not socket.closed:
                    socket.sweep(now)
            except Exception:  # one broken socket must not stop the watch over the others
                log.exception("sweep failed", extra={"station_id": socket.station_id})
