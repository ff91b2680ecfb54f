"""Plans a rollout: the solver where it proves something, the greedy way where it does not, the checker after all.

No plan leaves unchecked, and what a solver had when its time was up is never taken for the best.
"""

from __future__ import annotations

from math import ceil

import msgspec

from optimizer.errors import SolverFailed
from optimizer.rollout.check import violations
from optimizer.rollout.linear import solve
from optimizer.rollout.placing import greedy, rounded
from optimizer.rollout.plan import NoPlan, Plan
from optimizer.rollout.request import Rollout
from optimizer.rollout.terms import Terms
from optimizer.rollout.whole import taken

_ALMOST = 1e-6


class Effort(msgspec.Struct, frozen=True):
    """How long one run of the solver may take, and what is tried when rounding has left a gap.

    Up to `whole_below` cells times slots, every station is then decided whole.
    """

    time_limit_s: float = 120.0
    good_gap: float = 1e-4
    whole_below: int = 3000


def plan_rollout(rollout: Rollout, effort: Effort = Effort()) -> Plan | NoPlan:  # noqa: B008 - frozen
    """Return the cheapest plan that was found, with what is proven of it, or why there is none."""
    return _plan(Terms(rollout), effort)


def plan_emergency(rollout: Rollout, effort: Effort = Effort()) -> Plan | NoPlan:  # noqa: B008 - frozen
    """Return the plan that is finished first, and of those the cheapest; as few left over as can be comes before both.

    There are no canaries and no risk budget (`Rollout.urgent`): the risk of waiting is the greater one.
    """
    terms = Terms(rollout.urgent())
    fewest = _left_over(terms, effort)
    low, high = 0, terms.slots - 1
    while low < high:
        middle = (low + high) // 2
        if _left_over(terms.within(middle), effort) > fewest + _ALMOST:
            low = middle + 1
        else:
            high = middle
    best: Plan | NoPlan = NoPlan(("nothing found",), proven=False)
    for finish in range(low, terms.slots):
        plan = _plan(terms.within(finish), effort)
        if isinstance(plan, Plan) and (isinstance(best, NoPlan) or plan.stations_left < best.stations_left):
            best = msgspec.structs.replace(plan, finish=finish, finish_bound=low)
        if isinstance(best, Plan) and best.stations_left <= ceil(fewest - _ALMOST):
            break
    return best


def _left_over(terms: Terms, effort: Effort) -> float:
    """Return how many stations the relaxation leaves over: no plan leaves fewer."""
    solution = solve(terms, "none", effort.time_limit_s)
    if solution is None or not solution.proven:
        raise SolverFailed("the time did not do to see who can be reached")
    return float(terms.count.sum() - solution.installs.sum())


def _plan(terms: Terms, effort: Effort) -> Plan | NoPlan:
    found: list[Plan | NoPlan] = []
    order_matters = bool(terms.rollout.orders) or any(not each.published for each in terms.rollout.controllers.values())
    relaxed = solve(terms, "order" if order_matters else "none", effort.time_limit_s)
    bounds = []
    if relaxed is not None:
        if relaxed.infeasible:
            return _proven(terms)
        bounds.append(relaxed.bound)
        found.append(rounded(terms, relaxed, "mip, rounded" if order_matters else "lp, rounded"))
    if not (found and _good(found[0], effort)) and terms.usable.size <= effort.whole_below:
        whole = solve(terms, "all", effort.time_limit_s)
        if whole is not None:
            if whole.infeasible:
                return _proven(terms)
            bounds.append(whole.bound)
            found.append(taken(terms, whole))
    if not any(isinstance(each, Plan) for each in found):
        found.append(greedy(terms))
    return _best(terms.rollout, found, max((bound for bound in bounds if bound is not None), default=None))


def _good(found: Plan | NoPlan, effort: Effort) -> bool:
    return isinstance(found, Plan) and found.gap is not None and found.gap <= effort.good_gap


def _proven(terms: Terms) -> NoPlan:
    """Say why there is no plan: where the ledger, which breaks no rule, came to an end."""
    tried = greedy(terms)
    reasons = tried.reasons if isinstance(tried, NoPlan) else ()
    return NoPlan(reasons or ("the rules contradict each other",), proven=True)


def _best(rollout: Rollout, found: list[Plan | NoPlan], bound: float | None) -> Plan | NoPlan:
    """Return the cheapest plan that passes the checker, else the reasons of all."""
    sound: list[Plan] = []
    reasons: list[str] = []
    for each in found:
        if isinstance(each, NoPlan):
            reasons += each.reasons
        elif broken := violations(rollout, each):
            reasons += [f"{each.method}: {what}" for what in broken]
        else:
            sound.append(each)
    if not sound:
        return NoPlan(tuple(dict.fromkeys(reasons)), proven=False)
    return msgspec.structs.replace(min(sound, key=lambda plan: plan.cost), bound=bound)
