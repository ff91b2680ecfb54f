"""What a rollout costs: delay, disruption, WAN and stations left over; the same for the solvers and for their judge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.rollout.plan import Plan
from optimizer.rollout.request import Rollout, series

Floats = NDArray[np.float64]


class Costs:
    """The costs of one rollout: `install[g, t]`, `left_over` of one station, `wan_mb` of one MB."""

    def __init__(self, rollout: Rollout) -> None:
        self.wan_mb = rollout.weights.wan_mb
        self.install = np.array([_install(rollout, index) for index in range(len(rollout.cells))]).reshape(
            len(rollout.cells), rollout.slots
        )
        dearest = float(np.max(self.install, initial=0.0))
        image_mb = max((cell.traits.image_mb for cell in rollout.cells), default=0.0)
        self.left_over = rollout.weights.left_over * (1.0 + dearest + self.wan_mb * image_mb)


def _install(rollout: Rollout, index: int) -> Floats:
    traits, slots = rollout.cells[index].traits, rollout.slots
    delay: Floats = traits.severity * np.arange(slots, dtype=np.float64)
    if traits.usage is None:
        return delay
    busy = np.concatenate([series(rollout.busy[traits.usage], slots), np.zeros(traits.outage_slots)])
    summed = np.concatenate([[0.0], np.cumsum(busy)])
    during = (summed[traits.outage_slots :][:slots] - summed[:slots]) / traits.outage_slots
    return np.asarray(delay + rollout.weights.disruption * traits.value * during)


def cost_of(rollout: Rollout, plan: Plan, costs: Costs | None = None) -> float:
    """Return what a plan costs."""
    costs = costs or Costs(rollout)
    index = {cell.name: place for place, cell in enumerate(rollout.cells)}
    image_mb = {cell.name: cell.traits.image_mb for cell in rollout.cells}
    wan_mb = sum(image_mb[fetch.cell] * fetch.count for fetch in plan.fetches if not fetch.from_controller)
    wan_mb += sum(rollout.controllers[name].image_mb for name in plan.publishes)
    return float(
        sum(costs.install[index[batch.cell], batch.slot] * batch.count for batch in plan.installs)
        + costs.left_over * sum(plan.left_over.values())
        + costs.wan_mb * wan_mb
    )
