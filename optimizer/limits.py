"""What the cars of a site share, as rows: weights of the cars' powers, and the most of their sum in each slot.

Grid limit, and each circuit on each of its phases. A car counts on the phases that it uses and on no other. Rows with
the same weights are one, with the lower limit; a site of three-phase cars under one fuse has a single row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.car import PHASES
from optimizer.grid import Floats
from optimizer.site import Circuit, Site


@dataclass(frozen=True, slots=True)
class Limit:
    """`sum(weights * power_kw) <= most_kw` in each slot."""

    name: str
    weights: Floats
    """Of each car."""
    most_kw: Floats


def limits_of(site: Site) -> list[Limit]:
    """Return what the cars must keep together; never less than nothing, however much else flows."""
    rows = [*_grid(site), *(limit for circuit in site.circuits for limit in _circuit(site, circuit))]
    merged: dict[bytes, Limit] = {}
    for row in rows:
        if not row.weights.any():
            continue
        scale = float(row.weights.max())
        weights, most_kw = row.weights / scale, np.maximum(row.most_kw / scale, 0.0)
        key = weights.tobytes()
        if (other := merged.get(key)) is not None:
            most_kw = np.minimum(most_kw, other.most_kw)
        merged[key] = Limit(row.name if other is None else f"{other.name}, {row.name}", weights, most_kw)
    return list(merged.values())


def other_kw(site: Site) -> Floats:
    """Return what flows from the grid in each slot without any car: the building less the sun."""
    load, sun = (np.zeros(site.grid.slots) if kw is None else np.array(kw) for kw in (site.base_load_kw, site.pv_kw))
    other: Floats = load - sun
    return other


def _grid(site: Site) -> list[Limit]:
    if site.grid_limit_kw is None:
        return []
    most_kw = np.array(site.grid_limit_kw) * (1 - site.margin) - other_kw(site)
    return [Limit("grid", np.ones(len(site.cars)), most_kw)]


def _circuit(site: Site, circuit: Circuit) -> list[Limit]:
    below = [any(each.circuit_id == circuit.circuit_id for each in site.path(car.circuit_id)) for car in site.cars]
    others = np.zeros((1, 3)) if not circuit.other_load_a else np.array(circuit.other_load_a)
    limits = []
    for number, phase in enumerate(PHASES):
        counts = [inside and phase in car.phases for inside, car in zip(below, site.cars, strict=True)]
        weights = np.array([count / len(car.phases) for count, car in zip(counts, site.cars, strict=True)])
        free_a = circuit.limit_a * (1 - site.margin) - others[:, number]
        most_kw = np.broadcast_to(free_a * site.volts / 1000.0, (site.grid.slots,))
        limits.append(Limit(f"{circuit.circuit_id} {phase}", weights, most_kw))
    return limits
