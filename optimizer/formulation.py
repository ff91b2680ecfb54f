"""One car as a linear program in PuLP: the problem as it is written on paper, and the oracle of the greedy plan.

It also solves what the greedy plan cannot: a taper, departures weighed against budgets, minimum on-times and costs
of starting (then with binaries). Goals come one after the other and never as weights: the most energy, then the least
cost of it, then early or late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulp

from optimizer.car import Battery, Car
from optimizer.errors import SolverFailed
from optimizer.offer import Offer
from optimizer.steadiness import Steadiness
from optimizer.taper import tangents

TOLERANCE: Final = 1e-7
"""Relative, of what an earlier goal has reached."""


@dataclass(frozen=True, slots=True)
class CarModel:
    """A model with what its goals speak of."""

    problem: Any
    energy: dict[int, Any]
    """Of each slot in which any can be had, in kWh at the meter."""
    delivered: Any
    cost: Any
    """Of the energy by its worth, and of the starts."""


def solve_car(offer: Offer, car: Car, steadiness: Steadiness, time_limit_s: float = 10.0) -> list[float]:
    """Return the kWh of each slot in the best plan. Raises SolverFailed when that is not proven in time."""
    model = car_model(offer, car, steadiness)
    kwh = [0.0] * len(offer.price)
    if not model.energy:
        return kwh
    problem, goals = model.problem, Goals(model.problem, time_limit_s)
    most_kwh = -goals.reach(-model.delivered)
    problem += model.delivered >= most_kwh * (1 - TOLERANCE), "most_energy"
    least_cost = goals.reach(model.cost)
    problem += model.cost <= least_cost + TOLERANCE * max(1.0, abs(least_cost)), "least_cost"
    rank = -1 if car.wish.late else 1
    goals.reach(pulp.lpSum(rank * slot * energy for slot, energy in model.energy.items()))
    for slot, energy in model.energy.items():
        kwh[slot] = max(0.0, energy.value())
    return kwh


def car_model(offer: Offer, car: Car, steadiness: Steadiness) -> CarModel:
    """Return the model without a goal."""
    problem = pulp.LpProblem("car", pulp.LpMinimize)
    usable_kwh = offer.usable_kwh.tolist()
    energy = {
        slot: problem.add_variable(f"energy_{slot}", 0, most_kwh)
        for slot, most_kwh in enumerate(usable_kwh)
        if most_kwh > 0
    }
    delivered = pulp.lpSum(energy.values())
    paid = pulp.lpSum(float(offer.price[slot]) * kwh for slot, kwh in energy.items())
    if offer.wanted_kwh < float("inf"):
        problem += delivered <= offer.wanted_kwh, "wanted"
    if offer.budget < float("inf"):
        problem += paid <= offer.budget, "budget"
    if offer.average_cap < float("inf"):
        problem += paid - offer.average_cap * delivered <= 0, "average_cap"
    if car.battery is not None and car.battery.taper_from_soc < 1:
        _taper(problem, energy, offer, car.battery, car.efficiency)
    if steadiness.running_kw is not None and 0 in energy:
        kept_kwh = min(steadiness.running_kw * float(offer.hours[0]), usable_kwh[0], offer.wanted_kwh)
        energy[0].bounds(kept_kwh, kept_kwh)
    cost = pulp.lpSum(float(offer.worth[slot]) * kwh for slot, kwh in energy.items())
    if steadiness.start_cost > 0 or steadiness.minimum_on_s > 0:
        cost += steadiness.start_cost * pulp.lpSum(_starts(problem, energy, offer, car, steadiness))
    return CarModel(problem, energy, delivered, cost)


def _taper(problem: Any, energy: dict[int, Any], offer: Offer, battery: Battery, efficiency: float) -> None:
    """No slot adds more than the battery takes at its state of charge: `added <= most + slope * stored`."""
    stored = pulp.LpAffineExpression(constant=battery.soc * battery.capacity_kwh)
    for slot, kwh in energy.items():
        full_kw, hours = float(offer.maximum_kw[slot]) * efficiency, float(offer.hours[slot])
        before = problem.add_variable(f"stored_{slot}", 0, battery.capacity_kwh)
        problem += before == stored, f"stored_before_{slot}"
        for number, (most_kwh, slope) in enumerate(tangents(battery, full_kw, hours)):
            problem += efficiency * kwh <= most_kwh + slope * before, f"taper_{slot}_{number}"
        stored = before + efficiency * kwh


def _starts(problem: Any, energy: dict[int, Any], offer: Offer, car: Car, steadiness: Steadiness) -> list[Any]:
    """Add `on` for each slot, with the energy of the minimum on-time at least, and return the starts.

    A slot between two others that are on is on throughout. The big-M of each row is the slot's own most energy.
    """
    on = {slot: problem.add_variable(f"on_{slot}", cat=pulp.LpBinary) for slot in energy}
    starts = []
    for slot, kwh in energy.items():
        whole_kwh = car.minimum_kw * float(offer.hours[slot])
        least_kwh = min(whole_kwh, car.minimum_kw * steadiness.minimum_on_s / 3600.0)
        problem += kwh <= float(offer.usable_kwh[slot]) * on[slot], f"off_{slot}"
        problem += kwh >= least_kwh * on[slot], f"least_{slot}"
        before, after = on.get(slot - 1, 0), on.get(slot + 1, 0)
        problem += kwh >= whole_kwh * (before + on[slot] + after - 2), f"throughout_{slot}"
        if float(offer.hours[slot]) * 3600.0 < steadiness.minimum_on_s:
            problem += on[slot] <= before + after, f"short_{slot}"
        start = problem.add_variable(f"start_{slot}", 0, 1)
        running = 1 if slot == 0 and (steadiness.running_kw or 0) > 0 else 0
        problem += start >= on[slot] - (before if slot else running), f"start_of_{slot}"
        starts.append(start)
    return starts


class Goals:
    """Solves one problem for one goal after the other."""

    def __init__(self, problem: Any, time_limit_s: float) -> None:
        self._problem = problem
        self._solver = pulp.HiGHS(msg=False, threads=1, timeLimit=time_limit_s, gapRel=0.0)

    def reach(self, goal: Any) -> float:
        """Minimise a goal and return its value; only a proven optimum is one, which `status` alone does not tell."""
        self._problem.setObjective(goal)
        self._problem.solve(self._solver)
        if self._problem.sol_status != pulp.LpSolutionOptimal:
            raise SolverFailed(f"{self._problem.name}: {pulp.LpSolution[self._problem.sol_status]}")
        return float(goal.value())
