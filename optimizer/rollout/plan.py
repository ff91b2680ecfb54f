"""What the planner answers: batches of stations in time slots, or why there is no plan."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Batch(msgspec.Struct, frozen=True):
    """So many stations of a cell that begin to install in a slot."""

    cell: str
    slot: int
    count: int


class Fetch(msgspec.Struct, frozen=True):
    """So many stations of a cell that begin to download in a slot, by WAN or from their controller."""

    cell: str
    slot: int
    count: int
    from_controller: bool = False


class Plan(msgspec.Struct, frozen=True):
    """Who downloads and installs when; who is left over, and what stood in the way.

    `cost` is `cost_of` the plan, `bound` what no plan can go below (None: nothing is proven), `method` how it was
    found. In an emergency all are back online by slot `finish`, and no plan has them back before `finish_bound`.
    """

    installs: tuple[Batch, ...]
    fetches: tuple[Fetch, ...]
    publishes: Mapping[str, int]
    left_over: Mapping[str, int]
    method: str
    cost: float = 0.0
    bound: float | None = None
    hindrances: Mapping[str, str] = {}
    finish: int | None = None
    finish_bound: int | None = None

    @property
    def stations_left(self) -> int:
        """How many stations are left over."""
        return sum(self.left_over.values())

    @property
    def gap(self) -> float | None:
        """How far from the best plan it may be at most, as a share of its cost."""
        if self.bound is None:
            return None
        return max(0.0, self.cost - self.bound) / max(abs(self.cost), 1e-9)


class NoPlan(msgspec.Struct, frozen=True):
    """No plan keeps the rules. `proven` says whether there is none, or only none was found."""

    reasons: tuple[str, ...]
    proven: bool
