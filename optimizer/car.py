"""One car at one charger: what it can take, when it is there, and what its driver wants."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from optimizer.errors import InvalidProblem
from optimizer.grid import Floats, Grid, check_series

Phase = Literal["L1", "L2", "L3"]
PHASES: Final[tuple[Phase, Phase, Phase]] = ("L1", "L2", "L3")

VOLTS: Final = 230.0


class Battery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A battery that takes full power up to a state of charge and then less, in proportion to what is missing.

    The two stages are those of ACN-Sim (Lee et al., arXiv:2012.02809).
    """

    capacity_kwh: float
    soc: float
    """When the car arrives, 0 to 1."""
    taper_from_soc: float = 1.0

    def __post_init__(self) -> None:
        if self.capacity_kwh <= 0 or not 0 <= self.soc <= 1 or not 0 < self.taper_from_soc <= 1:
            raise InvalidProblem("a battery has a capacity, and states of charge between 0 and 1")


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a driver wants; every field may be combined with every other.

    As much as `energy_kwh` or `target_soc` asks for is bought, or as much as the battery takes; at the least cost that
    this can have; never over the limits on time and money. What cannot be met is met as far as it can be.
    """

    energy_kwh: float | None = None
    """That reach the battery."""
    target_soc: float | None = None
    by: datetime | None = None
    """Nothing that comes later counts."""
    budget: float | None = None
    """All it may cost."""
    price_cap_per_kwh: float | None = None
    """No dearer slot is used."""
    average_cap_per_kwh: float | None = None
    """All of it together costs no more for a kWh."""
    later_price_per_kwh: float | None = None
    """What a kWh is expected to cost after the known prices: dearer slots are left, their energy is put off."""
    late: bool = False
    """Of equally cheap plans take the latest, to spare the battery; the default is the earliest."""


class Car(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A car that stands at a charger, or will."""

    maximum_kw: float
    """At the meter, all phases together: the least of what cable, charger and car allow."""
    minimum_kw: float = 0.0
    """It charges with this or more, or not at all: 6 A (IEC 61851-1) are 1.38 kW on one phase and 4.14 kW on three."""
    wish: Wish = Wish()
    car_id: str = ""
    circuit_id: str = ""
    """The circuit it hangs on, at a site that has circuits."""
    phases: tuple[Phase, ...] = PHASES
    """The phases of the site that it uses; as many as it charges on, and the ones its charger is wired to."""
    efficiency: float = 1.0
    """Of each metered kWh this share reaches the battery."""
    arrives: datetime | None = None
    """None: it is there."""
    leaves: datetime | None = None
    """None: after the known prices."""
    battery: Battery | None = None
    limit_kw: tuple[float, ...] | None = None
    """More limits, by slot."""
    survival: tuple[float, ...] | None = None
    """By slot, how likely it is still there; with it, what is planned late is worth less."""
    loss_per_kwh: float = 0.0
    """What a planned kWh costs that a car leaves without; counts only with `survival`."""
    priority: int = 0
    """Cars of a higher one get all they can before others get anything."""

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_kw <= self.maximum_kw:
            raise InvalidProblem(f"car {self.car_id!r}: powers must be 0 <= minimum <= maximum")
        if not 0 < self.efficiency <= 1:
            raise InvalidProblem(f"car {self.car_id!r}: an efficiency is above 0 and at most 1")
        if not self.phases or len(set(self.phases)) != len(self.phases):
            raise InvalidProblem(f"car {self.car_id!r}: it charges on one, two or three different phases")
        if self.wish.energy_kwh is not None and self.wish.target_soc is not None:
            raise InvalidProblem(f"car {self.car_id!r}: an energy or a state of charge, not both")
        if self.wish.target_soc is not None and self.battery is None:
            raise InvalidProblem(f"car {self.car_id!r}: a state of charge needs a battery")

    def wanted_kwh(self) -> float:
        """Return what shall reach the battery; infinite when as much as possible is wanted."""
        wanted = self.wish.energy_kwh if self.wish.energy_kwh is not None else float("inf")
        if self.battery is not None:
            target = 1.0 if self.wish.target_soc is None else self.wish.target_soc
            wanted = min(wanted, max(0.0, target - self.battery.soc) * self.battery.capacity_kwh)
        return wanted

    def hours(self, grid: Grid) -> Floats:
        """Return for how many hours of each slot it may charge: while it is there, and before `by`."""
        check_series("limit_kw", self.limit_kw, grid)
        check_series("survival", self.survival, grid)
        ends = [end for end in (self.leaves, self.wish.by) if end is not None]
        return grid.hours_within(self.arrives, min(ends) if ends else None)
