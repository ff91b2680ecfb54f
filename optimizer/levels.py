"""From the powers of a plan to few whole levels that a charger can be told: cut to a grain, merged, reduced in number.

A level holds from its second to that of the next one. It counts grains, the least difference that a charger knows
(0.1 A, 1 W), and is cut off, never rounded up: whatever was within a limit still is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from math import ceil, floor
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from optimizer.errors import InvalidProblem
from optimizer.grid import Floats
from optimizer.plan import Segment

Ints = NDArray[np.int64]

_HAIR: Final = 1e-9
"""A product of floats may be this much below the whole number that it means."""

_MISSING: Final = 1e6
"""A grain-second less than planned counts like so many at the highest price: nothing is saved by charging less."""


class Level(msgspec.Struct, frozen=True):
    """From a second after the start on: so many grains at most."""

    start_s: int
    grains: int


def seconds_of(moments: Iterable[datetime], start: datetime, until_s: int) -> list[int]:
    """Return the whole seconds about some moments, with the first and the last: between them nothing changes."""
    edges = {0, until_s}
    for moment in moments:
        after = (moment - start).total_seconds()
        edges |= {second for second in (floor(after), ceil(after)) if 0 < second < until_s}
    return sorted(edges)


def levels_of(
    segments: Sequence[Segment], start: datetime, seconds: Sequence[int], grains_per_kw: float, least: int = 0
) -> tuple[Level, ...]:
    """Return a level for each stretch between two `seconds` from `start`; outside the segments nothing is allowed.

    A second in which the power changes has the lower one. Below `least` grains a car does not charge, so it is none.
    """
    spans = [
        ((each.start - start).total_seconds(), (each.end - start).total_seconds(), each.power_kw) for each in segments
    ]
    levels = []
    for since, before in pairwise(seconds):
        grains = floor(_least_power(spans, since, before) * grains_per_kw * (1 + _HAIR) + _HAIR)
        levels.append(Level(since, grains if grains >= least else 0))
    return tuple(levels)


def _least_power(spans: Sequence[tuple[float, float, float]], since: int, before: int) -> float:
    """Return the least power from one second to another: nothing, where they are not wholly covered."""
    inside = [span for span in spans if span[0] < before and span[1] > since]
    covered = sum(min(end, before) - max(begin, since) for begin, end, _ in inside)
    return min(power for _, _, power in inside) if covered >= before - since - _HAIR else 0.0


def merged(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Join neighbours of one level."""
    kept: list[Level] = []
    for level in levels:
        if not kept or kept[-1].grains != level.grains:
            kept.append(level)
    return tuple(kept)


def reduced(
    levels: Sequence[Level],
    until_s: int,
    most: int,
    prices: Sequence[float] | None = None,
    ceilings: Sequence[int] | None = None,
    least: int = 0,
) -> tuple[Level, ...]:
    """Return at most so many levels that deliver what was planned at the least extra cost.

    Nowhere above `ceilings` (by default the plan itself, so that what is joined takes the lower level and energy is
    missing); where these leave room what is joined is held higher, at the `price` of the levels it covers, and the
    car ends sooner. Levels are 0 or `least` at least. Exact: a shortest path over where levels begin.
    """
    if most < 1:
        raise InvalidProblem("a schedule has a level at least")
    if len(whole := merged(levels)) <= most:
        return whole
    plan = np.array([level.grains for level in levels], dtype=np.int64)
    roof = plan if ceilings is None else np.maximum(plan, np.array(ceilings, dtype=np.int64))
    price = np.zeros(len(plan)) if prices is None else np.array(prices, dtype=np.float64)
    starts = np.array([level.start_s for level in levels], dtype=np.int64)
    changes = np.any([np.diff(each, prepend=np.inf) != 0 for each in (plan.astype(float), roof, price)], axis=0)
    plan, roof, price, starts = plan[changes], roof[changes], price[changes], starts[changes]
    cost, grains = _joins(plan, roof, price, np.diff(starts, append=until_s).astype(np.float64), least)
    cuts = _cheapest_cuts(cost, most)
    return merged([Level(int(starts[since]), int(grains[since, before])) for since, before in cuts])


def _joins(plan: Ints, roof: Ints, price: Floats, seconds: Floats, least: int) -> tuple[Floats, Ints]:
    """Return for each stretch of levels the least cost of joining it, and the level with which it has that."""
    count = len(plan)
    cost = np.full((count, count + 1), np.inf)
    grains = np.zeros((count, count + 1), dtype=np.int64)
    missing = _MISSING * (1.0 + float(np.abs(price).max()))
    for since in range(count):
        highest = np.minimum.accumulate(roof[since:])
        for before in range(since + 1, count + 1):
            covered = slice(since, before)
            top = int(highest[before - since - 1])
            levels = np.unique(np.minimum(plan[covered], top))
            levels = np.unique(np.append(levels[(levels == 0) | (levels >= least)], [0, top if top >= least else 0]))
            more = levels[:, np.newaxis] - plan[covered][np.newaxis, :]
            extra = np.maximum(more, 0) * price[covered] + np.maximum(-more, 0) * missing
            costs = extra @ seconds[covered]
            best = int(np.argmin(costs))
            cost[since, before], grains[since, before] = costs[best], levels[best]
    return cost, grains


def _cheapest_cuts(cost: Floats, most: int) -> list[tuple[int, int]]:
    """Return the stretches, at most so many, that cover all levels at the least cost."""
    count = len(cost)
    best = np.full((most + 1, count + 1), np.inf)
    best[0, 0] = 0.0
    came = np.zeros((most + 1, count + 1), dtype=np.int64)
    for used in range(1, most + 1):
        sums = best[used - 1, :count, np.newaxis] + cost
        came[used], best[used] = np.argmin(sums, axis=0), np.min(sums, axis=0)
    used, before = int(np.argmin(best[:, count])), count
    cuts: list[tuple[int, int]] = []
    while before:
        since = int(came[used, before])
        cuts.append((since, before))
        used, before = used - 1, since
    return cuts[::-1]
