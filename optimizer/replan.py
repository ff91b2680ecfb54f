"""Whether a new plan is worth telling: chargers are left alone while the plan that they have is nearly as good.

Every change of a charger's power counts as a cost; a new plan is taken when it saves more than its changes cost, or
when the old one no longer keeps the limits or delivers less.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

import numpy as np

from optimizer.account import held, site_plan
from optimizer.check import violations
from optimizer.grid import Floats, Grid
from optimizer.plan import SitePlan
from optimizer.site import Site
from optimizer.site_columns import columns_of

_SAME_KW: Final = 0.05
_SAME_KWH: Final = 0.01


def steady(site: Site, new: SitePlan, old_power_kw: Sequence[Sequence[float]], change_cost: float) -> SitePlan:
    """Return the new plan, or the old powers (on the site's grid) if the changes are not worth their cost.

    Cars are in the site's order; for one that has come since, the old powers are zero.
    """
    columns = columns_of(site)
    old = held(columns, np.array(old_power_kw, dtype=np.float64).reshape(len(site.cars), site.grid.slots))
    if violations(site, old.power_kw.tolist(), old.kwh.tolist()):
        return new
    notes = (*new.notes, "the plan in force is kept")
    kept = site_plan(columns, old, new.method, new.bound, proven=False, notes=notes)
    delivered = [(then.energy_kwh, now.energy_kwh) for then, now in zip(kept.outcomes, new.outcomes, strict=True)]
    if any(now > then + _SAME_KWH for then, now in delivered):
        return new
    worth_it = kept.cost - new.cost > change_cost * changes(np.array(new.power_kw), old.power_kw)
    return new if worth_it else kept


def changes(power_kw: Floats, old_kw: Floats) -> int:
    """Return how many powers differ between two plans on one grid."""
    return int(np.count_nonzero(np.abs(power_kw - old_kw) > _SAME_KW))


def carried(old: Grid, power_kw: Sequence[float], new: Grid) -> list[float]:
    """Return a car's old powers on a new grid: of each new slot, what is in force when it begins; then nothing."""
    slots = list(pairwise(old.edges))
    return [_in_force(slots, power_kw, at) for at in new.edges[:-1]]


def _in_force(slots: Sequence[tuple[datetime, datetime]], power_kw: Sequence[float], at: datetime) -> float:
    for (start, end), kw in zip(slots, power_kw, strict=True):
        if start <= at < end:
            return kw
    return 0.0
