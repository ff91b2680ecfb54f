"""How soon a meter value is seen by who listens, and what a thousand listeners cost one API process."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.processes import Platform, platform
from benchmarks.rows import Rows, percentile, row
from simulator.lean import LeanSettings, Load

LISTENERS: Final = 1000
EVENTS_PER_S: Final = 100
SECONDS: Final = 30.0
SECONDS_OF_STREAMS: Final = 60.0
"""Six events of each station."""
STATIONS_OF_SOCKET: Final = 100
_PATH: Final = "/admin/v1/events"
_ENERGY: Final = re.compile(rb'"energyWh":([0-9.]+)')
_WH_PER_EVENT: Final = 3
"""How much a lean station's register grows between two events; event 0 has none."""
_FIRST_TOLD_APART: Final = 2
"""Events 0 and 1, a transaction's start and its first reading, both show 0 Wh; from this one on each shows its own."""
_ON_ITS_WAY_S: Final = 2.0


def measure(folder: Path) -> Rows:
    """Listen on one platform with one socket, then with a thousand streams."""
    with platform(folder) as running:
        with running.client() as client:
            token = client.headers["authorization"]
        return asyncio.run(_socket(running, token)) | asyncio.run(_streams(running, token))


async def _socket(running: Platform, token: str) -> Rows:
    """One socket hears all of 100 events/s; from the moment the host takes note, before it commits."""
    load = _load(running, STATIONS_OF_SOCKET, "HEARD")
    await load.connect()
    address = f"{running.api.replace('http', 'ws', 1)}{_PATH}?kind=TransactionUpdated"
    async with connect(address, additional_headers={"Authorization": token}, proxy=None) as socket:
        await _delays(socket, 2.0)  # the first ones find caches cold
        delays = await _delays(socket, SECONDS)
    await load.stop()
    return {
        "event_ws_p50_ms": row(percentile(delays, 0.5) * 1000, "ms", "<=50"),
        "event_ws_p99_ms": row(percentile(delays, 0.99) * 1000, "ms", "<=250"),
        "event_ws_per_s": row(len(delays) / SECONDS, "1/s"),
    }


async def _delays(socket: ClientConnection, seconds: float) -> list[float]:
    delays: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        message = await socket.recv()
        heard = time.time()
        event = json.loads(message)
        if event["type"] == "TransactionUpdated":
            delays.append(heard - datetime.fromisoformat(event["time"]).timestamp())
    return delays


async def _streams(running: Platform, token: str) -> Rows:
    """Each of a thousand streams hears one of a thousand stations; all that was answered must have been heard."""
    load = _load(running, LISTENERS, "OWN")
    await load.connect()
    replica = _replica(running, "admin")
    alone_mb = _mb(replica)
    listeners = {station.identity: Listener(station.identity, running.api, token) for station in load.stations}
    for listener in listeners.values():
        await listener.open()
    before = {station.identity: station.acknowledged for station in load.stations}
    cpu_s = _cpu_s(replica)
    await asyncio.sleep(SECONDS_OF_STREAMS)
    cpu_s, mb = _cpu_s(replica) - cpu_s, _mb(replica)
    after = {station.identity: station.acknowledged for station in load.stations}
    await load.stop()
    await asyncio.sleep(_ON_ITS_WAY_S)
    due = {name: owed(before[name], after[name]) for name in listeners}
    lost = sum(len(set(due[name]) - set(listener.heard)) for name, listener in listeners.items())
    told_again = sum(doubled(listener.heard, due[name]) for name, listener in listeners.items())
    for listener in listeners.values():
        listener.close()
    return {
        "sse_lost": row(lost, "count", "0"),
        "sse_doubled": row(told_again, "count", "0"),
        "sse_owed": row(sum(map(len, due.values())), "count"),
        "sse_cpu_percent": row(cpu_s / SECONDS_OF_STREAMS * 100, "%"),
        "sse_mb": row(mb, "MB"),
        "sse_kb_per_listener": row((mb - alone_mb) * 1024 / LISTENERS, "KB"),
    }


def owed(before: int, after: int) -> range:
    """Return which events a stream must bring that was open from the answer to `before` to that to `after`."""
    # What was answered next after the stream was open may have been committed before that.
    return range(max(before + 2, _FIRST_TOLD_APART), after + 1)


def doubled(heard: Sequence[int], due: range) -> int:
    """Count what was heard again of the events that were due."""
    numbers = [number for number in heard if number in due]
    return len(numbers) - len(set(numbers))


class Listener(asyncio.Protocol):
    """A stream of one station's transaction; `heard` are the numbers of its events, 1 for the first two."""

    def __init__(self, station_id: str, api: str, token: str) -> None:
        self.heard: list[int] = []
        self._url = urlsplit(api)
        query = f"station={station_id}&kind=TransactionUpdated"
        host = self._url.netloc
        self._request = f"GET {_PATH}?{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n".encode()
        self._rest = b""
        self._begun = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        """Listen; returns once the stream has begun."""
        host, port = self._url.netloc.split(":")
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, host, int(port))
        self._transport.write(self._request)
        async with asyncio.timeout(30):
            await self._begun.wait()

    def data_received(self, data: bytes) -> None:
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for each in frames:
            if b"retry:" in each:
                self._begun.set()
            elif (energy := _ENERGY.search(each)) is not None:
                self.heard.append(round(float(energy[1]) / _WH_PER_EVENT) + 1)

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.abort()


def _load(running: Platform, stations: int, name: str) -> Load:
    settings = LeanSettings(
        to=running.stations, stations=stations, sample_s=stations / EVENTS_PER_S, id_pattern=f"{name}-%05d"
    )
    return Load(settings)


def _replica(running: Platform, application: str) -> psutil.Process:
    """Return the process of an application."""

    def is_it(process: psutil.Process) -> bool:
        return any(f"ServeReplica:{application}:" in part for part in process.cmdline())

    (found,) = filter(is_it, psutil.Process(running.pid).children(recursive=True))
    return found


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _mb(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / 2**20
