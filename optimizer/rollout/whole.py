"""A solver's whole solution as a plan: images go to cells in the order in which their stations install."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from optimizer.rollout.costs import cost_of
from optimizer.rollout.linear import Flows, Solution
from optimizer.rollout.plan import Batch, Fetch, Plan
from optimizer.rollout.terms import DownloadClass, Terms

Ints = NDArray[np.int64]


def taken(terms: Terms, solution: Solution) -> Plan:
    """Return the plan of a solution in which all is whole."""
    cells = terms.rollout.cells
    installs = np.rint(solution.installs).astype(np.int64)
    fetches = [
        fetch
        for each, flows in zip(terms.classes, solution.flows, strict=True)
        for fetch in _fetches(terms, each, flows, installs)
    ]
    used = {cells[terms.index[fetch.cell]].traits.controller for fetch in fetches if fetch.from_controller}
    left = terms.count - installs.sum(axis=1)
    plan = Plan(
        installs=tuple(Batch(cells[g].name, int(t), int(installs[g, t])) for g, t in np.argwhere(installs > 0)),
        fetches=tuple(fetches),
        publishes={
            name: int(np.argmax(shares))
            for name, shares in solution.publishes.items()
            if name in used and np.max(shares) > 0.5
        },
        left_over={cell.name: int(left[g]) for g, cell in enumerate(cells) if left[g]},
        method="mip",
        bound=solution.bound,
    )
    return msgspec.structs.replace(plan, cost=cost_of(terms.rollout, plan, terms.costs))


def _fetches(terms: Terms, each: DownloadClass, flows: Flows, installs: Ints) -> Iterator[Fetch]:
    images = _images(flows)
    had = sum(terms.rollout.cells[cell].downloaded for cell in each.cells)
    booked: Counter[tuple[str, int, bool]] = Counter()
    for slot in range(terms.slots):
        for cell in each.cells:
            for _ in range(int(installs[cell, slot])):
                if had:
                    had -= 1
                    continue
                at, from_controller = next(images)
                booked[terms.rollout.cells[cell].name, at, from_controller] += 1
    for (name, at, from_controller), count in sorted(booked.items()):
        yield Fetch(name, at, count, from_controller)


def _images(flows: Flows) -> Iterator[tuple[int, bool]]:
    """Yield the images in the order in which they come, each with its way."""
    for slot, (by_wan, from_controller) in enumerate(zip(flows.by_wan, flows.from_controller, strict=True)):
        yield from ((slot, True) for _ in range(round(from_controller)))
        yield from ((slot, False) for _ in range(round(by_wan)))
