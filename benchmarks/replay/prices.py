"""What a kWh costs in each quarter hour of a replay, and how much of that is known at each moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.replay.sessions import Floats
from optimizer.prices import Tariff

QUARTER_S: Final = 900
DAY_QUARTERS: Final = 96


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by quarter hour from the start of the replay."""

    start: datetime
    per_kwh: Floats
    currency: str
    peak_per_kw: float = 0.0
    """For the highest mean of a quarter hour, once."""
    published_at: int | None = None
    """The local hour at which the next day's prices come out; None: all are known for ever."""
    zone: str = "UTC"

    def known_quarters(self, now_s: int) -> int:
        """Return for how many quarters from the start the price is known at a moment."""
        if self.published_at is None:
            return len(self.per_kwh)
        local = (self.start + timedelta(seconds=now_s)).astimezone(ZoneInfo(self.zone))
        days = 1 if local.hour < self.published_at else 2
        end = (local + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        return min(len(self.per_kwh), int((end - self.start).total_seconds()) // QUARTER_S)

    def as_seen(self, now_s: int) -> Floats:
        """Return the prices as somebody sees them at a moment: what is not out yet as on the last known day."""
        known = self.known_quarters(now_s)
        seen = self.per_kwh.copy()
        for begin in range(known, len(seen), DAY_QUARTERS):
            day = seen[begin : begin + DAY_QUARTERS]
            day[:] = seen[known - DAY_QUARTERS : known][: len(day)]
        return seen

    def cost(self, quarter_kwh: Floats) -> float:
        """Return what the energy of each quarter hour costs together."""
        return float(quarter_kwh @ self.per_kwh[: len(quarter_kwh)])


def by_tariff(tariff: Tariff, start: datetime, seconds: int) -> Prices:
    """Return the prices of a tariff that is known for ever."""
    quarters = -(-seconds // QUARTER_S)
    per_kwh = [tariff.price_at(start + timedelta(seconds=QUARTER_S * quarter)) for quarter in range(quarters)]
    return Prices(start, np.array(per_kwh), tariff.currency, tariff.peak_per_kw)
