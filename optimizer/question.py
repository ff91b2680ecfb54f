"""A request as a person writes it in JSON, for one car or for a site, and what is made of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from optimizer.car import Car
from optimizer.errors import InvalidProblem
from optimizer.grid import QUARTER_S, Grid, make_grid
from optimizer.prices import Prices, Step, Tariff, compile_prices
from optimizer.site import Circuit, Fairness, Site
from optimizer.steadiness import Steadiness


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A site: its cars, its circuits, and what flows there besides, one number for all slots or one for each."""

    cars: tuple[Car, ...]
    circuits: tuple[Circuit, ...] = ()
    grid_limit_kw: float | tuple[float, ...] | None = None
    base_load_kw: float | tuple[float, ...] | None = None
    pv_kw: float | tuple[float, ...] | None = None
    margin: float = 0.0
    fairness: Fairness = "share"


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked: a car or a site, from now until the end of the known prices."""

    now: datetime
    until: datetime
    tariff: Tariff | None = None
    steps: tuple[Step, ...] = ()
    """Published prices; they go before the tariff."""
    peak_so_far_kw: float = 0.0
    car: Car | None = None
    site: Place | None = None
    steadiness: Steadiness = Steadiness()
    slot_s: int = QUARTER_S
    zone: str = "UTC"
    """In which times are told; the tariff's own if there is a tariff."""

    @property
    def told_in(self) -> str:
        """Return the time zone of the answer."""
        return self.zone if self.tariff is None else self.tariff.zone

    def grid(self) -> Grid:
        """Return the slots."""
        return make_grid(self.now, self.until, self.slot_s)

    def prices(self) -> Prices:
        """Return the prices of the slots."""
        return compile_prices(self.grid(), self.tariff, self.steps, self.peak_so_far_kw)

    def whole_site(self) -> Site:
        """Return the site that is asked about."""
        if self.site is None:
            raise InvalidProblem("the request is about one car")
        grid, place = self.grid(), self.site
        return Site(
            grid=grid,
            prices=self.prices(),
            cars=place.cars,
            circuits=place.circuits,
            grid_limit_kw=_series(place.grid_limit_kw, grid),
            base_load_kw=_series(place.base_load_kw, grid),
            pv_kw=_series(place.pv_kw, grid),
            margin=place.margin,
            fairness=place.fairness,
        )


def read_question(text: bytes) -> Question:
    """Return the request of a JSON document. Raises InvalidProblem with what is wrong and where."""
    try:
        question = msgspec.json.decode(text, type=Question)
    except (msgspec.DecodeError, InvalidProblem) as wrong:
        raise InvalidProblem(f"the request cannot be read: {wrong}") from wrong
    if (question.car is None) == (question.site is None):
        raise InvalidProblem("a request is about a car or a site: one of the two")
    if question.now.tzinfo is None or question.until.tzinfo is None:
        raise InvalidProblem("times are written with their offset, as 2026-01-15T17:30:00+01:00")
    return question


def _series(value: float | tuple[float, ...] | None, grid: Grid) -> tuple[float, ...] | None:
    return (value,) * grid.slots if isinstance(value, float) else value
