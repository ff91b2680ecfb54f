"""Places whole stations one batch at a time and books what they take from every limit.

Whatever it lets in keeps all limits, so a plan made of its placements is sound however they were chosen; only the
number of canaries is its callers' duty.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

from optimizer.rollout.costs import Floats
from optimizer.rollout.plan import Batch, Fetch
from optimizer.rollout.terms import Terms

Ints = NDArray[np.int64]

_SLACK = 1e-9
_UNLIMITED = 2**62


class Ledger:
    """What is placed so far, and how much room there is for more."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.left = terms.count.copy()
        self.installs = np.zeros(terms.usable.shape, dtype=np.int64)
        self.publishes: dict[str, int] = {}
        self._fetches: Counter[tuple[int, int, bool]] = Counter()
        self._open = np.ones(terms.slots, dtype=bool)
        self._images = np.array([cell.downloaded for cell in terms.rollout.cells], dtype=np.int64)
        self._cdn = terms.cdn_mb.copy()
        self._wan = {name: limit.copy() for name, limit in terms.wan_mb.items()}
        self._lan = {name: np.array(limit) for name, limit in terms.lan_mb.items()}
        self._offline = {name: limit.copy() for name, limit in terms.offline.items()}
        self._restart = {name: limit.copy() for name, limit in terms.restart_kw.items()}
        self._begins, self._returns = terms.installs.copy(), terms.returns.copy()
        self._risk, self._service = terms.risk_left.copy(), terms.service.copy()
        self._before: defaultdict[int, list[int]] = defaultdict(list)
        for order in terms.rollout.orders:
            self._before[terms.index[order.after]].append(terms.index[order.before])

    def close_until(self, slot: int) -> None:
        """Let nobody else begin before a slot."""
        self._open[:slot] = False

    def publish(self, name: str, slot: int) -> bool:
        """Let a controller download and publish the image at a slot or as soon after it as there is bandwidth."""
        controller = self.terms.rollout.controllers[name]
        free = self._free_wan(controller.areas)
        for at in range(slot, self.terms.slots):
            if free[at] + _SLACK >= controller.image_mb:
                self._take_wan(controller.areas, at, controller.image_mb)
                self.publishes[name] = at
                return True
        return False

    def limits(self, cell: int) -> dict[str, Ints]:
        """Return how many more stations of a cell each limit lets begin in each slot, by the limit's name."""
        terms, traits = self.terms, self.terms.rollout.cells[cell].traits
        outage, slots = traits.outage_slots, terms.slots
        room = {
            "closed slots": np.where(terms.usable[cell] & self._open, _UNLIMITED, 0),
            "installs": _whole(self._begins),
        }
        room["returns"] = _shifted(_whole(self._returns), outage)
        for area in traits.areas:
            free = np.concatenate([self._offline[area], np.full(outage, np.inf)])
            windows = np.lib.stride_tricks.sliding_window_view(free, outage)[:slots]
            room[f"offline share of {area}"] = _whole(windows.min(axis=1))
            if traits.restart_kw:
                room[f"restart power of {area}"] = _shifted(_whole(self._restart[area] / traits.restart_kw), outage)
        if (risk := terms.risk[cell]) > 0:
            room["field service"] = _whole(self._service / risk)
            room["risk budget"] = _whole(np.minimum.accumulate(self._risk[::-1])[::-1] / risk)
        for before in self._before[cell]:
            room[f"waits for {terms.rollout.cells[before].name}"] = self._room_after(before, cell)
        return room

    def _room_after(self, before: int, after: int) -> Ints:
        count = self.terms.count
        finished = _shifted_totals(self.installs[before], int(self.terms.outage[before]))
        allowed = finished * count[after] // max(1, int(count[before])) - np.cumsum(self.installs[after])
        return np.asarray(np.minimum.accumulate(allowed[::-1])[::-1], dtype=np.int64)

    def room(self, cell: int) -> Ints:
        """Return how many more stations of a cell may begin in each slot, by all limits but those of the downloads."""
        return np.asarray(np.minimum(np.minimum.reduce(list(self.limits(cell).values())), self.left[cell]))

    def place(self, cell: int, slot: int, count: int) -> int:
        """Place up to so many stations and return how many found room."""
        placed = min(count, int(self.room(cell)[slot]))
        if placed > 0:
            placed = self._fetch(cell, slot, placed)
        if placed <= 0:
            return 0
        traits = self.terms.rollout.cells[cell].traits
        back = slot + traits.outage_slots
        self.left[cell] -= placed
        self.installs[cell, slot] += placed
        self._begins[slot] -= placed
        self._returns[back] -= placed
        for area in traits.areas:
            self._offline[area][slot:back] -= placed
            self._restart[area][back] -= placed * traits.restart_kw
        self._risk[slot:] -= placed * self.terms.risk[cell]
        self._service[slot] -= placed * self.terms.risk[cell]
        return placed

    def _fetch(self, cell: int, slot: int, count: int) -> int:
        """Book images that arrive by a slot, as late as they can; return for how many stations there are any."""
        traits = self.terms.rollout.cells[cell].traits
        if not traits.image_mb:
            return count
        at_hand = min(count, int(self._images[cell]))
        self._images[cell] -= at_hand
        missing = count - at_hand
        last = slot - traits.download_slots + 1
        if (name := traits.controller) is not None and (since := self._fetchable_since(name)) is not None:
            taken = _latest(self._lan[name][since : max(0, last)] / traits.image_mb, missing)
            for at, images in taken:
                self._lan[name][since + at] -= images * traits.image_mb
                self._fetches[cell, since + at, True] += images
                missing -= images
        for at, images in _latest(self._free_wan(traits.areas)[: max(0, last)] / traits.image_mb, missing):
            self._take_wan(traits.areas, at, images * traits.image_mb)
            self._fetches[cell, at, False] += images
            missing -= images
        return count - missing

    def _fetchable_since(self, name: str) -> int | None:
        controller = self.terms.rollout.controllers[name]
        if controller.published:
            return 0
        published = self.publishes.get(name)
        return None if published is None else published + controller.publish_slots

    def _free_wan(self, areas: tuple[str, ...]) -> Floats:
        free: Floats = np.minimum.reduce([self._cdn, *(self._wan[area] for area in areas)])
        return free

    def _take_wan(self, areas: tuple[str, ...], slot: int, megabytes: float) -> None:
        for network in (self._cdn, *(self._wan[area] for area in areas)):
            network[slot] -= megabytes

    def batches(self) -> tuple[Batch, ...]:
        """Return what is placed."""
        cells = self.terms.rollout.cells
        placed = zip(*np.nonzero(self.installs), strict=True)
        return tuple(Batch(cells[cell].name, int(slot), int(self.installs[cell, slot])) for cell, slot in placed)

    def fetches(self) -> tuple[Fetch, ...]:
        """Return the downloads that were booked."""
        cells = self.terms.rollout.cells
        booked = sorted(self._fetches.items())
        return tuple(Fetch(cells[cell].name, slot, count, lan) for (cell, slot, lan), count in booked)

    def hindrance(self, cell: int, until: int) -> str:
        """Return which limit keeps what is left of a cell out of the most slots before `until`."""
        closed = {name: int((room[:until] <= 0).sum()) for name, room in self.limits(cell).items()}
        closed["downloads"] = int((self.room(cell)[:until] > 0).sum())
        return max(closed, key=lambda name: closed[name])


def _whole(limit: Floats) -> Ints:
    return np.floor(np.clip(limit + _SLACK * np.maximum(1.0, np.abs(limit)), 0.0, _UNLIMITED)).astype(np.int64)


def _shifted(values: Ints, slots: int) -> Ints:
    """Return what holds so many slots later; beyond the last one nothing is limited."""
    return np.concatenate([values[slots:], np.full(min(slots, len(values)), _UNLIMITED)])


def _shifted_totals(installs: Ints, outage: int) -> Ints:
    """Return how many have finished by each slot."""
    return np.concatenate([np.zeros(outage, dtype=np.int64), np.cumsum(installs)])[: len(installs)]


def _latest(room: Floats, wanted: int) -> list[tuple[int, int]]:
    """Deal `wanted` to the latest slots with room; the earlier ones stay for those who need them."""
    if wanted <= 0 or not len(room):
        return []
    backwards = _whole(room)[::-1]
    backwards = np.minimum(backwards, wanted)
    taken = np.diff(np.minimum(np.cumsum(backwards), wanted), prepend=0)
    last = len(room) - 1
    return [(last - int(at), int(taken[at])) for at in np.nonzero(taken)[0]]
