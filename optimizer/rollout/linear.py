"""The rollout as a linear program, built as arrays for HiGHS: what makes the plan of a whole fleet.

The same model as `formulation.py` states in PuLP, with two changes that keep its optimum: one flow of downloads for
each class of cells, and running totals as columns of their own, so that no row sums over all earlier slots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optimizer.rollout.costs import Floats
from optimizer.rollout.sparse import SparseModel
from optimizer.rollout.terms import DownloadClass, Terms

Ints = NDArray[np.int64]
Whole = Literal["none", "order", "all"]
"""Which unknowns must be whole: none, those whose order matters (controllers, and what others wait for), or all."""


@dataclass(frozen=True, slots=True)
class Flows:
    """Downloads of one class: images begun in each slot by WAN and from the controller."""

    by_wan: Floats
    from_controller: Floats


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver found: `installs[g, t]`, published shares, downloads; `proven` when it is optimal.

    `bound` is below the cost of every plan; `infeasible` when there is proof that there is none.
    """

    installs: Floats
    publishes: dict[str, Floats]
    flows: list[Flows]
    objective: float
    bound: float | None
    proven: bool
    infeasible: bool = False


def solve(terms: Terms, whole: Whole = "none", time_limit_s: float = 600.0) -> Solution | None:
    """Solve the relaxation in which `whole` unknowns are whole; None when the time did not do for any solution."""
    return _Linear(terms, whole).solve(time_limit_s)


