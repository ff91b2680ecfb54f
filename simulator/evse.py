"""One EVSE with one connector: cable, car, meter, power. Physics alone.

Must not know: messages, queues, profiles (it is told its limit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from simulator.battery import Battery
from simulator.facts import IdToken, Sample, Transaction
from simulator.profiles import ChargingProfile, Feed

_MIN_A = 6.0
"""Below this current per phase an AC car may not charge (IEC 61851-1)."""


@dataclass
class Car:
    """A car on the cable; `phases` it can use when charging with AC."""

    battery: Battery = field(default_factory=Battery)
    phases: int = 3


@dataclass
class Evse:
    """State of one EVSE; `authorized` is a token that may charge, `pending` one the CSMS is being asked about."""

    id: int
    feed: Feed
    dc: bool = False
    car: Car | None = None
    authorized: IdToken | None = None
    authorized_at: datetime | None = None
    authorized_by: str = "Authorized"
    pending: IdToken | None = None
    remote_start_id: int | None = None
    remote_profile: ChargingProfile | None = None
    transaction: Transaction | None = None
    operative: bool = True
    wanted_operative: bool = True
    finished: bool = False
    meter_wh: float = 0.0
    power_w: float = 0.0

    def usable_feed(self) -> Feed:
        """Return the feed, no wider than the phases of the car on it."""
        if self.dc or self.car is None or self.car.phases >= self.feed.phases:
            return self.feed
        return Feed(self.feed.volts, self.car.phases, self.feed.max_a)

    def advance(self, dt_s: float, limit_w: float) -> str | None:
        """Charge for `dt_s` under `limit_w`; return the charging state that results, None without a transaction."""
        self.power_w = 0.0
        if self.transaction is None or self.car is None:
            return None
        if self.car.battery.accepts_w(dc=self.dc) <= 0.0:
            return "SuspendedEV"
        if limit_w < self.min_w() or limit_w <= 0.0:
            return "SuspendedEVSE"
        drawn_wh = self.car.battery.advance(dt_s, limit_w, dc=self.dc)
        self.meter_wh += drawn_wh
        if dt_s > 0.0:
            self.power_w = drawn_wh * 3600.0 / dt_s
        return "Charging"

    def min_w(self) -> float:
        """Return the least limit with which a car still charges."""
        return 0.0 if self.dc else _MIN_A * self.feed.volts

    def sample(self, at: datetime, context: str) -> Sample:
        """Read the meter."""
        feed = self.usable_feed()
        return Sample(
            at=at,
            context=context,
            energy_wh=self.meter_wh,
            power_w=self.power_w,
            current_a=self.power_w / (feed.volts * feed.phases),
            voltage_v=feed.volts,
            phases=feed.phases,
            # Over AC a car does not tell its state of charge to the station before ISO 15118; simulated ones do.
            soc_percent=self.car.battery.soc * 100.0 if self.car is not None else None,
        )
