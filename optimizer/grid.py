"""The time grid of a plan: slots one after the other, of any length.

Slots are counted in UTC, so a day has 92, 96 or 100 quarter hours, and the first slot is as short as what is left of
the running one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from optimizer.errors import InvalidProblem

QUARTER_S: Final = 900

Floats = NDArray[np.float64]


class Grid(msgspec.Struct, frozen=True, dict=True):
    """Slots from `start` on, each so many seconds long."""

    start: datetime
    lengths_s: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise InvalidProblem("the start of the grid has no time zone")
        if not self.lengths_s or min(self.lengths_s) <= 0:
            raise InvalidProblem("a grid needs slots, and each takes time")

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self.lengths_s)

    @property
    def end(self) -> datetime:
        """When the last slot ends."""
        return self.edges[-1]

    @cached_property
    def edges(self) -> tuple[datetime, ...]:
        """Return where the slots begin, in UTC, and where the last one ends."""
        return tuple(self.start.astimezone(UTC) + timedelta(seconds=int(s)) for s in self.edges_s)

    @cached_property
    def edges_s(self) -> Floats:
        """Return the edges in seconds from the start."""
        return np.concatenate(([0.0], np.cumsum(np.array(self.lengths_s, dtype=np.float64))))

    @cached_property
    def hours(self) -> Floats:
        """Return the length of each slot in hours."""
        return np.array(self.lengths_s, dtype=np.float64) / 3600.0

    def seconds(self, at: datetime) -> float:
        """Return how long after the start a moment is."""
        if at.tzinfo is None:
            raise InvalidProblem(f"{at} has no time zone")
        return (at - self.start).total_seconds()

    def hours_within(self, begin: datetime | None, end: datetime | None) -> Floats:
        """Return how many hours of each slot lie between two moments; None is the edge of the grid."""
        begin_s = self.edges_s[0] if begin is None else self.seconds(begin)
        end_s = self.edges_s[-1] if end is None else self.seconds(end)
        inside = np.minimum(self.edges_s[1:], end_s) - np.maximum(self.edges_s[:-1], begin_s)
        within: Floats = np.maximum(inside, 0.0) / 3600.0
        return within


def make_grid(now: datetime, until: datetime, slot_s: int = QUARTER_S) -> Grid:
    """Return slots on the multiples of `slot_s` in UTC; the first begins now, the last ends at `until`.

    Fractions of a second are cut off both.
    """
    begin, end = int(now.timestamp()), int(until.timestamp())
    if end <= begin:
        raise InvalidProblem("a grid ends after it begins")
    inner = range((begin // slot_s + 1) * slot_s, end, slot_s)
    edges = [begin, *inner, end]
    return Grid(datetime.fromtimestamp(begin, UTC), tuple(late - early for early, late in pairwise(edges)))


def day_grid(day: date, zone: str, slot_s: int = QUARTER_S) -> Grid:
    """Return the slots of a local day, which has 23, 24 or 25 hours."""
    midnight, next_midnight = (
        datetime.combine(each, time(), ZoneInfo(zone)).astimezone(UTC) for each in (day, day + timedelta(days=1))
    )
    return make_grid(midnight, next_midnight, slot_s)


def check_series(name: str, series: Sequence[float] | None, grid: Grid) -> None:
    """Raise unless a series has a value for each slot."""
    if series is not None and len(series) != grid.slots:
        raise InvalidProblem(f"{name} has {len(series)} values for {grid.slots} slots")
