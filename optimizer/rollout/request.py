"""What a rollout has to keep: stations gathered into cells, time cut into equal slots, and every limit on both.

Slots count from 0, which is now. Sizes are in MB, power in kW, failures in expected stations. A limit is one number for
all slots or one for each; None is no limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

import msgspec

from optimizer.errors import InvalidProblem

Series = float | tuple[float, ...]


def series(value: Series, slots: int) -> tuple[float, ...]:
    """Return a limit slot by slot. Raises InvalidProblem when it is given for another number of slots."""
    if not isinstance(value, tuple):
        return (float(value),) * slots
    if len(value) != slots:
        raise InvalidProblem(f"a limit for {len(value)} slots where there are {slots}")
    return value


def offline_allowance(stations: int, share: float) -> int:
    """Return how many of so many stations may be offline at once: a share, but one, and never all of several."""
    return min(max(1, floor(share * stations)), max(1, stations - 1))


class Traits(msgspec.Struct, frozen=True):
    """All that matters of a station; stations that share it are interchangeable and form a cell.

    `areas` are what it shares with others: its site, its feeder, a pair that stands in for each other. `blackouts` are
    half-open ranges of slots in which it may not be offline: closed hours, reservations.
    """

    stratum: str
    areas: tuple[str, ...] = ()
    usage: str | None = None
    controller: str | None = None
    image_mb: float = 0.0
    download_slots: int = 1
    outage_slots: int = 1
    blackouts: tuple[tuple[int, int], ...] = ()
    severity: float = 0.0
    value: float = 1.0
    restart_kw: float = 0.0


class Cell(msgspec.Struct, frozen=True):
    """So many stations of the same traits; `downloaded` of them have the image already."""

    name: str
    traits: Traits
    count: int
    downloaded: int = 0


class Area(msgspec.Struct, frozen=True):
    """What stations share: how many may be offline at once, the WAN they download by, the feeder they restart on."""

    max_offline: int | None = None
    wan_mb: Series | None = None
    restart_kw: Series | None = None


class Controller(msgspec.Struct, frozen=True):
    """A Local Controller: it downloads the image once and publishes it to its stations (OCPP 2.0.1 L03, L04)."""

    image_mb: float
    lan_mb: Series
    areas: tuple[str, ...] = ()
    publish_slots: int = 1
    published: bool = False


class Canaries(msgspec.Struct, frozen=True):
    """The first stage: exactly these stations of each stratum in the first slots, then nobody while they are watched.

    A stratum of fewer than `min_units` has none.
    """

    slots: int
    per_stratum: int
    soak_slots: int = 0
    min_units: int = 1

    def of(self, units: int) -> int:
        """Return how many canaries a stratum of so many stations has."""
        return min(self.per_stratum, units) if units >= self.min_units else 0


class Limits(msgspec.Struct, frozen=True):
    """Limits on all stations together, each for a slot: `risk` is cumulative, the others are of the slot alone.

    `cdn_mb` is downloaded, `installs` begin, `returns` come back online, `risk` are the failures expected of all
    installs so far and `service` those of the slot, at the strata's upper bounds.
    """

    cdn_mb: Series | None = None
    installs: Series | None = None
    returns: Series | None = None
    risk: Series | None = None
    service: Series | None = None


class Order(msgspec.Struct, frozen=True):
    """One cell waits for another: for a cell of one (a controller) all of it, for one of as many station by station."""

    before: str
    after: str


class Underway(msgspec.Struct, frozen=True):
    """Installs that began before slot 0, at a negative slot; their stations are still offline or just back."""

    cell: str
    slot: int
    count: int


class Weights(msgspec.Struct, frozen=True):
    """What a plan costs: disruption of a busy station, a MB over WAN, and a station left over.

    The delay of a cell weighs its own `severity` a slot. `left_over` counts in the dearest install there is.
    """

    disruption: float = 1.0
    wan_mb: float = 0.0
    left_over: float = 100.0


class Rollout(msgspec.Struct, frozen=True):
    """A question to the planner; plain data."""

    slots: int
    cells: tuple[Cell, ...]
    areas: Mapping[str, Area] = {}
    busy: Mapping[str, Series] = {}
    failure_bound: Mapping[str, float] = {}
    controllers: Mapping[str, Controller] = {}
    canaries: Canaries | None = None
    limits: Limits = Limits()
    orders: tuple[Order, ...] = ()
    underway: tuple[Underway, ...] = ()
    weights: Weights = Weights()

    def __post_init__(self) -> None:
        cells = {cell.name: cell for cell in self.cells}
        if len(cells) != len(self.cells):
            raise InvalidProblem("two cells of one name")
        for cell in self.cells:
            _refuse_unknown(cell, self)
        for order in self.orders:
            first, then = cells[order.before], cells[order.after]
            if first.count not in (1, then.count):
                raise InvalidProblem(
                    f"{then.name} can wait for one station or for as many as it has, not for {first.name}"
                )

    def urgent(self) -> Rollout:
        """Return the same for an emergency: no canaries, no risk budget, and field service has to cope."""
        return msgspec.structs.replace(
            self, canaries=None, limits=msgspec.structs.replace(self.limits, risk=None, service=None)
        )


def _refuse_unknown(cell: Cell, rollout: Rollout) -> None:
    traits = cell.traits
    if unknown := set(traits.areas) - set(rollout.areas):
        raise InvalidProblem(f"{cell.name} lies in unknown areas: {', '.join(sorted(unknown))}")
    if traits.usage is not None and traits.usage not in rollout.busy:
        raise InvalidProblem(f"{cell.name} has no forecast {traits.usage}")
    if traits.controller is not None and traits.controller not in rollout.controllers:
        raise InvalidProblem(f"{cell.name} has an unknown controller {traits.controller}")
    if cell.count < 0 or not 0 <= cell.downloaded <= cell.count or traits.outage_slots < 1 or traits.download_slots < 0:
        raise InvalidProblem(f"{cell.name} counts wrongly")
