"""The rollout as PuLP states it, row by row as docs/rollout.md does: to be read, and to judge the fast model by.

Every unknown is one cell's in one slot, and what must have happened before is a sum over all earlier slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product

import pulp

from optimizer.errors import SolverFailed
from optimizer.rollout.costs import Costs
from optimizer.rollout.request import Rollout, Series, series


class Formulation:
    """The whole model of one rollout; `solve` returns the least cost, or None when there is no plan."""

    def __init__(self, rollout: Rollout, whole: bool) -> None:
        self.rollout, self.cells, self.slots = rollout, rollout.cells, range(rollout.slots)
        category = pulp.LpInteger if whole else pulp.LpContinuous
        index = {cell.name: g for g, cell in enumerate(self.cells)}
        self.past: Counter[tuple[int, int]] = Counter()
        for each in rollout.underway:
            self.past[index[each.cell], each.slot] += each.count
        keys = list(product(range(len(self.cells)), self.slots))
        by_controller = [(g, t) for g, t in keys if self.cells[g].traits.controller is not None]
        self.x = pulp.LpVariable.dicts("x", keys, 0, cat=category)  # installs begun
        self.d = pulp.LpVariable.dicts("d", keys, 0, cat=category)  # downloads begun by WAN
        self.e = pulp.LpVariable.dicts("e", by_controller, 0, cat=category)  # downloads begun from the controller
        self.p = pulp.LpVariable.dicts("p", list(product(rollout.controllers, self.slots)), 0, 1, cat=category)
        self.u = pulp.LpVariable.dicts("u", range(len(self.cells)), 0, cat=category)  # left over
        self.model = pulp.LpProblem("rollout", pulp.LpMinimize)
        self._cost()
        self._every_station_once()
        self._image_before_install()
        self._bandwidth()
        self._areas()
        self._fleet()
        self._canaries()
        self._orders()

    def solve(self) -> float | None:
        """Solve the model."""
        status = self.model.solve(pulp.HiGHS(msg=False, gapRel=1e-9))
        if status == pulp.LpStatusInfeasible:
            return None
        if self.model.sol_status != pulp.LpSolutionOptimal:
            raise SolverFailed(f"no proven optimum: {pulp.LpSolution[self.model.sol_status]}")
        return float(pulp.value(self.model.objective))

    def _cost(self) -> None:
        costs = Costs(self.rollout)
        wan_mb = pulp.lpSum(
            cell.traits.image_mb * self.d[g, t] for g, cell in enumerate(self.cells) for t in self.slots
        )
        wan_mb += pulp.lpSum(self.rollout.controllers[name].image_mb * p for (name, _), p in self.p.items())
        installs = pulp.lpSum(float(costs.install[g, t]) * x for (g, t), x in self.x.items())
        self.model += installs + costs.wan_mb * wan_mb + costs.left_over * pulp.lpSum(self.u.values())

    def _every_station_once(self) -> None:
        for g, cell in enumerate(self.cells):
            self.model += pulp.lpSum(self.x[g, t] for t in self.slots) + self.u[g] == cell.count  # (1)
            for t in self.slots:
                end = t + cell.traits.outage_slots
                closed = any(t < until and begin < end for begin, until in cell.traits.blackouts)
                if closed or end >= self.rollout.slots:
                    self.model += self.x[g, t] == 0  # (6)

    def _image_before_install(self) -> None:
        for g, cell in enumerate(self.cells):
            if not cell.traits.image_mb:
                continue
            fetched = [self.d[g, k] + self.e.get((g, k), 0) for k in self.slots]
            self.model += pulp.lpSum(fetched) <= cell.count - cell.downloaded
            for t in self.slots:
                ready = pulp.lpSum(fetched[: max(0, t - cell.traits.download_slots + 1)])
                self.model += pulp.lpSum(self.x[g, k] for k in range(t + 1)) <= cell.downloaded + ready  # (2)

    def _bandwidth(self) -> None:
        for t in self.slots:
            self._limit(t, self.rollout.limits.cdn_mb, self._wan(t, range(len(self.cells)), self.rollout.controllers))
            for name, area in self.rollout.areas.items():
                users = [name_ for name_, each in self.rollout.controllers.items() if name in each.areas]
                self._limit(t, area.wan_mb, self._wan(t, self._members(name), users))  # (3)
        for name, controller in self.rollout.controllers.items():
            self.model += pulp.lpSum(self.p[name, t] for t in self.slots) <= 1
            children = [g for g, cell in enumerate(self.cells) if cell.traits.controller == name]
            for t in self.slots:
                lan = pulp.lpSum(self.cells[g].traits.image_mb * self.e[g, t] for g in children)
                self._limit(t, controller.lan_mb, lan)
                if controller.published:
                    continue
                published = pulp.lpSum(self.p[name, k] for k in range(t - controller.publish_slots + 1))
                for g in children:
                    fetched = pulp.lpSum(self.e[g, k] for k in range(t + 1))
                    self.model += fetched <= self.cells[g].count * published  # (4)

    def _wan(self, t: int, cells: Iterable[int], controllers: Iterable[str]) -> pulp.LpAffineExpression:
        megabytes = pulp.lpSum(self.cells[g].traits.image_mb * self.d[g, t] for g in cells)
        return megabytes + pulp.lpSum(self.rollout.controllers[name].image_mb * self.p[name, t] for name in controllers)

    def _areas(self) -> None:
        for name, area in self.rollout.areas.items():
            for t in self.slots:
                offline, power = [], []
                for g in self._members(name):
                    traits = self.cells[g].traits
                    offline += [(1.0, g, k) for k in range(t - traits.outage_slots + 1, t + 1)]
                    power.append((traits.restart_kw, g, t - traits.outage_slots))
                self._limit_begun(t, area.max_offline, offline)  # (5)
                self._limit_begun(t, area.restart_kw, power)  # (12)

    def _fleet(self) -> None:
        limits, every = self.rollout.limits, list(enumerate(self.cells))
        risk = [self.rollout.failure_bound.get(cell.traits.stratum, 0.0) for cell in self.cells]
        past = [(risk[g], g, k) for g, k in self.past]
        for t in self.slots:
            self._limit_begun(t, limits.installs, [(1.0, g, t) for g, _ in every])  # (7)
            self._limit_begun(t, limits.returns, [(1.0, g, t - cell.traits.outage_slots) for g, cell in every])
            self._limit_begun(t, limits.risk, past + [(risk[g], g, k) for g, _ in every for k in range(t + 1)])  # (9)
            self._limit_begun(t, limits.service, [(risk[g], g, t) for g, _ in every])  # (10)

    def _canaries(self) -> None:
        rule = self.rollout.canaries
        if rule is None:
            return
        for stratum in sorted({cell.traits.stratum for cell in self.cells}):
            members = [g for g, cell in enumerate(self.cells) if cell.traits.stratum == stratum]
            canaries = pulp.lpSum(self.x[g, t] for g in members for t in self.slots[: rule.slots])
            self.model += canaries == rule.of(sum(self.cells[g].count for g in members))  # (8)
            for g, t in product(members, self.slots[rule.slots : rule.slots + rule.soak_slots]):
                self.model += self.x[g, t] == 0

    def _orders(self) -> None:
        index = {cell.name: g for g, cell in enumerate(self.cells)}
        for order, t in product(self.rollout.orders, self.slots):
            before, after = index[order.before], index[order.after]
            until = t - self.cells[before].traits.outage_slots
            finished = pulp.lpSum(self.x[before, k] for k in range(until + 1))
            begun = pulp.lpSum(self.x[after, k] for k in range(t + 1))
            self.model += self.cells[before].count * begun <= self.cells[after].count * finished  # (11)

    def _members(self, area: str) -> list[int]:
        return [g for g, cell in enumerate(self.cells) if area in cell.traits.areas]

    def _limit(self, t: int, limit: Series | None, used: pulp.LpAffineExpression, before: float = 0.0) -> None:
        if limit is not None:
            self.model += used <= max(0.0, series(limit, self.rollout.slots)[t] - before)

    def _limit_begun(self, t: int, limit: Series | None, begun: Sequence[tuple[float, int, int]]) -> None:
        """Limit installs, each with a weight; those before slot 0 are what they are."""
        planned = pulp.lpSum(weight * self.x[g, k] for weight, g, k in begun if k >= 0)
        self._limit(t, limit, planned, sum(weight * self.past.get((g, k), 0) for weight, g, k in begun if k < 0))