class _Linear:
    def __init__(self, terms: Terms, whole: Whole) -> None:
        self.terms, self.whole = terms, whole
        self.model = SparseModel()
        self.slots = terms.slots
        self.cell_of, self.slot_of = (each.astype(np.int64) for each in np.nonzero(terms.usable))
        self.first = np.searchsorted(self.cell_of, np.arange(len(terms.count) + 1))
        self._install_columns()
        self.publishes = {name: self._publish(name) for name in terms.rollout.controllers}
        self.flows = [self._downloads(each) for each in terms.classes]
        self._networks()
        self._areas()
        self._fleet()
        self._first_stage()
        self._orders()

    def columns(self, cells: Sequence[int]) -> Ints:
        """Return the install columns of some cells."""
        ranges = [np.arange(self.first[cell], self.first[cell + 1]) for cell in cells]
        return np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)

    def _install_columns(self) -> None:
        terms = self.terms
        awaited = {terms.index[order.before] for order in terms.rollout.orders} if self.whole == "order" else set()
        integer = (
            np.isin(self.cell_of, sorted(awaited)) if self.whole != "all" else np.ones(len(self.cell_of), dtype=bool)
        )
        costs = terms.costs.install[self.cell_of, self.slot_of]
        x = self.model.columns(costs, upper=terms.count[self.cell_of], integer=integer)
        left_over = self.model.columns(np.full(len(terms.count), terms.costs.left_over), upper=terms.count)
        rows = self.model.rows(terms.count, terms.count)
        self.model.entries(rows[self.cell_of], x)
        self.model.entries(rows, left_over)

    def _running(self, columns: Ints, slots: Ints, weights: Floats | float = 1.0) -> Ints:
        """Return columns with the running total of others: total_t = total_{t-1} + what is in slot t."""
        total = self.model.columns(np.zeros(self.slots))
        rows = self.model.rows(np.zeros(self.slots), np.zeros(self.slots))
        self.model.entries(rows, total)
        self.model.entries(rows[1:], total[:-1], -1.0)
        self.model.entries(rows[slots], columns, -np.broadcast_to(np.asarray(weights, dtype=np.float64), columns.shape))
        return total

    def _publish(self, name: str) -> Ints:
        controller = self.terms.rollout.controllers[name]
        cost = self.terms.costs.wan_mb * controller.image_mb
        columns = self.model.columns(np.full(self.slots, cost), upper=1.0, integer=self.whole != "none")
        once = self.model.rows(np.zeros(1), np.ones(1))
        self.model.entries(np.repeat(once, self.slots), columns)
        return columns

    def _downloads(self, each: DownloadClass) -> tuple[Ints, Ints | None]:
        """Add the flow of one class: no install without an image that has come, no image without a station."""
        terms, model, slots = self.terms, self.model, np.arange(self.slots)
        count = float(terms.count[list(each.cells)].sum())
        had = sum(terms.rollout.cells[cell].downloaded for cell in each.cells)
        integer = self.whole == "all"
        by_wan = model.columns(np.full(self.slots, terms.costs.wan_mb * each.image_mb), upper=count, integer=integer)
        arriving, columns, from_controller = slots[: max(0, self.slots - each.download_slots)], by_wan, None
        if each.controller is not None:
            from_controller = model.columns(np.zeros(self.slots), upper=count, integer=integer)
            self._only_published(each.controller, from_controller, count)
        needed = model.rows(np.zeros(1), np.full(1, count - had))
        stock = model.columns(np.zeros(self.slots))
        start = np.zeros(self.slots)
        start[:1] = had
        rows = model.rows(start, start)
        model.entries(rows, stock)
        model.entries(rows[1:], stock[:-1], -1.0)
        installs = self.columns(each.cells)
        model.entries(rows[self.slot_of[installs]], installs)
        for flow in (columns, from_controller):
            if flow is not None:
                model.entries(np.repeat(needed, self.slots), flow)
                model.entries(rows[arriving + each.download_slots], flow[arriving], -1.0)
        return by_wan, from_controller

    def _only_published(self, name: str, from_controller: Ints, count: float) -> None:
        """Fetched so far <= count * published so far, `publish_slots` earlier."""
        controller, slots = self.terms.rollout.controllers[name], np.arange(self.slots)
        if controller.published:
            return
        fetched = self._running(from_controller, slots)
        published = self._running(self.publishes[name], slots)
        rows = self.model.rows(np.full(self.slots, -np.inf), np.zeros(self.slots))
        self.model.entries(rows, fetched)
        later = slots[controller.publish_slots :]
        self.model.entries(rows[later], published[later - controller.publish_slots], -count)

    def _networks(self) -> None:
        """Keep every WAN, the CDN and every LAN to their MB of a slot."""
        terms = self.terms
        wan: defaultdict[str, list[tuple[Ints, float]]] = defaultdict(list)
        lan: defaultdict[str, list[tuple[Ints, float]]] = defaultdict(list)
        cdn: list[tuple[Ints, float]] = []
        for each, (by_wan, from_controller) in zip(terms.classes, self.flows, strict=True):
            cdn.append((by_wan, each.image_mb))
            for area in each.areas:
                wan[area].append((by_wan, each.image_mb))
            if from_controller is not None and each.controller is not None:
                lan[each.controller].append((from_controller, each.image_mb))
        for name, columns in self.publishes.items():
            controller = terms.rollout.controllers[name]
            cdn.append((columns, controller.image_mb))
            for area in controller.areas:
                wan[area].append((columns, controller.image_mb))
        self._by_slot(cdn, terms.cdn_mb)
        for area, users in wan.items():
            self._by_slot(users, terms.wan_mb[area])
        for name, users in lan.items():
            self._by_slot(users, np.array(terms.lan_mb[name]))

    def _by_slot(self, users: Sequence[tuple[Ints, float]], limit: Floats) -> None:
        if not np.isfinite(limit).any():
            return
        rows = self.model.rows(np.full(self.slots, -np.inf), limit)
        for columns, megabytes in users:
            self.model.entries(rows, columns, megabytes)

    def _areas(self) -> None:
        terms = self.terms
        members: defaultdict[str, list[int]] = defaultdict(list)
        for index, cell in enumerate(terms.rollout.cells):
            for area in cell.traits.areas:
                members[area].append(index)
        restart_kw = np.array([cell.traits.restart_kw for cell in terms.rollout.cells])
        for area, cells in members.items():
            columns = self.columns(cells)
            if terms.count[cells].sum() > terms.offline[area].min():
                self._window(columns, terms.offline[area])
            if (restart_kw[cells] * terms.count[cells]).sum() > terms.restart_kw[area].min():
                back = self.slot_of[columns] + terms.outage[self.cell_of[columns]]
                self._limited(columns, back, terms.restart_kw[area], restart_kw[self.cell_of[columns]])

    def _window(self, columns: Ints, limit: Floats) -> None:
        """Count a station in every slot in which it is offline."""
        rows = self.model.rows(np.full(self.slots, -np.inf), limit)
        outage = self.terms.outage[self.cell_of[columns]]
        for during in range(int(outage.max(initial=0))):
            offline = columns[outage > during]
            self.model.entries(rows[self.slot_of[offline] + during], offline)

    def _limited(self, columns: Ints, slots: Ints, limit: Floats, weights: Floats | float = 1.0) -> None:
        if np.isfinite(limit).any():
            rows = self.model.rows(np.full(self.slots, -np.inf), limit)
            self.model.entries(rows[slots], columns, weights)

    def _fleet(self) -> None:
        """Keep what is limited for all stations together."""
        terms, every = self.terms, np.arange(len(self.cell_of))
        self._limited(every, self.slot_of, terms.installs)
        self._limited(every, self.slot_of + terms.outage[self.cell_of], terms.returns)
        self._limited(every, self.slot_of, terms.service, terms.risk[self.cell_of])
        if np.isfinite(terms.risk_left).any():
            total = self._running(every, self.slot_of, terms.risk[self.cell_of])
            self._limited(total, np.arange(self.slots), terms.risk_left)

    def _first_stage(self) -> None:
        rule, terms = self.terms.rollout.canaries, self.terms
        if rule is None:
            return
        strata: defaultdict[str, list[int]] = defaultdict(list)
        for index, cell in enumerate(terms.rollout.cells):
            strata[cell.traits.stratum].append(index)
        for stratum, target in terms.canary_targets().items():
            columns = self.columns(strata[stratum])
            columns = columns[self.slot_of[columns] < rule.slots]
            row = self.model.rows(np.full(1, float(target)), np.full(1, float(target)))
            self.model.entries(np.repeat(row, len(columns)), columns)

    def _orders(self) -> None:
        """n_before * begun_t <= n_after * finished_t."""
        terms = self.terms
        totals: dict[int, Ints] = {}
        for order in terms.rollout.orders:
            before, after = terms.index[order.before], terms.index[order.after]
            for cell in (before, after):
                if cell not in totals:
                    columns = self.columns([cell])
                    totals[cell] = self._running(columns, self.slot_of[columns])
            rows = self.model.rows(np.full(self.slots, -np.inf), np.zeros(self.slots))
            self.model.entries(rows, totals[after], float(terms.count[before]))
            since = np.arange(terms.outage[before], self.slots)
            self.model.entries(rows[since], totals[before][since - terms.outage[before]], -float(terms.count[after]))

    def solve(self, time_limit_s: float) -> Solution | None:
        found = self.model.solve(time_limit_s)
        installs = np.zeros(self.terms.usable.shape)
        if found.infeasible:
            return Solution(installs, {}, [], np.inf, None, proven=True, infeasible=True)
        if found.values is None:
            return None
        installs[self.cell_of, self.slot_of] = found.values[: len(self.cell_of)]
        flows = [
            Flows(found.values[wan], np.zeros(self.slots) if lan is None else found.values[lan])
            for wan, lan in self.flows
        ]
        publishes = {name: found.values[columns] for name, columns in self.publishes.items()}
        return Solution(installs, publishes, flows, found.objective, found.bound, found.optimal)
