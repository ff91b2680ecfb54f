"""One station and its fake CSMS on a clock that only the test moves."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from actors.ocpp.frames import Json, OcppVersion
from simulator.battery import Battery
from simulator.charging import StationSettings
from simulator.dialect16 import Dialect16
from simulator.dialect201 import Dialect201
from simulator.driver import Driver
from simulator.evse import Car, Evse
from simulator.facts import IdToken
from simulator.station import Restart, VirtualStation
from tests.simulator.csms import FakeCsms

BEGIN = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
CARD = IdToken("CARD-1")


class World:
    def __init__(self, version: OcppVersion, *, evses: int = 1, dc: bool = False) -> None:
        ids = (f"id-{n}" for n in itertools.count(1))
        dialect = Dialect16() if version is OcppVersion.V16 else Dialect201()
        self.now = BEGIN
        settings = StationSettings(id="CP-1", evses=evses, dc=dc)
        self.station = VirtualStation(settings, dialect, self.now, lambda: next(ids))
        self.csms = FakeCsms(version)

    @property
    def evse(self) -> Evse:
        return self.station.charging.evses[1]

    def connect(self) -> None:
        self.csms.reconnect()
        self.station.connected(self.now)
        self.exchange()

    def disconnect(self) -> None:
        self.station.disconnected(self.now)

    def exchange(self) -> None:
        """Carry frames both ways until both are silent; reboot when the station wants to."""
        while frames := self.station.take_frames():
            for frame in frames:
                for answer in self.csms.receive(frame, self.now):
                    self.station.receive(answer, self.now)
        if self.station.restart is Restart.REBOOT:
            self.disconnect()
            self.station.rebooted("RemoteReset", self.now)
            self.connect()

    def order(self, action: str, payload: Json) -> Json:
        """Give an order and return the answer."""
        self.station.receive(self.csms.order(action, payload, self.now), self.now)
        count = len(self.csms.answers)
        self.exchange()
        return self.csms.answers[count]

    def wait(self, seconds: float, *drivers: Driver, step_s: float = 15.0) -> None:
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(end, self.now + timedelta(seconds=step_s))
            self.station.advance(self.now)
            self.exchange()
            for driver in drivers:
                driver.advance(self.station, self.now)
            self.exchange()

    def plug_in(self, battery: Battery | None = None, evse_id: int = 1) -> Battery:
        battery = battery or Battery(soc=0.3)
        self.station.plug_in(evse_id, Car(battery), self.now)
        self.exchange()
        return battery

    def show_card(self, card: IdToken = CARD) -> None:
        self.station.present_token(1, card, self.now)
        self.exchange()

    def unplug(self) -> None:
        self.station.unplug(1, self.now)
        self.exchange()

    def charge(self) -> None:
        """Connect, plug in and authorize."""
        self.connect()
        self.plug_in()
        self.show_card()
        assert self.evse.transaction is not None
