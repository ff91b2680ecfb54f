"""Many sites behind one feeder: a price signal instead of one large program.

Each site plans by itself, with a surcharge on every kWh of a slot in which all together would take too much; the
surcharge follows the excess (dual ascent). What the sites cost at any surcharge, less
what the feeder could have sold, is a bound that no common plan goes below. Then every site gets a quota that follows
its mean plan, and plans once more within it: the quotas add up to the feeder's limit, so this plan keeps it.

Plain functions over shards of sites. Where shards run is another's business; each tells sums and keeps its own plans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec
import numpy as np

from optimizer.errors import InvalidProblem
from optimizer.grid import Floats, Grid, check_series
from optimizer.plan import SitePlan
from optimizer.site import Site

PlanSite = Callable[[Site], SitePlan]

_TINY: Final = 1e-9
_PATIENCE: Final = 2
"""A stage has more rounds than this."""


class Feeder(msgspec.Struct, frozen=True, kw_only=True):
    """What several sites share: `limit_kw` is what all their cars together may take in each slot."""

    grid: Grid
    limit_kw: tuple[float, ...]
    most_per_kwh: float
    """The highest surcharge: beyond it, a kWh is rather not delivered."""

    def __post_init__(self) -> None:
        check_series("limit_kw", self.limit_kw, self.grid)
        if min(self.limit_kw) < 0 or self.most_per_kwh <= 0:
            raise InvalidProblem("a feeder's limits are not below zero, and its highest surcharge is above")


class Asked(msgspec.Struct, frozen=True):
    """What a part of the sites would do at a surcharge: what its cars take, and what it then costs at the least.

    The surcharge is in the bound, for what the cars take and nothing else.
    """

    load_kw: Floats
    bound: float


class Settled(msgspec.Struct, frozen=True):
    """What a part of the sites does within its quota: what its cars take, what that costs, what they miss."""

    load_kw: Floats
    cost: float
    missing_kwh: float


class Shards(Protocol):
    """All sites, in parts; the answers are always in the same order."""

    def ask(self, surcharge: Floats, share: float) -> Sequence[Asked]:
        """Plan with a surcharge per kWh; `share` is what this round is in the mean of all so far."""

    def settle(self, quotas_kw: Sequence[Floats]) -> Sequence[Settled]:
        """Plan within a quota for each part, at the true prices."""

    def keep(self) -> None:
        """Keep the plans of the last settlement: they are the best so far."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A common plan within the limit; the plans of the sites are with their shards."""

    load_kw: Floats
    surcharge: Floats
    cost: float
    bound: float
    missing_kwh: float
    rounds: int

    @property
    def worth(self) -> tuple[float, float]:
        """Less is better: first the missing energy, then the cost."""
        return round(self.missing_kwh, 6), self.cost

    @property
    def gap(self) -> float | None:
        """How far from the best plan it is at most, as a share of its cost.

        None when energy is missing, as then a bound on the cost of all of it says nothing.
        """
        if self.missing_kwh > _TINY * max(1.0, float(self.load_kw.sum())):
            return None
        return max(0.0, self.cost - self.bound) / max(abs(self.cost), _TINY)


def coordinate(feeder: Feeder, shards: Shards, rounds: int = 60, good_gap: float = 1e-3) -> Agreement:
    """Return a common plan, after so many rounds or as soon as it is proven to be good."""
    hours, limit = feeder.grid.hours, np.array(feeder.limit_kw)
    ascent = _Ascent(np.zeros(len(limit)), feeder.most_per_kwh)
    means: list[Floats] = []
    best: Agreement | None = None
    for number in range(1, rounds + 1):
        share = 1.0 / ascent.of_stage
        asked = shards.ask(ascent.surcharge, share)
        loads = [each.load_kw for each in asked]
        means = [mean + share * (load - mean) for mean, load in zip(means or loads, loads, strict=True)]
        ascent.learn(sum(each.bound for each in asked) - float(ascent.surcharge @ (limit * hours)))
        if best is None or number == rounds or ascent.stage_over(number):
            settled = _settled(shards, _quotas(means, limit), ascent.surcharge)
            if best is None or settled.worth < best.worth:
                best = settled
                shards.keep()
        best = replace(best, bound=ascent.best_bound, rounds=number)
        if best.gap is not None and best.gap <= good_gap:
            break
        hope = best.cost + feeder.most_per_kwh * best.missing_kwh - ascent.best_bound
        ascent.go((np.sum(loads, axis=0) - limit) * hours, hope, number)
    if best is None:
        raise InvalidProblem("a common plan takes a round at least")
    return best


