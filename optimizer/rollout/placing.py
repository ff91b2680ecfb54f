"""Whole plans by way of the ledger: a solver's plan rounded, or, without a solver, the cheapest slots first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from optimizer.rollout.costs import Floats, cost_of
from optimizer.rollout.ledger import Ledger
from optimizer.rollout.linear import Solution
from optimizer.rollout.plan import NoPlan, Plan
from optimizer.rollout.terms import Terms

_ALMOST = 1e-6


def rounded(terms: Terms, solution: Solution, method: str) -> Plan | NoPlan:
    """Return a whole plan near a solution: its whole parts, the largest remainders, then whatever is cheapest."""
    ledger = Ledger(terms)
    for name, shares in solution.publishes.items():
        published = np.cumsum(shares)
        if published[-1] >= 0.5 and not terms.rollout.controllers[name].published:
            ledger.publish(name, int(np.argmax(published >= published[-1] / 2)))
    return _placed(ledger, terms.layers(), solution.installs, method, solution.bound)


def greedy(terms: Terms) -> Plan | NoPlan:
    """Return a plan without a solver: the cells with the least freedom first, each into its cheapest slots."""
    ledger = Ledger(terms)
    images: defaultdict[str, int] = defaultdict(int)
    for cell in terms.rollout.cells:
        if cell.traits.controller is not None:
            images[cell.traits.controller] += cell.count - cell.downloaded
    for name, number in images.items():
        if number > 1 and not terms.rollout.controllers[name].published:
            ledger.publish(name, 0)
    freedom = terms.usable.sum(axis=1) / np.maximum(1, terms.count)
    layers = [sorted(layer, key=lambda cell: float(freedom[cell])) for layer in terms.layers()]
    return _placed(ledger, layers, np.zeros(terms.usable.shape), "greedy", None)


def _placed(
    ledger: Ledger, layers: Sequence[Sequence[int]], wish: Floats, method: str, bound: float | None
) -> Plan | NoPlan:
    if short := _canaries(ledger, [cell for layer in layers for cell in layer], wish):
        return NoPlan(tuple(short), proven=False)
    for layer in layers:
        _settle(ledger, layer, wish, ledger.terms.slots, int(ledger.left[list(layer)].sum()))
    return _plan(ledger, method, bound)


def _canaries(ledger: Ledger, ordered: Sequence[int], wish: Floats) -> list[str]:
    """Place exactly the canaries of each stratum into the first slots and close these; return which found none."""
    terms, rule = ledger.terms, ledger.terms.rollout.canaries
    if rule is None:
        return []
    strata: defaultdict[str, list[int]] = defaultdict(list)
    for cell in ordered:
        strata[terms.rollout.cells[cell].traits.stratum].append(cell)
    short, targets = [], terms.canary_targets()
    for stratum, cells in strata.items():
        missing = targets[stratum] - _settle(ledger, cells, wish, rule.slots, targets[stratum])
        if missing:
            reason = ledger.hindrance(max(cells, key=lambda cell: int(ledger.left[cell])), rule.slots)
            short.append(f"{stratum}: no room for {missing} of {targets[stratum]} canaries: {reason}")
    ledger.close_until(rule.slots)
    return short


def _settle(ledger: Ledger, cells: Sequence[int], wish: Floats, until: int, most: int) -> int:
    """Place up to `most` stations of some cells before a slot, near a wish, and return how many."""
    wished = wish[list(cells), :until]
    missing = most
    for place, slot in np.argwhere(wished >= 1 - _ALMOST):
        whole = int(wished[place, slot] + _ALMOST)
        missing -= ledger.place(cells[place], int(slot), min(whole, missing))
    remainder = wished - np.floor(wished + _ALMOST)
    found = np.argwhere(remainder > _ALMOST)
    for place, slot in found[np.argsort(-remainder[remainder > _ALMOST], kind="stable")]:
        missing -= ledger.place(cells[place], int(slot), min(1, missing))
    for cell in cells:
        missing -= _fill(ledger, cell, until, missing)
    return most - missing


def _fill(ledger: Ledger, cell: int, until: int, most: int) -> int:
    """Place up to `most` stations of a cell into its cheapest slots with room, and return how many."""
    costs = ledger.terms.costs.install[cell, :until].copy()
    wanted = missing = min(most, int(ledger.left[cell]))
    while missing:
        costs[ledger.room(cell)[:until] <= 0] = np.inf
        if not np.isfinite(costs).any():
            break
        cheapest = int(np.argmin(costs))
        missing -= ledger.place(cell, cheapest, missing)
        costs[cheapest] = np.inf
    return wanted - missing


def _plan(ledger: Ledger, method: str, bound: float | None) -> Plan:
    terms = ledger.terms
    cells = terms.rollout.cells
    fetches = ledger.fetches()
    used = {cells[terms.index[fetch.cell]].traits.controller for fetch in fetches if fetch.from_controller}
    left = {cell.name: int(ledger.left[index]) for index, cell in enumerate(cells) if ledger.left[index]}
    plan = Plan(
        installs=ledger.batches(),
        fetches=fetches,
        publishes={name: slot for name, slot in ledger.publishes.items() if name in used},
        left_over=left,
        hindrances={name: ledger.hindrance(terms.index[name], terms.slots) for name in left},
        method=method,
        bound=bound,
    )
    return msgspec.structs.replace(plan, cost=cost_of(terms.rollout, plan, terms.costs))
