"""Many virtual stations in one process: builds them, runs them, sums up.

Must not know: messages. For thousands of stations that only make load see lean.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from simulator.charging import StationSettings
from simulator.client import ClientSettings, SimulatedClock, StationClient
from simulator.dialect import Dialect
from simulator.dialect16 import Dialect16
from simulator.dialect201 import Dialect201
from simulator.driver import SCENARIOS, Driver, Phase
from simulator.facts import IdToken
from simulator.faults import FaultRule, Faults
from simulator.profiles import Feed
from simulator.station import VirtualStation

VERSIONS: Final = ("2.0.1", "1.6", "mixed")
_FIRST_CONNECTION_S: Final = 15.0
_CALL_TIMEOUT_S: Final = 30.0
_AC: Final = Feed(volts=230.0, phases=3, max_a=32.0)
_DC: Final = Feed(volts=400.0, phases=1, max_a=375.0)


class NoConnection(Exception):
    """Not one station could connect; the text says where to and why."""


@dataclass(frozen=True, kw_only=True)
class FleetSettings:
    """What to run; `seconds` (real) ends the run, None lets it go on until the drivers are done or for ever.

    `dc_share` of the stations are fast chargers, `offline` is (every, for) in simulated seconds, `start` is when the
    simulated clock begins (None: now), `start_spread_s` (real) spreads the first connections.
    """

    to: str
    stations: int = 20
    version: str = "2.0.1"
    id_pattern: str = "SIM-%04d"
    card_pattern: str = "CARD-%04d"
    password: str | None = None
    tls: ssl.SSLContext | None = None
    scenario: str = "repeat"
    speed: float = 1.0
    seconds: float | None = None
    evses: int = 1
    dc_share: float = 0.25
    sample_interval_s: int = 60
    offline: tuple[float, float] | None = None
    faults: tuple[FaultRule, ...] = ()
    start: datetime | None = None
    start_spread_s: float = 2.0
    seed: int = 1


@dataclass(frozen=True)
class FleetProgress:
    """The fleet at one instant; powers in kW, energy in kWh since the start."""

    stations: int
    connected: int
    registered: int
    charging: int
    power_kw: float
    energy_kwh: float
    sessions: int
    turned_away: int
    answered: int
    errors: int
    timeouts: int
    discarded: int
    queued: int
    problem: str

    def line(self) -> str:
        """Say it in one line."""
        text = (
            f"{self.connected}/{self.stations} connected, {self.charging} charging, {self.power_kw:.1f} kW, "
            f"{self.energy_kwh:.2f} kWh, {self.sessions} sessions, {self.answered} messages answered, "
            f"{self.errors} errors, {self.timeouts} timeouts"
        )
        return f"{text}, {self.queued} queued" if self.queued else text


class Fleet:
    """N stations with their drivers; `run` lives on the running event loop."""

    def __init__(self, settings: FleetSettings) -> None:
        """Build the stations; raises ValueError for settings that cannot be."""
        _check(settings)
        self.settings = settings
        self.clock = SimulatedClock(settings.speed, settings.start)
        self.clients = [self._client(n) for n in range(1, settings.stations + 1)]

    async def run(self, on_progress: Callable[[FleetProgress], None] = lambda _: None) -> FleetProgress:
        """Run until the time is over or every driver is done; return the last progress.

        Raises NoConnection when nobody got through within the first seconds.
        """
        loop = asyncio.get_running_loop()
        begin = loop.time()
        tasks = [asyncio.create_task(self._run_one(n, client)) for n, client in enumerate(self.clients)]
        try:
            while True:
                await asyncio.wait(tasks, timeout=1.0, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    if task.done():
                        task.result()
                progress, elapsed_s = self.progress(), loop.time() - begin
                on_progress(progress)
                if not any(client.connections for client in self.clients) and elapsed_s > _FIRST_CONNECTION_S:
                    raise NoConnection(self._no_connection())
                if self.settings.seconds is not None and elapsed_s >= self.settings.seconds:
                    return progress
                if self.settings.seconds is None and self._all_done():
                    return progress
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)

    def progress(self) -> FleetProgress:
        """Sum up the present state."""
        stations = [client.station for client in self.clients]
        evses = [evse for station in stations for evse in station.charging.evses.values()]
        drivers = [driver for client in self.clients for driver in client.drivers]
        problems = [client.problem or client.station.last_problem for client in self.clients]
        return FleetProgress(
            stations=len(stations),
            connected=sum(station.online for station in stations),
            registered=sum(station.registered for station in stations),
            charging=sum(evse.power_w > 0.0 for evse in evses),
            power_kw=sum(evse.power_w for evse in evses) / 1000.0,
            energy_kwh=sum(evse.meter_wh for evse in evses) / 1000.0,
            sessions=sum(driver.sessions for driver in drivers),
            turned_away=sum(driver.turned_away for driver in drivers),
            answered=sum(station.answered for station in stations),
            errors=sum(station.errors for station in stations),
            timeouts=sum(station.timeouts for station in stations),
            discarded=sum(station.outbox.discarded for station in stations),
            queued=sum(station.outbox.transactional for station in stations),
            problem=next((problem for problem in problems if problem), ""),
        )

    async def _run_one(self, number: int, client: StationClient) -> None:
        await asyncio.sleep(number / len(self.clients) * self.settings.start_spread_s)
        await client.run()

    def _client(self, number: int) -> StationClient:
        settings, now = self.settings, self.clock.now()
        dialect: Dialect = Dialect16() if _speaks_16(settings.version, number) else Dialect201()
        dc = number <= round(settings.stations * settings.dc_share)
        station = VirtualStation(
            StationSettings(
                id=_filled(settings.id_pattern, number),
                model="Virtual DC" if dc else "Virtual AC",
                evses=settings.evses,
                dc=dc,
                feed=_DC if dc else _AC,
                # Time-outs are about the network, so they stay real when the station's time runs faster.
                call_timeout_s=_CALL_TIMEOUT_S * settings.speed,
                sample_interval_s=settings.sample_interval_s,
            ),
            dialect,
            now,
            lambda: str(uuid.uuid4()),
        )
        seed = f"{settings.seed}/{number}"
        card = IdToken(_filled(settings.card_pattern, number))
        scenario = SCENARIOS[settings.scenario]
        drivers = tuple(Driver(scenario, n, card, now, f"{seed}/{n}") for n in range(1, settings.evses + 1))
        wire = ClientSettings(to=settings.to, password=settings.password, tls=settings.tls, offline=settings.offline)
        return StationClient(
            station, wire, self.clock, drivers=drivers, faults=Faults(settings.faults, seed), seed=seed
        )

    def _all_done(self) -> bool:
        """Tell whether every driver has left for good and everything about it was delivered."""
        if not SCENARIOS[self.settings.scenario].plugs_in:
            return False
        return all(
            client.station.outbox.transactional == 0 and all(driver.phase is Phase.DONE for driver in client.drivers)
            for client in self.clients
        )

    def _no_connection(self) -> str:
        problem = next((client.problem for client in self.clients if client.problem), "no answer")
        return (
            f"no station could connect to {self.settings.to}: {problem}\n"
            "Check that the CSMS runs, that host, port and path are right (the station id is added to the path), "
            "that it accepts these station ids, and the password if it asks for one."
        )


def _speaks_16(version: str, number: int) -> bool:
    return version == "1.6" or (version == "mixed" and number % 2 == 0)


def _check(settings: FleetSettings) -> None:
    url = urlsplit(settings.to)
    if url.scheme not in ("ws", "wss") or not url.hostname:
        raise ValueError(f"the address must look like ws://host:9000/ocpp, not {settings.to!r}")
    if settings.version not in VERSIONS:
        raise ValueError(f"unknown version {settings.version!r}; there are {', '.join(VERSIONS)}")
    if settings.scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {settings.scenario!r}; there are {', '.join(SCENARIOS)}")
    if settings.stations < 1 or settings.evses < 1 or settings.speed <= 0:
        raise ValueError("stations, evses and speed must be above 0")
    for pattern in (settings.id_pattern, settings.card_pattern):
        try:
            numbered = _filled(pattern, 1) != _filled(pattern, 2)
        except (TypeError, ValueError):
            raise ValueError(f"the pattern {pattern!r} may hold one number, e.g. SIM-%04d") from None
        if not numbered and settings.stations > 1:
            raise ValueError(f"the pattern {pattern!r} needs one number for several stations, e.g. SIM-%04d")


def _filled(pattern: str, number: int) -> str:
    return pattern % number if "%" in pattern else pattern