@dataclass(slots=True)
class _Ascent:
    """Steps along the excess, of one length for a whole stage, so that the mean of its plans tends to the limit.

    A stage ends when the bound has not grown for a while, and then steps are half as long (as Held, Wolfe and Crowder
    1974 do); the later a stage, the longer it is.
    """

    surcharge: Floats
    most: float
    best_bound: float = -np.inf
    of_stage: int = 1
    """Which round of its stage this one is."""
    _step: float = 0.0
    _idle: int = 0

    def learn(self, bound: float) -> None:
        """Note what the last surcharge proves."""
        self._idle = 0 if bound > self.best_bound else self._idle + 1
        self.best_bound = max(self.best_bound, bound)

    def stage_over(self, number: int) -> bool:
        """Return whether the bound has rested for long enough."""
        return self._idle >= max(_PATIENCE, number // 5)

    def go(self, excess_kwh: Floats, hope: float, number: int) -> None:
        """Move on; the first step goes as far as the hope for a better bound carries (Polyak 1969)."""
        if self._step == 0.0 and (length := float(excess_kwh.clip(0.0) @ excess_kwh.clip(0.0))) > 0:
            self._step = max(hope, 0.0) / length
        self.of_stage += 1
        if self.stage_over(number):
            self._step, self._idle, self.of_stage = self._step / 2, 0, 1
        self.surcharge = np.clip(self.surcharge + self._step * excess_kwh, 0.0, self.most)


def _settled(shards: Shards, quotas: list[Floats], surcharge: Floats) -> Agreement:
    answers = shards.settle(quotas)
    return Agreement(
        load_kw=np.sum([each.load_kw for each in answers], axis=0),
        surcharge=surcharge,
        cost=sum(each.cost for each in answers),
        bound=-np.inf,
        missing_kwh=sum(each.missing_kwh for each in answers),
        rounds=0,
    )


def _quotas(loads: Sequence[Floats], limit: Floats) -> list[Floats]:
    """Deal a limit out in proportion to what each would take; where nobody takes anything, evenly."""
    total = np.sum(loads, axis=0)
    return [np.where(total > _TINY, load / np.maximum(total, _TINY), 1.0 / len(loads)) * limit for load in loads]


class SiteShard:
    """Some sites and how they are planned; remembers the mean of their plans and the last ones within quotas."""

    def __init__(self, sites: Sequence[Site], plan_site: PlanSite) -> None:
        self._sites = list(sites)
        self._plan_site = plan_site
        self._means: list[Floats] = []
        self._settled: list[SitePlan] = []
        self.plans: list[SitePlan] = []

    def ask(self, surcharge: Floats, share: float) -> Asked:
        """Plan every site with a surcharge per kWh."""
        plans = [self._plan_site(_dearer(site, surcharge)) for site in self._sites]
        loads = [_cars_kw(plan) for plan in plans]
        means = self._means or loads
        self._means = [mean + share * (load - mean) for mean, load in zip(means, loads, strict=True)]
        other_kwh = sum((_other_kw(site) * site.grid.hours for site in self._sites), np.zeros(len(surcharge)))
        return Asked(np.sum(loads, axis=0), sum(plan.bound for plan in plans) - float(surcharge @ other_kwh))

    def settle(self, quota_kw: Floats) -> Settled:
        """Plan every site within its part of a quota, at the true prices."""
        quotas = _quotas(self._means, quota_kw)
        plans = [self._plan_site(_within(site, quota)) for site, quota in zip(self._sites, quotas, strict=True)]
        self._settled = plans
        missing_kwh = sum(outcome.missing_kwh for plan in plans for outcome in plan.outcomes)
        load_kw = np.sum([_cars_kw(plan) for plan in plans], axis=0)
        return Settled(load_kw, sum(plan.cost for plan in plans), missing_kwh)

    def keep(self) -> None:
        """Keep the plans of the last settlement."""
        self.plans = self._settled


class InOrder:
    """Shards one after the other, in this process."""

    def __init__(self, shards: Sequence[SiteShard]) -> None:
        self.shards = list(shards)

    def ask(self, surcharge: Floats, share: float) -> Sequence[Asked]:
        """Ask one after the other."""
        return [shard.ask(surcharge, share) for shard in self.shards]

    def settle(self, quotas_kw: Sequence[Floats]) -> Sequence[Settled]:
        """Settle one after the other."""
        return [shard.settle(quota) for shard, quota in zip(self.shards, quotas_kw, strict=True)]

    def keep(self) -> None:
        """Let all keep their last plans."""
        for shard in self.shards:
            shard.keep()


def _cars_kw(plan: SitePlan) -> Floats:
    loads: Floats = np.array(plan.power_kw, dtype=np.float64).reshape(-1, plan.grid.slots).sum(axis=0)
    return loads


def _dearer(site: Site, surcharge: Floats) -> Site:
    """Return the site with a surcharge on all that flows, so that own surplus, too, is worth what it relieves."""
    prices = site.prices
    given = prices.feed_in_per_kwh or (0.0,) * site.grid.slots
    dearer = msgspec.structs.replace(
        prices,
        per_kwh=tuple(map(float, np.array(prices.per_kwh) + surcharge)),
        feed_in_per_kwh=tuple(map(float, np.array(given) + surcharge)),
    )
    return msgspec.structs.replace(site, prices=dearer)


def _within(site: Site, quota_kw: Floats) -> Site:
    """Return the site with a grid limit that leaves its cars a quota beside all else; its margin is not taken of it."""
    limit = (_other_kw(site) + quota_kw) / (1 - site.margin)
    if site.grid_limit_kw is not None:
        limit = np.minimum(limit, site.grid_limit_kw)
    return msgspec.structs.replace(site, grid_limit_kw=tuple(map(float, limit)))


def _other_kw(site: Site) -> Floats:
    """Return what flows without any car."""
    load, sun = (np.zeros(site.grid.slots) if kw is None else np.array(kw) for kw in (site.base_load_kw, site.pv_kw))
    other: Floats = load - sun
    return other
