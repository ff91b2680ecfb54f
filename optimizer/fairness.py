"""Who gets how much, when not all can have all: decided before cost, as lexicographic stages and never as weights.

Shares are of what a car would get alone, so that nobody who asks for the impossible drags the others down. Cars of a
higher priority are served first, then the next ones get of what is left.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from optimizer.grid import Floats
from optimizer.site_columns import Indices, SiteColumns
from optimizer.solver import INFINITE, Block, Program

SLACK: Final = 1e-7
"""The share by which an earlier stage may be missed, so that later stages have a feasible start."""
_MOST_ROUNDS: Final = 40


def fair_kwh(site: SiteColumns, most_kwh: Floats, time_limit_s: float) -> tuple[Floats, float]:
    """Return what each battery gets, and how long the solver took.

    Raises SolverFailed when a stage is not proven in time.
    """
    stages = _Stages(site, most_kwh, time_limit_s)
    cars = np.arange(len(most_kwh))
    for priority in sorted({car.priority for car in site.site.cars}, reverse=True):
        members = cars[np.array([car.priority for car in site.site.cars]) == priority]
        members = members[most_kwh[members] > 0]
        if not len(members):
            continue
        match site.site.fairness:
            case "share":
                stages.share(members)
            case "drivers":
                stages.drivers(members)
        stages.energy(members)
    return stages.least_kwh, stages.program.seconds


class _Stages:
    """One program with a share column and, for each car, whether it gets all; what is settled becomes a bound."""

    def __init__(self, site: SiteColumns, most_kwh: Floats, time_limit_s: float) -> None:
        self._site, self._most_kwh = site, most_kwh
        self.least_kwh = np.zeros(len(most_kwh))
        cars = len(most_kwh)
        self._share_column, self._first_served = site.columns, site.columns + 1
        energy = site.energy_rows(np.zeros(cars), most_kwh)
        lower, upper = site.bounds()
        self.program = Program(
            np.concatenate([lower, np.zeros(1 + cars)]),
            np.concatenate([upper, np.ones(1 + cars)]),
            [energy, *self._floors(energy), site.shared_rows(), site.money_rows()],
            time_limit_s,
        )

    def _floors(self, energy: Block) -> list[Block]:
        """Return rows `energy - share * most - served * most >= -infinity`, to be bound when they are meant."""
        cars = np.arange(len(self._most_kwh))
        return [
            Block(
                np.concatenate([energy.row, cars]),
                np.concatenate([energy.column, np.full(len(cars), column) if column else self._first_served + cars]),
                np.concatenate([energy.value, -self._most_kwh]),
                np.full(len(cars), -INFINITE),
                np.full(len(cars), INFINITE),
            )
            for column in (self._share_column, 0)
        ]

    def share(self, members: Indices) -> None:
        """Raise the least share of all, then that of those who are not stuck there, and so on."""
        cars = len(self._most_kwh)
        rising = list(members)
        cost = np.zeros(self.program.columns)
        cost[self._share_column] = -1.0
        for _ in range(_MOST_ROUNDS):
            for car in rising:
                self.program.bound_row(cars + car, 0.0, INFINITE)
            solution = self.program.minimise(cost)
            share = max(0.0, float(solution[self._share_column]) - SLACK)
            duals = np.abs(self.program.row_duals()[cars : 2 * cars])
            stuck = [car for car in rising if share >= 1 - 2 * SLACK or duals[car] > 1e-9 / self._most_kwh[car]]
            for car in stuck or rising:
                self.program.bound_row(cars + car, -INFINITE, INFINITE)
                self._settle(car, share * float(self._most_kwh[car]))
            rising = [car for car in rising if car not in stuck] if stuck else []
            if not rising:
                return
        for car in rising:
            self.program.bound_row(cars + car, -INFINITE, INFINITE)
            self._settle(car, share * float(self._most_kwh[car]))

    def drivers(self, members: Indices) -> None:
        """Let as many as possible have all they want."""
        cars = len(self._most_kwh)
        served = self._first_served + members
        self.program.make_binary(served, 0.0)
        for car in members:
            self.program.bound_row(2 * cars + car, 0.0, INFINITE)
        cost = np.zeros(self.program.columns)
        cost[served] = -1.0
        solution = self.program.minimise(cost)
        self.program.make_continuous(served)
        for car, all_of_it in zip(members, solution[served] > 0.5, strict=True):
            self.program.bound_row(2 * cars + car, -INFINITE, INFINITE)
            if all_of_it:
                self._settle(car, float(self._most_kwh[car]) * (1 - SLACK))

    def energy(self, members: Indices) -> None:
        """Raise the sum of what they get, and settle what each has."""
        mine = np.flatnonzero(np.isin(self._site.car, members))
        cost = np.zeros(self.program.columns)
        cost[mine] = -self._site.battery_kwh[mine]
        solution = self.program.minimise(cost)
        got = np.bincount(self._site.car[mine], self._site.battery_kwh[mine] * solution[mine], len(self._most_kwh))
        for car in members:
            self._settle(
                car, max(float(self.least_kwh[car]), min(float(got[car]), float(self._most_kwh[car])) * (1 - SLACK))
            )

    def _settle(self, car: int, least_kwh: float) -> None:
        self.least_kwh[car] = least_kwh
        self.program.bound_row(int(car), least_kwh, float(self._most_kwh[car]))
