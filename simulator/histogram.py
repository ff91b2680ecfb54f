"""Latencies in constant memory: logarithmic buckets 2 % wide.

Must not know: what is being measured.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

_WIDTH: Final = 0.02
_SMALLEST_S: Final = 1e-6
_BUCKETS: Final = 1100  # 1 us x exp(1100 x 0.02) is about an hour


class Histogram:
    """Counts of durations, readable as percentiles to about 2 %."""

    __slots__ = ("count", "counts", "max_s")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.count = 0
        self.max_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        index = int(log(duration_s / _SMALLEST_S) / _WIDTH) if duration_s > _SMALLEST_S else 0
        self.counts[min(index, _BUCKETS - 1)] += 1
        self.count += 1
        if duration_s > self.max_s:
            self.max_s = duration_s

    def percentile_s(self, share: float) -> float:
        """Return the duration that `share` (0..1) of the durations do not exceed, 0.0 when nothing was counted."""
        rank, seen = share * self.count, 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return float(min(_SMALLEST_S * exp((index + 1) * _WIDTH), self.max_s))
        return 0.0
