"""What the people at a station do: come, plug in, show a card, wait, leave. A state machine with the clock outside.

Must not know: messages, sockets.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from simulator.battery import Battery
from simulator.evse import Car
from simulator.facts import IdToken
from simulator.station import VirtualStation

_PATIENCE: Final = timedelta(seconds=90)
_CAPACITIES_WH: Final = (42_000.0, 58_000.0, 64_000.0, 77_000.0, 82_000.0)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How drivers behave; ranges are (least, most) seconds or state of charge."""

    description: str
    arrive_after_s: tuple[float, float] = (5.0, 60.0)
    arrives_with_soc: tuple[float, float] = (0.1, 0.6)
    leaves_at_soc: tuple[float, float] = (0.8, 1.0)
    stays_s: tuple[float, float] = (1200.0, 14_400.0)
    pause_s: tuple[float, float] = (300.0, 3600.0)
    plugs_in: bool = True
    shows_card: bool = True
    repeats: bool = True


SCENARIOS: Final = {
    "repeat": Scenario(description="cars come and go all day, one after another at every EVSE"),
    "once": Scenario(description="one car per EVSE charges and leaves, then the run ends", repeats=False),
    "plugged": Scenario(
        description="a car is plugged in at every EVSE and waits to be started remotely",
        shows_card=False,
        stays_s=(86_400.0, 86_400.0),
    ),
    "idle": Scenario(description="nobody comes; stations are online and send heartbeats", plugs_in=False),
}


class Phase(StrEnum):
    """Where a driver is."""

    AWAY = "away"
    PLUGGED = "plugged"
    WAITING = "waiting"
    CHARGING = "charging"
    LEAVING = "leaving"
    DONE = "done"


class Driver:
    """The visitors of one EVSE, one after another; `id_token` is the card they share."""

    def __init__(self, scenario: Scenario, evse_id: int, id_token: IdToken, now: datetime, seed: int | str) -> None:
        self.phase = Phase.AWAY if scenario.plugs_in else Phase.DONE
        self.sessions = self.turned_away = 0
        self._scenario = scenario
        self._evse_id = evse_id
        self._id_token = id_token
        self._random = random.Random(seed)
        self._wake_at = now + self._draw(scenario.arrive_after_s)
        self._leave_at = now
        self._leave_soc = 1.0

    def advance(self, station: VirtualStation, now: datetime) -> None:
        """Do what is due at `now`; one step at a time, so call it often."""
        evse = station.charging.evses[self._evse_id]
        charging = evse.transaction is not None
        match self.phase:
            case Phase.AWAY if now >= self._wake_at and evse.operative:
                self._arrive(station, now)
            case Phase.PLUGGED | Phase.WAITING if charging:
                self.phase = Phase.CHARGING
            case Phase.PLUGGED if self._scenario.shows_card and now >= self._wake_at:
                station.present_token(self._evse_id, self._id_token, now)
                self.phase, self._wake_at = Phase.WAITING, now + _PATIENCE
            case Phase.WAITING if now >= self._wake_at and evse.pending is None:
                self.turned_away += 1
                self.phase = Phase.LEAVING
            case Phase.CHARGING if not charging:
                self.phase, self._wake_at = Phase.LEAVING, now + self._draw((10.0, 60.0))
            case Phase.CHARGING if now >= self._leave_at or self._full_enough(station):
                # Half of the drivers stop with their card, half just pull the cable.
                if self._random.random() < 0.5:
                    station.present_token(self._evse_id, self._id_token, now)
                self.phase, self._wake_at = Phase.LEAVING, now + self._draw((10.0, 60.0))
            case Phase.LEAVING if now >= self._wake_at:
                self._leave(station, now)

    def _arrive(self, station: VirtualStation, now: datetime) -> None:
        scenario = self._scenario
        battery = Battery(
            capacity_wh=self._random.choice(_CAPACITIES_WH),
            soc=self._random.uniform(*scenario.arrives_with_soc),
            ac_max_w=self._random.choice((7_400.0, 11_000.0, 22_000.0)),
            dc_max_w=self._random.choice((100_000.0, 150_000.0, 220_000.0)),
        )
        self._leave_soc = self._random.uniform(*scenario.leaves_at_soc)
        self._leave_at = now + self._draw(scenario.stays_s)
        station.plug_in(self._evse_id, Car(battery, phases=1 if battery.ac_max_w < 10_000.0 else 3), now)
        self.phase, self._wake_at = Phase.PLUGGED, now + self._draw((3.0, 20.0))

    def _full_enough(self, station: VirtualStation) -> bool:
        car = station.charging.evses[self._evse_id].car
        return car is None or car.battery.soc >= self._leave_soc

    def _leave(self, station: VirtualStation, now: datetime) -> None:
        station.unplug(self._evse_id, now)
        self.sessions += 1
        self.phase = Phase.AWAY if self._scenario.repeats else Phase.DONE
        self._wake_at = now + self._draw(self._scenario.pause_s)

    def _draw(self, seconds: tuple[float, float]) -> timedelta:
        return timedelta(seconds=self._random.uniform(*seconds))
