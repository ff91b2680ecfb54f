"""Load from thousands of lean stations in one process: `python -m simulator.lean`.

By default the loop is closed: a station's next event leaves when its last is answered. Intervals make idle fleets
instead. For stations with a car and a will of their own see station.py and fleet.py.

Must not know: charging profiles, batteries, the ordinary client.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from simulator.histogram import Histogram
from simulator.leanstation import LeanStation, Plan

_PORTS_PER_SOURCE: Final = 25_000
_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""From linux/in.h; Python's socket module has no name for it."""


class LeanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to run.

    `sample_s` 0 is the closed loop; otherwise every charging station reports each `sample_s` seconds. `heartbeat_s` 0
    sends no heartbeats. `sources` are local addresses to connect from, in turn: one address has about 28,000 ports.
    """

    to: str
    stations: int = 100
    seconds: float = 15.0
    id_pattern: str = "LEAN-%05d"
    password: str | None = None
    charging_share: float = 1.0
    sample_s: float = 0.0
    heartbeat_s: float = 0.0
    connect_rate: float = 1000.0
    connect_timeout_s: float = 120.0
    together: bool = False
    """Measure, and leave, each when a line comes on standard input: so that several processes do it at once."""
    reconnect_s: tuple[float, float] = (1.0, 3.0)
    """How long a station waits before it comes back: anything between."""
    sources: tuple[str, ...] = ()


class LeanResult(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in the measured window; `ready` and `ready_seconds` are of before, `connected` of its end."""

    stations: int
    ready: int
    connected: int
    answered: int
    errors: int
    disconnects: int
    seconds: float
    events_per_s: float
    latency_p50_s: float
    latency_p99_s: float
    latency_max_s: float
    cpu_seconds: float
    cpu_us_per_event: float
    ready_seconds: float
    last_problem: str


class Load:
    """One run: connects, boots, measures, leaves."""

    def __init__(self, settings: LeanSettings) -> None:
        self.settings = settings
        url = urlsplit(settings.to.rstrip("/"))
        if url.scheme not in ("ws", "wss") or not url.hostname:
            raise ValueError(f"the address must look like ws://host:9000/ocpp, not {settings.to!r}")
        self._host, self._tls = url.hostname, url.scheme == "wss"
        self._port = url.port or (443 if self._tls else 80)
        self.plan = Plan(
            url,
            password=settings.password,
            sample_s=settings.sample_s,
            heartbeat_s=settings.heartbeat_s,
            reconnect=lambda station: self._start(self._reconnect(station)),
            on_ready=self._on_ready,
        )
        charging = round(settings.stations * settings.charging_share)
        self.stations = [
            LeanStation(self.plan, n, settings.id_pattern % n, charging=n < charging) for n in range(settings.stations)
        ]
        self._sources = settings.sources or _loopback_sources(self._host, settings.stations)
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_ready = asyncio.Event()

    async def run(self, progress: Callable[[str], None] = lambda _: None) -> LeanResult:
        """Connect and boot every station, then measure for `seconds`.

        Raises ConnectionError when no station at all got ready within `connect_timeout_s`.
        """
        settings, plan = self.settings, self.plan
        begin = time.perf_counter()
        await self.connect()
        if plan.ready < settings.stations:
            progress(f"only {plan.ready} of {settings.stations} stations are ready; measuring these")
        ready_seconds = time.perf_counter() - begin
        gc.freeze()  # looking at all stations for garbage would delay their messages
        progress(f"{plan.ready} stations ready after {ready_seconds:.1f} s")
        await self._told()
        progress(f"measuring for {settings.seconds:g} s")
        plan.latencies, plan.answered, plan.errors, plan.disconnects = Histogram(), 0, 0, 0
        cpu, begin = time.process_time(), time.perf_counter()
        await asyncio.sleep(settings.seconds)
        result = self._result(time.perf_counter() - begin, time.process_time() - cpu, ready_seconds)
        progress("measured")
        await self._told()
        await self.stop()
        return result

    async def _told(self) -> None:
        if self.settings.together:
            await asyncio.to_thread(sys.stdin.readline)

    async def connect(self) -> None:
        """Connect and boot every station, or as many as get ready in time; they report from then on.

        Raises ConnectionError when no station at all got ready within `connect_timeout_s`.
        """
        self._start(self._ramp())
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                await self._all_ready.wait()
        except TimeoutError:
            if not self.plan.ready:
                problem = self.plan.last_problem or f"no station got ready at {self.settings.to}"
                raise ConnectionError(problem) from None

    async def stop(self) -> None:
        """Disconnect every station."""
        self.plan.running = False
        for task in self._tasks:
            task.cancel()
        for station in self.stations:
            station.close()
        await asyncio.sleep(0)

    def _on_ready(self) -> None:
        if self.plan.ready == len(self.stations):
            self._all_ready.set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ramp(self) -> None:
        begin = time.perf_counter()
        for n, station in enumerate(self.stations):
            ahead_s = n / self.settings.connect_rate - (time.perf_counter() - begin)
            if ahead_s > 0.01:
                await asyncio.sleep(ahead_s)
            self._start(self._connect(station))

    async def _connect(self, station: LeanStation) -> None:
        loop, tls = asyncio.get_running_loop(), True if self._tls else None
        try:
            if not self._sources:
                await loop.create_connection(lambda: station, self._host, self._port, ssl=tls)
                return
            bound = _bound(self._sources[station.number % len(self._sources)])
            await loop.sock_connect(bound, (self._host, self._port))
            name = self._host if tls else None
            await loop.create_connection(lambda: station, sock=bound, ssl=tls, server_hostname=name)
        except OSError as error:
            self.plan.last_problem = f"cannot connect to {self._host}:{self._port}: {error}"
            self._start(self._reconnect(station))

    async def _reconnect(self, station: LeanStation) -> None:
        await asyncio.sleep(random.uniform(*self.settings.reconnect_s))
        if self.plan.running:
            await self._connect(station)

    def _result(self, seconds: float, cpu_seconds: float, ready_seconds: float) -> LeanResult:
        plan = self.plan
        return LeanResult(
            stations=len(self.stations),
            ready=plan.ready,
            connected=sum(station.admitted for station in self.stations),
            answered=plan.answered,
            errors=plan.errors,
            disconnects=plan.disconnects,
            seconds=round(seconds, 3),
            events_per_s=round(plan.answered / seconds, 1),
            latency_p50_s=round(plan.latencies.percentile_s(0.5), 6),
            latency_p99_s=round(plan.latencies.percentile_s(0.99), 6),
            latency_max_s=round(plan.latencies.max_s, 6),
            cpu_seconds=round(cpu_seconds, 3),
            cpu_us_per_event=round(cpu_seconds / plan.answered * 1e6, 1) if plan.answered else 0.0,
            ready_seconds=round(ready_seconds, 3),
            last_problem=plan.last_problem,
        )


