"""The minimum current at a site: from any mean powers to a plan in which a car charges with enough or not at all.

A slot with less than the minimum on average is charged for a part, at the minimum; that takes the minimum's room under
the limits for that part, and may not be shorter than `Site.minimum_on_s`, so not every plan of mean powers will do.

First such a plan is rounded in time: what a car is owed runs up slot by slot until it is worth switching on, and where
not even the minimum currents fit, whoever is owed the largest share goes first, so that cars take turns. Then, car by
car, what is still missing is bought where there is room. That plan always exists and stands if the solver finds none
that is better.

Second, an integer program that is small because nearly everything stands: only cars with a power below their minimum
have choices: in those slots, in the dearest they use and in the cheapest they do not; more of them if that is too few.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from optimizer.account import Schedule, expected_cost
from optimizer.grid import Floats
from optimizer.site_columns import NEAR_KW, Indices, SiteColumns
from optimizer.site_greedy import Room, buy, cut_to_money
from optimizer.solver import INFINITE, Block, Program

WIDTHS: Final = (2, 8)
"""How many of a car's dearest used and cheapest unused slots are open, at first and when that is too few."""


def below_minimum(columns: SiteColumns, mean_kw: Floats) -> Indices:
    """Return the columns with a power that their car does not charge with."""
    kw = mean_kw[columns.car, columns.slot]
    return np.flatnonzero((kw > NEAR_KW) & (kw < columns.minimum_kw - NEAR_KW))


def weigh(columns: SiteColumns, schedule: Schedule, target_kwh: Floats) -> float:
    """Return the expected cost of a plan, with a penalty for what it does not deliver."""
    short = np.maximum(target_kwh - schedule.kwh.sum(axis=1) * columns.efficiency, 0.0)
    short[short < NEAR_KW] = 0.0
    return expected_cost(columns, schedule.kwh) + float(_penalties(columns) @ short)


def rounded(columns: SiteColumns, mean_kw: Floats, target_kwh: Floats) -> Schedule:
    """Return a plan near one of mean powers that keeps all limits and minimum currents."""
    room, cars, hours = Room(columns), columns.site.cars, columns.hours_of_cars
    least_kwh = np.array([[car.minimum_kw] for car in cars]) * np.minimum(hours, columns.site.minimum_on_s / 3600.0)
    owed_kwh = np.zeros(len(cars))
    for slot in range(columns.site.grid.slots):
        owed_kwh += mean_kw[:, slot] * hours[:, slot]
        waiting = np.flatnonzero((owed_kwh > NEAR_KW) & (owed_kwh >= least_kwh[:, slot]) & (room.most_kw[:, slot] > 0))
        for car in sorted(waiting.tolist(), key=lambda car: (-cars[car].priority, -owed_kwh[car] / target_kwh[car])):
            reach_kw = room.reach_in(slot, car)
            if reach_kw > 0 and reach_kw >= cars[car].minimum_kw:
                kwh = min(float(owed_kwh[car]), reach_kw * float(hours[car, slot]))
                room.give(car, slot, kwh)
                owed_kwh[car] -= kwh
    missing_kwh = target_kwh / columns.efficiency - room.schedule.kwh.sum(axis=1)
    for car in sorted(range(len(cars)), key=lambda car: -cars[car].priority):
        buy(columns, room, car, float(missing_kwh[car]))
        cut_to_money(columns, room, car)
    return room.schedule


def restricted(
    columns: SiteColumns, mean_kw: Floats, target_kwh: Floats, width: int, gap: float, time_limit_s: float
) -> Schedule:
    """Return the best plan with the choices that are left open. Raises SolverFailed unless that is proven in time."""
    mean = mean_kw[columns.car, columns.slot]
    free = _choices(columns, mean, below_minimum(columns, mean_kw), width)
    return _integer(columns, mean, free, target_kwh, gap, time_limit_s)[0]


def complete(columns: SiteColumns, target_kwh: Floats, gap: float, time_limit_s: float) -> tuple[Schedule, float]:
    """Return the best plan of all and a bound for all. Raises SolverFailed unless it is proven in time."""
    free = np.flatnonzero(columns.minimum_kw > 0)
    return _integer(columns, columns.most_kw, free, target_kwh, gap, time_limit_s)


