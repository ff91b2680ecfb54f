"""From stations to cells, and from batches back to stations.

Who goes first within a cell is decided by a keyed hash, so that it can be computed again, is new with each rollout,
and makes nobody the guinea pig of every release.
"""

from __future__ import annotations

import hmac
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from optimizer.errors import InvalidProblem
from optimizer.rollout.plan import Plan
from optimizer.rollout.request import Cell, Traits


class Station(msgspec.Struct, frozen=True):
    """One station; `downloaded` when it has the image already."""

    station_id: str
    traits: Traits
    downloaded: bool = False


class Appointment(msgspec.Struct, frozen=True):
    """What one station is told: when to download (None: it has the image, or needs none), by which way, and install."""

    station_id: str
    install_slot: int
    download_slot: int | None
    from_controller: bool


class Gathered(msgspec.Struct, frozen=True):
    """The cells of a fleet, and the stations of each by its name."""

    cells: tuple[Cell, ...]
    members: dict[str, tuple[Station, ...]]


def gather(stations: Iterable[Station]) -> Gathered:
    """Return the least number of cells: stations that share all traits are in one."""
    by_traits: defaultdict[Traits, list[Station]] = defaultdict(list)
    for station in stations:
        by_traits[station.traits].append(station)
    cells, members = [], {}
    for number, (traits, group) in enumerate(by_traits.items()):
        name = group[0].station_id if len(group) == 1 else f"cell {number}"
        cells.append(Cell(name, traits, len(group), sum(station.downloaded for station in group)))
        members[name] = tuple(group)
    return Gathered(tuple(cells), members)


def appointments(gathered: Gathered, plan: Plan, rollout_id: str) -> Iterator[Appointment]:
    """Yield what each station of a plan is told, cell by cell; whoever is left over is told nothing.

    Those that have the image install first, the others in the order in which images come.
    """
    installs: defaultdict[str, Counter[int]] = defaultdict(Counter)
    fetches: defaultdict[str, Counter[tuple[int, bool]]] = defaultdict(Counter)
    for batch in plan.installs:
        installs[batch.cell][batch.slot] += batch.count
    for fetch in plan.fetches:
        fetches[fetch.cell][fetch.slot, fetch.from_controller] += fetch.count
    for name, slots in installs.items():
        waiting = _in_order(gathered.members[name], rollout_id)
        images = iter(sorted(fetches[name].elements()))
        if slots.total() > len(waiting):
            raise InvalidProblem(f"{name}: a plan for more stations than there are")
        for station, slot in zip(waiting, sorted(slots.elements()), strict=False):
            at, from_controller = (None, False) if station.downloaded else next(images, (None, False))
            yield Appointment(station.station_id, slot, at, from_controller)


def _in_order(stations: Iterable[Station], rollout_id: str) -> list[Station]:
    def place(station: Station) -> tuple[bool, bytes]:
        return not station.downloaded, hmac.digest(rollout_id.encode(), station.station_id.encode(), "sha256")

    return sorted(stations, key=place)