def _bound(source: str) -> socket.socket:
    """Return a socket that will connect from `source`.

    The kernel chooses the port when it knows the other end: choosing it before takes ever longer, the more are in use.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setblocking(False)
    if sys.platform == "linux":
        bound.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    bound.bind((source, 0))
    return bound


def _loopback_sources(host: str, stations: int) -> tuple[str, ...]:
    """Spread more stations than one address has ports over 127.0.0.2, 127.0.0.3, ..."""
    if stations <= _PORTS_PER_SOURCE or host not in ("127.0.0.1", "localhost"):
        return ()
    return tuple(f"127.0.0.{n + 2}" for n in range(-(-stations // _PORTS_PER_SOURCE)))


def run_load(settings: LeanSettings, progress: Callable[[str], None] = lambda _: None) -> LeanResult:
    """Run one load to its end on a fresh event loop (uvloop where there is one)."""

    async def main() -> LeanResult:
        return await Load(settings).run(progress)

    if sys.platform == "win32":
        return asyncio.run(main())
    import uvloop

    return uvloop.run(main())


def summary(result: LeanResult) -> str:
    """Say a result in three lines."""
    return (
        f"{result.answered} answered, {result.errors} errors, {result.disconnects} disconnects"
        f" in {result.seconds:g} s = {result.events_per_s:g} events/s\n"
        f"latency p50 {result.latency_p50_s * 1e3:.1f} ms, p99 {result.latency_p99_s * 1e3:.1f} ms,"
        f" max {result.latency_max_s * 1e3:.1f} ms\n"
        f"own CPU {result.cpu_seconds:g} s, {result.cpu_us_per_event:g} us per event"
    )


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only a load run has."""
    lean = parser.add_argument_group("lean mode (load)")
    lean.add_argument("--json", action="store_true", help="print the result as one JSON object")
    lean.add_argument("--sample-s", type=float, default=0.0, help="report each N s instead of in a closed loop")
    lean.add_argument("--heartbeat-s", type=float, default=0.0, help="heartbeats of stations that do not charge")
    lean.add_argument("--charging-share", type=float, default=1.0, help="share of the stations that charge, 0..1")
    lean.add_argument("--connect-rate", type=float, default=1000.0, help="new connections a second (default 1000)")
    lean.add_argument("--connect-timeout-s", type=float, default=120.0, help="how long stations may take to get ready")
    lean.add_argument("--together", action="store_true", help="wait for a line on stdin to measure, and one to leave")
    lean.add_argument("--source", action="append", default=[], help="local address to connect from; repeatable")


def settings_from(args: argparse.Namespace, *, id_pattern: str) -> LeanSettings:
    """Read LeanSettings from parsed arguments."""
    return LeanSettings(
        to=args.to,
        stations=args.stations,
        seconds=args.seconds or 15.0,
        id_pattern=id_pattern,
        password=args.password,
        charging_share=args.charging_share,
        sample_s=args.sample_s,
        heartbeat_s=args.heartbeat_s,
        connect_rate=args.connect_rate,
        connect_timeout_s=args.connect_timeout_s,
        together=args.together,
        sources=tuple(args.source),
    )


def run(args: argparse.Namespace, *, id_pattern: str) -> int:
    """Run a load as the arguments say; 0 when every station got ready and nothing failed."""
    try:
        result = run_load(settings_from(args, id_pattern=id_pattern), lambda line: print(line, file=sys.stderr))
    except (ConnectionError, ValueError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(result).decode() if args.json else summary(result))
    return 0 if result.ready == result.stations and not result.errors and not result.disconnects else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m simulator.lean`."""
    parser = argparse.ArgumentParser(prog="python -m simulator.lean", description="Load a CSMS with lean stations.")
    parser.add_argument("--to", required=True, help="address of the CSMS, e.g. ws://127.0.0.1:9000/ocpp")
    parser.add_argument("--stations", type=int, default=100, help="how many stations (default 100)")
    parser.add_argument("--id-pattern", default="LEAN-%05d", help="station ids (default LEAN-%%05d)")
    parser.add_argument("--password", help="Basic auth password of every station")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to measure (default 15)")
    add_load_arguments(parser)
    args = parser.parse_args(argv)
    return run(args, id_pattern=args.id_pattern)


if __name__ == "__main__":
    sys.exit(main())
