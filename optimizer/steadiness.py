"""What keeps a plan calm: chargers and cars that are switched often fail, and people ask why."""

from __future__ import annotations

import msgspec


class Steadiness(msgspec.Struct, frozen=True, kw_only=True):
    """How reluctantly one charger is switched."""

    running_kw: float | None = None
    """The power now in force; it is kept to the end of the first slot. None: nothing is in force."""
    minimum_on_s: int = 0
    """No stretch of charging is shorter, unless it is all that is left to charge."""
    start_cost: float = 0.0
    """What every start counts, in money."""
