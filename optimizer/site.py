"""One site: a grid connection, its tree of circuits, what else flows there, and its cars.

Each limit has its own measure of what else flows: the grid limit has the forecast of the building and the sun, a
circuit what its meter reads beside the cars.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from optimizer.car import VOLTS, Car
from optimizer.errors import InvalidProblem
from optimizer.grid import Grid, check_series
from optimizer.prices import Prices

Fairness = Literal["share", "energy", "drivers"]
"""What is sought first when not all can have all: that the least share is the largest (and then the next one),
the most energy, or the most drivers who get all they want."""


class Circuit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fuse or a breaker with what hangs on it: cars and other circuits."""

    circuit_id: str
    limit_a: float
    """On each phase."""
    parent_id: str | None = None
    other_load_a: tuple[tuple[float, float, float], ...] = ()
    """What flows here beside cars, on L1, L2 and L3: for each slot, once for all of them, or nothing."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan for a site needs."""

    grid: Grid
    prices: Prices
    cars: tuple[Car, ...]
    circuits: tuple[Circuit, ...] = ()
    grid_limit_kw: tuple[float, ...] | None = None
    """What may be drawn from the grid in each slot, all phases together; None is no limit but those of the circuits."""
    base_load_kw: tuple[float, ...] | None = None
    """The forecast of everything that is no car."""
    pv_kw: tuple[float, ...] | None = None
    """The forecast of what the site makes itself."""
    margin: float = 0.0
    """The share of every limit that is left free."""
    minimum_on_s: int = 300
    """No car is switched on for less, unless that is all it still wants."""
    volts: float = VOLTS
    fairness: Fairness = "share"

    def __post_init__(self) -> None:
        for name in ("grid_limit_kw", "base_load_kw", "pv_kw"):
            check_series(name, getattr(self, name), self.grid)
        check_series("prices.per_kwh", self.prices.per_kwh, self.grid)
        check_series("prices.feed_in_per_kwh", self.prices.feed_in_per_kwh, self.grid)
        if not 0 <= self.margin < 1:
            raise InvalidProblem("a margin is a share, from 0 to below 1")
        parents = {circuit.circuit_id: circuit.parent_id for circuit in self.circuits}
        if len(parents) != len(self.circuits):
            raise InvalidProblem("two circuits have one name")
        for circuit in self.circuits:
            if len(circuit.other_load_a) not in (0, 1, self.grid.slots):
                raise InvalidProblem(f"circuit {circuit.circuit_id!r}: other loads fit neither one slot nor all")
            if circuit.parent_id is not None and circuit.parent_id not in parents:
                raise InvalidProblem(f"circuit {circuit.circuit_id!r}: no circuit {circuit.parent_id!r}")
            if len(list(self.path(circuit.circuit_id))) > len(parents):
                raise InvalidProblem(f"circuit {circuit.circuit_id!r} hangs on itself")
        for car in self.cars:
            if self.circuits and car.circuit_id not in parents:
                raise InvalidProblem(f"car {car.car_id!r}: no circuit {car.circuit_id!r}")

    def path(self, circuit_id: str) -> Iterator[Circuit]:
        """Yield a circuit and all it hangs on, up to the root; endless never, as a circle is cut after one turn."""
        by_id = {circuit.circuit_id: circuit for circuit in self.circuits}
        current: str | None = circuit_id
        for _ in range(len(by_id) + 1):
            if current is None:
                return
            yield by_id[current]
            current = by_id[current].parent_id
