"""A rollout as arrays, read by every way of planning: which slots a cell may use, and what is left of each limit.

Must not know how plans are made, and the checker must not know this.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import InvalidProblem
from optimizer.rollout.costs import Costs, Floats
from optimizer.rollout.request import Rollout, Series, Traits, series


@dataclass(frozen=True, slots=True)
class DownloadClass:
    """Cells whose downloads are interchangeable: same image, same networks, same controller.

    Whoever installs first takes the first image, so one flow for all is exact. A cell that has images already is a
    class of its own: nobody else can use them.
    """

    cells: tuple[int, ...]
    areas: tuple[str, ...]
    controller: str | None
    image_mb: float
    download_slots: int


_ClassKey = tuple[tuple[str, ...], str | None, float, int]


class Terms:
    """The arrays of one rollout; cells by their place in the request, areas by name."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout, self.slots = rollout, rollout.slots
        self.costs = Costs(rollout)
        self.index = {cell.name: place for place, cell in enumerate(rollout.cells)}
        self.count = np.array([cell.count for cell in rollout.cells], dtype=np.int64)
        self.outage = np.array([cell.traits.outage_slots for cell in rollout.cells], dtype=np.int64)
        self.risk = np.array([rollout.failure_bound.get(cell.traits.stratum, 0.0) for cell in rollout.cells])
        self.usable = np.array([self._usable(cell.traits, cell.downloaded) for cell in rollout.cells], dtype=bool)
        self.usable = self.usable.reshape(len(rollout.cells), self.slots)
        limits = rollout.limits
        self.cdn_mb, self.installs = self._limit(limits.cdn_mb), self._limit(limits.installs)
        self.returns, self.risk_left = self._limit(limits.returns), self._limit(limits.risk)
        self.service = self._limit(limits.service)
        self.offline = {name: self._limit(area.max_offline) for name, area in rollout.areas.items()}
        self.restart_kw = {name: self._limit(area.restart_kw) for name, area in rollout.areas.items()}
        self.wan_mb = {name: self._limit(area.wan_mb) for name, area in rollout.areas.items()}
        self.lan_mb = {name: series(each.lan_mb, self.slots) for name, each in rollout.controllers.items()}
        self._take_underway()
        self.classes = self._classes()

    def within(self, finish: int) -> Terms:
        """Return the same, but all who install are back online by slot `finish`."""
        shortened = copy(self)
        ends = np.arange(self.slots)[np.newaxis, :] + self.outage[:, np.newaxis]
        shortened.usable = self.usable & (ends <= finish)
        return shortened

    def _limit(self, limit: Series | None) -> Floats:
        if limit is None:
            return np.full(self.slots, np.inf)
        return np.array(series(limit, self.slots), dtype=np.float64)

    def _usable(self, traits: Traits, downloaded: int) -> NDArray[np.bool_]:
        """Return where an install may begin: back before the last slot ends, no blackout, an image at hand."""
        usable = np.zeros(self.slots, dtype=bool)
        usable[: max(0, self.slots - traits.outage_slots)] = True
        for begin, until in traits.blackouts:
            usable[max(0, begin - traits.outage_slots + 1) : max(0, until)] = False
        if traits.image_mb and not downloaded:
            usable[: traits.download_slots] = False
        if (rule := self.rollout.canaries) is not None:
            usable[rule.slots : rule.slots + rule.soak_slots] = False
        return usable

    def _take_underway(self) -> None:
        """Take what began before slot 0 out of every limit; none falls below nothing."""
        for past in self.rollout.underway:
            cell = self.index[past.cell]
            traits, back = self.rollout.cells[cell].traits, past.slot + int(self.outage[cell])
            self.risk_left -= self.risk[cell] * past.count
            for area in traits.areas:
                self.offline[area][: max(0, back)] -= past.count
            if 0 <= back < self.slots:
                self.returns[back] -= past.count
                for area in traits.areas:
                    self.restart_kw[area][back] -= past.count * traits.restart_kw
        for limit in (self.returns, self.risk_left, *self.offline.values(), *self.restart_kw.values()):
            np.maximum(limit, 0.0, out=limit)

    def _classes(self) -> list[DownloadClass]:
        members: defaultdict[tuple[_ClassKey, int | None], list[int]] = defaultdict(list)
        for index, cell in enumerate(self.rollout.cells):
            traits = cell.traits
            if traits.image_mb:
                narrow = tuple(sorted(area for area in traits.areas if np.isfinite(self.wan_mb[area]).any()))
                key = (narrow, traits.controller, traits.image_mb, traits.download_slots)
                members[key, index if cell.downloaded else None].append(index)
        return [DownloadClass(tuple(cells), *key) for (key, _), cells in members.items()]

    def canary_targets(self) -> dict[str, int]:
        """Return how many canaries each stratum has; nothing when there is no first stage."""
        if self.rollout.canaries is None:
            return {}
        units: defaultdict[str, int] = defaultdict(int)
        for cell in self.rollout.cells:
            units[cell.traits.stratum] += cell.count
        return {stratum: self.rollout.canaries.of(number) for stratum, number in units.items()}

    def layers(self) -> list[list[int]]:
        """Return the cells in layers, each after all it waits for. Raises InvalidProblem for a circle."""
        waits: defaultdict[int, set[int]] = defaultdict(set)
        for order in self.rollout.orders:
            waits[self.index[order.after]].add(self.index[order.before])
        layers: list[list[int]] = []
        left = set(range(len(self.rollout.cells)))
        while left:
            layer = sorted(cell for cell in left if not waits[cell] & left)
            if not layer:
                raise InvalidProblem("cells that wait for each other")
            layers.append(layer)
            left -= set(layer)
        return layers
