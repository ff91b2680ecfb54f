"""A plan as a picture: the price above, what is charged below. It needs matplotlib, which is an extra."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from optimizer.errors import InvalidProblem
from optimizer.grid import Grid
from optimizer.limits import other_kw
from optimizer.plan import Plan, SitePlan
from optimizer.prices import Prices
from optimizer.site import Site

_INK, _CHARGE, _LIMIT = "#30363d", "#2f81b7", "#b23b3b"


def picture_of_car(plan: Plan, prices: Prices, zone: str) -> bytes:
    """Return a PNG of price and power of one car."""
    figure, below = _figure(plan.grid, prices, zone)
    for each in plan.segments:
        below.fill_between([each.start, each.end], each.power_kw, color=_CHARGE, linewidth=0)
    return _png(figure, below)


def picture_of_site(plan: SitePlan, site: Site, zone: str) -> bytes:
    """Return a PNG of the price, and of the cars' powers stacked under the limit of the grid."""
    figure, below = _figure(plan.grid, site.prices, zone)
    powers = [[*row, row[-1]] for row in plan.power_kw]
    below.stackplot(plan.grid.edges, *powers, step="post", linewidth=0)
    if site.grid_limit_kw is not None:
        room_kw = (np.array(site.grid_limit_kw) * (1 - site.margin) - other_kw(site)).tolist()
        below.step(
            plan.grid.edges, [*room_kw, room_kw[-1]], where="post", color=_LIMIT, label="room under the grid limit"
        )
        below.legend(frameon=False)
    return _png(figure, below)


def _figure(grid: Grid, prices: Prices, zone: str) -> tuple[Any, Any]:
    try:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise InvalidProblem("a picture needs matplotlib: install cloudbay[pictures]") from missing
    local = ZoneInfo(zone)
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2])
    above.step(grid.edges, [*prices.per_kwh, prices.per_kwh[-1]], where="post", color=_INK)
    above.set_ylabel(f"{prices.currency}/kWh")
    below.set_ylabel("kW")
    ticks = AutoDateLocator(tz=local)  # type: ignore[no-untyped-call]
    below.xaxis.set_major_locator(ticks)
    below.xaxis.set_major_formatter(ConciseDateFormatter(ticks, tz=local))  # type: ignore[no-untyped-call]
    below.set_xlim(grid.edges[0], grid.end)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure, below


def _png(figure: Any, below: Any) -> bytes:
    below.set_ylim(bottom=0)
    written = BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
