"""The planners of sites as Ray actors: one for each part of the sites, which stays there with its plans.

What is decided is `optimizer.cluster`'s; here it only runs at the same time. A surcharge or a quota goes out and sums
come back, a few numbers for each slot; sites go out once, and plans come back when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.errors import Unavailable
from optimizer.cluster import Asked, PlanSite, Settled, SiteShard
from optimizer.grid import Floats
from optimizer.plan import SitePlan
from optimizer.site import Site

_WITHIN_S = 600.0


class Planner(SiteShard):
    """One part of the sites, in a process of its own. A crash loses its plans, which are made anew from the sites."""

    def kept(self) -> list[SitePlan]:
        """Return the plans that were kept."""
        return self.plans


class RayShards:
    """All parts of the sites, each with a planner; `cpus` is what Ray counts for one."""

    def __init__(self, parts: Sequence[Sequence[Site]], plan_site: PlanSite, cpus: float = 1.0) -> None:
        made = ray.remote(Planner).options(num_cpus=cpus, max_restarts=0)
        self._planners: list[ActorHandle] = [made.remote(list(sites), plan_site) for sites in parts]

    def ask(self, surcharge: Floats, share: float) -> Sequence[Asked]:
        """Ask all at once. Raises Unavailable when a planner is lost."""
        told = ray.put(surcharge)
        return self._answers([planner.ask.remote(told, share) for planner in self._planners])

    def settle(self, quotas_kw: Sequence[Floats]) -> Sequence[Settled]:
        """Settle all at once. Raises Unavailable when a planner is lost."""
        pairs = zip(self._planners, quotas_kw, strict=True)
        return self._answers([planner.settle.remote(quota) for planner, quota in pairs])

    def keep(self) -> None:
        """Let all keep their last plans."""
        self._answers([planner.keep.remote() for planner in self._planners])

    def plans(self) -> list[list[SitePlan]]:
        """Return the plans that were kept, by parts."""
        return self._answers([planner.kept.remote() for planner in self._planners])

    def close(self) -> None:
        """End the planners, whatever they do."""
        for planner in self._planners:
            ray.kill(planner)

    def _answers(self, references: list[ray.ObjectRef]) -> list:  # type: ignore[type-arg]
        try:
            return list(ray.get(references, timeout=_WITHIN_S))
        except (RayError, TimeoutError) as error:
            raise Unavailable(f"a planner of sites does not answer: {error}") from error
