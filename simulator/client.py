"""Runs one virtual station on a real socket: connects, converses, reboots, comes back (websockets and asyncio).

Must not know: what messages mean; the station decides, this only carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.headers import build_authorization_basic
from websockets.typing import Subprotocol

from simulator import variables as names
from simulator.driver import Driver
from simulator.faults import Faults
from simulator.station import Restart, VirtualStation

log = logging.getLogger(__name__)

_TICK_S: Final = 0.25
_PING_S: Final = 30.0


class SimulatedClock:
    """Time that starts anywhere and runs `speed` times as fast as the real one."""

    def __init__(self, speed: float = 1.0, start: datetime | None = None) -> None:
        self.speed = speed
        self._start = start or datetime.now(UTC)
        self._begin = time.monotonic()

    def now(self) -> datetime:
        """Return the present simulated instant."""
        return self._start + timedelta(seconds=(time.monotonic() - self._begin) * self.speed)

    def elapsed_s(self) -> float:
        """Return simulated seconds since the start."""
        return (time.monotonic() - self._begin) * self.speed


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Where to connect and how; `offline` is (every, for) in simulated seconds, `tls` goes to websockets as it is."""

    to: str
    password: str | None = None
    tls: ssl.SSLContext | None = None
    reboot_s: float = 20.0
    offline: tuple[float, float] | None = None
    open_timeout_s: float = 20.0


