"""A measured figure with its unit and goal, as `results.json` holds it."""

from __future__ import annotations

from typing import Any

Rows = dict[str, dict[str, Any]]


def row(value: float, unit: str, goal: str | None = None) -> dict[str, Any]:
    """Return one row; `goal` is like `<=120`."""
    made: dict[str, Any] = {"value": round(value, 2), "unit": unit}
    return made if goal is None else {**made, "goal": goal}


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
