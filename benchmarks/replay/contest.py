"""All policies on the same sessions: what each delivers, at which peak and cost, and how far ours is from the optimum."""

from __future__ import annotations

from pathlib import Path

from benchmarks.replay import data as public
from benchmarks.replay import published
from benchmarks.rows import Rows


def measure(data: Path) -> Rows:
    """Replay all data sets; raises FileNotFoundError when one of their files is not there."""
    if missing := public.missing(data):
        raise FileNotFoundError(f"not in {data}: {', '.join(missing)}")
    return published.measure(data)