class StationClient:
    """One station and its socket; `problem` is the last reason it could not be connected."""

    def __init__(
        self,
        station: VirtualStation,
        settings: ClientSettings,
        clock: SimulatedClock,
        *,
        drivers: tuple[Driver, ...] = (),
        faults: Faults | None = None,
        seed: int | str = 0,
    ) -> None:
        self.station = station
        self.drivers = drivers
        self.faults = faults or Faults((), seed)
        self.connections = 0
        self.problem = ""
        self._settings = settings
        self._clock = clock
        self._random = random.Random(seed)
        self._failures = 0
        self._held_back: set[asyncio.Task[None]] = set()
        every_s = settings.offline[0] if settings.offline is not None else 0.0
        self._offline_at_s = self._random.uniform(0.3, 1.3) * every_s

    async def run(self) -> None:
        """Keep the station connected until cancelled."""
        while True:
            try:
                await self._one_connection()
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                self._note(error)
            finally:
                self._hang_up()
            if self.station.restart is Restart.REBOOT:
                await self._wait(self._settings.reboot_s / self._clock.speed)
                self.station.rebooted("RemoteReset", self._clock.now())
            elif self._offline_due() and self._settings.offline is not None:
                every_s, for_s = self._settings.offline
                await self._wait(for_s / self._clock.speed)
                self._offline_at_s = self._clock.elapsed_s() + every_s * self._random.uniform(0.7, 1.3)
            elif self.station.restart is None:
                await self._wait(self._back_off_s())

    async def _one_connection(self) -> None:
        station, settings = self.station, self._settings
        password = station.variables.text(names.BASIC_AUTH_PASSWORD) or settings.password
        headers = Headers()
        if password is not None:
            headers["Authorization"] = build_authorization_basic(station.settings.id, password)
        socket = await connect(
            f"{settings.to.rstrip('/')}/{quote(station.settings.id, safe='')}",
            subprotocols=[Subprotocol(station.dialect.version)],
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=settings.open_timeout_s,
            ping_interval=_PING_S,
            ping_timeout=_PING_S,
            # websockets makes a default context for wss:// and refuses any for ws://.
            ssl=settings.tls if settings.tls is not None else (True if settings.to.startswith("wss:") else None),
        )
        async with socket:
            if socket.subprotocol is None:
                raise InvalidHandshake(f"the server does not speak {station.dialect.version}")
            self.connections += 1
            self._failures, self.problem = 0, ""
            station.connected(self._clock.now())
            await self._converse(socket)

    async def _converse(self, socket: ClientConnection) -> None:
        """Exchange frames until the socket is lost or the station has a reason to leave."""
        station, next_tick = self.station, 0.0
        while True:
            await self._flush(socket)
            if station.restart is not None or self._offline_due():
                return
            left_s = next_tick - time.monotonic()
            if left_s <= 0:
                # Also in the middle of a lively conversation: drivers and the clock do not wait for silence.
                self._tick()
                next_tick = time.monotonic() + _TICK_S
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    station.receive(await socket.recv(decode=False), self._clock.now())

    async def _flush(self, socket: ClientConnection) -> None:
        for frame in self.station.take_frames():
            elapsed_s = self._clock.elapsed_s()
            for delivery in self.faults.deliver(frame, elapsed_s):
                if delivery.delay_s:
                    self._send_later(socket, delivery.delay_s / self._clock.speed, delivery.data)
                else:
                    await _send(socket, delivery.data)
            deaf_s = self.faults.half_open_s(elapsed_s)
            if deaf_s and not socket.transport.is_closing():
                socket.transport.pause_reading()
                asyncio.get_running_loop().call_later(deaf_s / self._clock.speed, _resume_reading, socket)

    def _send_later(self, socket: ClientConnection, delay_s: float, data: bytes) -> None:
        async def send() -> None:
            try:
                await asyncio.sleep(delay_s)
                await _send(socket, data)
            except ConnectionClosed:
                log.debug("delayed frame lost", extra={"station_id": self.station.settings.id})
            finally:
                self._held_back.discard(task)

        task = asyncio.get_running_loop().create_task(send())
        self._held_back.add(task)

    def _tick(self) -> None:
        now = self._clock.now()
        self.station.advance(now)
        for driver in self.drivers:
            driver.advance(self.station, now)

    async def _wait(self, real_s: float) -> None:
        """Live on without a socket."""
        deadline = time.monotonic() + real_s
        while (left_s := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(_TICK_S, left_s))
            self._tick()

    def _hang_up(self) -> None:
        for task in self._held_back:
            task.cancel()
        if self.station.online:
            self.station.disconnected(self._clock.now())

    def _offline_due(self) -> bool:
        return self._settings.offline is not None and self._clock.elapsed_s() >= self._offline_at_s

    def _back_off_s(self) -> float:
        """Return the wait before the next attempt in real seconds (2.0.1 part 4, 5.3 and 8.1-8.3)."""
        variables = self.station.variables
        doublings = min(self._failures, variables.number(names.REPEAT_TIMES))
        self._failures += 1
        wait_s: float = variables.number(names.WAIT_MINIMUM) * 2**doublings
        return wait_s + self._random.uniform(0, variables.number(names.RANDOM_RANGE))

    def _note(self, error: Exception) -> None:
        if self.station.online:
            self.problem = f"connection lost: {error}"
        else:
            self.problem = _explain(error)
        log.info("station offline", extra={"station_id": self.station.settings.id, "problem": self.problem})


async def _send(socket: ClientConnection, data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        await socket.send(data)
    else:
        await socket.send(text)


def _resume_reading(socket: ClientConnection) -> None:
    if not socket.transport.is_closing():
        socket.transport.resume_reading()


def _explain(error: Exception) -> str:
    """Say what a failed attempt means to the user."""
    if isinstance(error, InvalidStatus):
        hints = {
            400: "the CSMS refused the handshake, perhaps it does not speak this OCPP version",
            401: "the password is wrong or missing (--password)",
            403: "the CSMS refuses this station",
            404: "the CSMS does not know this station id, or the path in --to is wrong",
            503: "the CSMS is busy",
        }
        status = error.response.status_code
        return f"HTTP {status}: {hints.get(status, 'the CSMS refused the WebSocket')}"
    if isinstance(error, TimeoutError):
        return "no answer to the connection attempt in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    return str(error) or type(error).__name__