def _choices(columns: SiteColumns, mean: Floats, below: Indices, width: int) -> Indices:
    """Return the columns whose on and off is open."""
    worth = columns.cost()[: columns.powers] / columns.hours
    chosen = [below]
    for car in np.unique(columns.car[below]):
        mine = np.flatnonzero(columns.car == car)
        used, unused = mine[mean[mine] > NEAR_KW], mine[mean[mine] <= NEAR_KW]
        chosen.append(used[np.argsort(-worth[used], kind="stable")[:width]])
        chosen.append(unused[np.argsort(worth[unused], kind="stable")[:width]])
    return np.unique(np.concatenate(chosen))


def _penalties(columns: SiteColumns) -> Floats:
    """Return what a kWh that a car does not get counts: more than it could ever save, and more by its priority."""
    prices = columns.site.prices
    dearest = max(abs(price) for price in prices.per_kwh) + prices.peak_per_kw
    losses = max(car.loss_per_kwh for car in columns.site.cars)
    return np.array([10.0 * (1.0 + dearest + losses) * 2.0 ** min(car.priority, 8) for car in columns.site.cars])


def _integer(
    columns: SiteColumns, mean: Floats, free: Indices, target_kwh: Floats, gap: float, time_limit_s: float
) -> tuple[Schedule, float]:
    """Solve with `free` columns on or off, and all others as they are: on if they have a mean power, else off.

    Columns after the site's own: for each free one whether it is on, and the room it takes beyond its mean power;
    for each car what it does not get.
    """
    cars, powers, count = len(target_kwh), columns.powers, columns.columns
    lower, upper = columns.bounds()
    lower[:powers] = np.where(mean > NEAR_KW, columns.minimum_kw, 0.0)
    upper[:powers] = np.where(mean > NEAR_KW, upper[:powers], 0.0)
    lower[free], upper[free] = 0.0, columns.most_kw[free]
    on, room, short = count + np.arange(len(free)), count + len(free) + np.arange(len(free)), count + 2 * len(free)
    each, none, minimum_kw = np.arange(cars), np.zeros(len(free)), columns.minimum_kw[free]
    energy = columns.energy_rows(target_kwh, target_kwh)
    program = Program(
        np.concatenate([lower, none, none, np.zeros(cars)]),
        np.concatenate([upper, none + 1.0, minimum_kw, target_kwh]),
        [
            Block(
                np.concatenate([energy.row, each]),
                np.concatenate([energy.column, short + each]),
                np.concatenate([energy.value, np.ones(cars)]),
                target_kwh,
                target_kwh,
            ),
            *_switches(columns, free, on, room),
            columns.shared_rows(free, room),
            columns.grid_rows(),
            columns.money_rows(),
        ],
        time_limit_s,
    )
    program.make_binary(on, gap)
    cost = np.concatenate([columns.cost(), none, none, _penalties(columns)])
    mean_kw = columns.powers_of(program.minimise(cost))
    kwh = mean_kw * columns.hours_of_cars
    kwh[kwh < NEAR_KW] = 0.0
    least = np.array([[car.minimum_kw] for car in columns.site.cars])
    return Schedule(np.where(kwh > 0, np.maximum(mean_kw, least), 0.0), kwh), program.bound


def _switches(columns: SiteColumns, free: Indices, on: Indices, room: Indices) -> list[Block]:
    """Return the rows that bind powers to their switches; the big-M of each is its own maximum.

    Off is no power; on is the energy of the minimum on-time at least, and room for the minimum.
    """
    none, minimum_kw = np.zeros(len(free)), columns.minimum_kw[free]
    least_kw = minimum_kw * np.minimum(1.0, columns.site.minimum_on_s / 3600.0 / columns.hours[free])
    power = (free, none + 1.0)
    return [
        _rows([power, (on, -columns.most_kw[free])], none - INFINITE, none),
        _rows([power, (on, -least_kw)], none, none + INFINITE),
        _rows([power, (room, none + 1.0), (on, -minimum_kw)], none, none + INFINITE),
    ]


def _rows(terms: list[tuple[Indices, Floats]], lower: Floats, upper: Floats) -> Block:
    """Return a row for each place in the terms: the sum of their columns there, each by its value."""
    numbers = np.arange(len(lower))
    return Block(
        np.concatenate([numbers for _ in terms]),
        np.concatenate([columns for columns, _ in terms]),
        np.concatenate([values for _, values in terms]),
        lower,
        upper,
    )
