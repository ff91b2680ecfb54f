"""What an app user is to a station: who may give what to whom, in which terms, and what of it is left.

A relation to a site holds for its stations. Must not know: where relations are kept, HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, time, timedelta
from functools import cache
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from actors.errors import BadRequest

Relation = Literal["owner", "co-owner", "guest"]
"""An owner has the station, a co-owner shares in everything but giving it away, a guest charges within limits."""

Standing = Relation | Literal["driver"]
"""What an app user is to what something is about: a relation to its station, or the one whose charge it is."""

HoldingKind = Literal["station", "site"]

_STRENGTH: Final[Mapping[Relation, int]] = {"owner": 3, "co-owner": 2, "guest": 1}
_MAY_GIVE: Final[Mapping[Relation, frozenset[Relation]]] = {
    "owner": frozenset({"owner", "co-owner", "guest"}),
    "co-owner": frozenset({"guest"}),
    "guest": frozenset(),
}
_WEEK: Final = tuple(range(7))
_A_DAY: Final = timedelta(days=1)


class Holding(NamedTuple):
    """What relations are to: a station, or a site with all its stations."""

    kind: HoldingKind
    name: str


class Window(msgspec.Struct, frozen=True):
    """Hours of some days of the week (Monday is 0) in a time zone; what begins before midnight may end after it."""

    begins: time
    ends: time
    days: tuple[int, ...] = _WEEK
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what names no hours, days or zone."""
        if self.begins.tzinfo is not None or self.ends.tzinfo is not None or self.begins == self.ends:
            raise BadRequest("window: two different times of the day are expected, without an offset")
        if not self.days or not set(self.days) <= set(range(7)):
            raise BadRequest("window.days: numbers 0 (Monday) to 6 (Sunday) are expected")
        if self.zone not in _zones():
            raise BadRequest(f"window.zone: {self.zone[:50]} is no time zone of the IANA database")

    def is_open(self, now: datetime) -> bool:
        """Tell whether `now` is within it."""
        local = now.astimezone(ZoneInfo(self.zone))
        at, today, yesterday = local.time(), local.weekday(), (local - _A_DAY).weekday()
        if self.begins < self.ends:
            return today in self.days and self.begins <= at < self.ends
        return (today in self.days and at >= self.begins) or (yesterday in self.days and at < self.ends)


def window(begins: time | None, ends: time | None, days: Collection[int] | None, zone: str | None) -> Window:
    """Return the hours between two times, on all days and in UTC unless told otherwise. Raises BadRequest."""
    if begins is None or ends is None:
        raise BadRequest("hours: both when they begin and when they end are needed")
    return Window(begins, ends, _WEEK if not days else tuple(sorted(set(days))), zone or "UTC")


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a relation holds and what a guest may take; None sets no limit. Energy in Wh."""

    valid_from: datetime | None = None
    valid_until: datetime | None = None
    energy_per_charge_wh: float | None = None
    energy_total_wh: float | None = None
    charges: int | None = None
    window: Window | None = None

    def hold(self, now: datetime) -> bool:
        """Tell whether `now` is between beginning and end."""
        begun = self.valid_from is None or now >= self.valid_from
        return begun and (self.valid_until is None or now < self.valid_until)

    @property
    def limits(self) -> bool:
        """Whether they limit what may be taken."""
        limits = (self.energy_per_charge_wh, self.energy_total_wh, self.charges, self.window)
        return any(limit is not None for limit in limits)


class Tie(msgspec.Struct, frozen=True):
    """A relation that somebody has: who, to which holding, in which terms, from whom; one for a person and holding."""

    subject: str
    holding: Holding
    relation: Relation
    granted_by: str
    granted_at: datetime
    terms: Terms = Terms()

    def in_force(self, now: datetime) -> bool:
        """Tell whether it holds now."""
        return self.terms.hold(now)


class Use(NamedTuple):
    """What somebody has taken under a tie, with the charges that are about to begin."""

    charges: int = 0
    energy_wh: float = 0.0


Exhausted = Literal["outside the hours", "no charges left", "no energy left"]


def exhausted(terms: Terms, used: Use, now: datetime) -> Exhausted | None:
    """Return why another charge may not begin in these terms, None if it may."""
    if terms.window is not None and not terms.window.is_open(now):
        return "outside the hours"
    if terms.charges is not None and used.charges >= terms.charges:
        return "no charges left"
    if terms.energy_total_wh is not None and used.energy_wh >= terms.energy_total_wh:
        return "no energy left"
    return None


def allowance_wh(terms: Terms, used: Use) -> float | None:
    """Return the energy that another charge may take, None for as much as it likes."""
    left = None if terms.energy_total_wh is None else max(0.0, terms.energy_total_wh - used.energy_wh)
    bounds = [bound for bound in (terms.energy_per_charge_wh, left) if bound is not None]
    return min(bounds, default=None)


def check_terms(relation: Relation, terms: Terms, now: datetime) -> None:
    """Raise BadRequest for terms that a relation cannot have."""
    if relation == "owner" and terms != Terms():
        raise BadRequest("an owner has a station without terms")
    if relation == "co-owner" and terms.limits:
        raise BadRequest("limits are for guests; a co-owner may only have a beginning and an end")
    if terms.valid_until is not None and terms.valid_until <= max(now, terms.valid_from or now):
        raise BadRequest("validUntil: it is over before it begins")


def may_give(relation: Relation | None, given: Relation) -> bool:
    """Tell whether somebody with a relation to a holding may give another one, change it, and take it back."""
    return relation is not None and given in _MAY_GIVE[relation]


def deciding(subject: str, ties: Iterable[Tie], now: datetime) -> Tie | None:
    """Return the tie that says what somebody is to a holding, of all on it and on its site; None for a stranger.

    The strongest counts, among equals the one on the station itself. A station has one owner at most: if it has one of
    its own, the owner of its site is a co-owner there.
    """
    found = [tie for tie in ties if tie.in_force(now)]
    owned = any(tie.holding.kind == "station" and tie.relation == "owner" for tie in found)
    mine = [_beside_owner(tie) if owned else tie for tie in found if tie.subject == subject]
    return max(mine, key=lambda tie: (_STRENGTH[tie.relation], tie.holding.kind == "station"), default=None)


def _beside_owner(tie: Tie) -> Tie:
    if tie.holding.kind == "site" and tie.relation == "owner":
        return msgspec.structs.replace(tie, relation="co-owner")
    return tie


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
