"""Charging profiles of one station in 2.x words: which are installed, and what limit they make (2.0.1 part 2, K).

Must not know: messages, transactions beyond their id and start, the battery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

STATION_MAX: Final = "ChargingStationMaxProfile"
TX_DEFAULT: Final = "TxDefaultProfile"
TX: Final = "TxProfile"
_RECURRENCE: Final = {"Daily": timedelta(days=1), "Weekly": timedelta(days=7)}


@dataclass(frozen=True)
class Period:
    """A limit in the schedule's unit from `start_s` seconds after the schedule's start."""

    start_s: int
    limit: float
    number_phases: int = 3


@dataclass(frozen=True)
class ChargingProfile:
    """One profile with its (first) schedule; `unit` is A per phase or W in total."""

    id: int
    evse_id: int
    stack_level: int
    purpose: str
    kind: str
    unit: str
    periods: tuple[Period, ...]
    start: datetime | None = None
    duration_s: int | None = None
    recurrency: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction_id: str | None = None

    def period_at(self, now: datetime, relative_start: datetime | None) -> Period | None:
        """Return the period in force; None when the profile has nothing to say at `now` (K01.FR.10-13, 36, 37)."""
        if (self.valid_from is not None and now < self.valid_from) or (
            self.valid_to is not None and now >= self.valid_to
        ):
            return None
        start = self._start_before(now, relative_start)
        if start is None or now < start:
            return None
        offset_s = (now - start).total_seconds()
        if self.duration_s is not None and offset_s >= self.duration_s:
            return None
        return max((p for p in self.periods if p.start_s <= offset_s), key=lambda p: p.start_s, default=None)

    def changes_between(self, begin: datetime, end: datetime, relative_start: datetime | None) -> set[datetime]:
        """Return the instants in [begin, end) at which `period_at` may change."""
        marks = {mark for mark in (self.valid_from, self.valid_to) if mark is not None}
        start = self._start_before(begin, relative_start)
        while start is not None and start < end:
            offsets = [period.start_s for period in self.periods]
            offsets += [0] if self.duration_s is None else [0, self.duration_s]
            marks.update(start + timedelta(seconds=offset) for offset in offsets)
            start = start + _RECURRENCE[self.recurrency or "Daily"] if self.kind == "Recurring" else None
        return {mark for mark in marks if begin <= mark < end}

    def _start_before(self, now: datetime, relative_start: datetime | None) -> datetime | None:
        """Return the start of the schedule's run that `now` lies in (or of its first one)."""
        if self.kind == "Relative":
            return relative_start
        if self.kind == "Recurring" and self.start is not None and now > self.start:
            every = _RECURRENCE[self.recurrency or "Daily"]
            return self.start + (now - self.start) // every * every
        return self.start


@dataclass(frozen=True)
class Feed:
    """What an EVSE can deliver: nominal voltage per phase, phases (1 for DC), current in A per phase."""

    volts: float
    phases: int
    max_a: float

    @property
    def max_w(self) -> float:
        """Return the power of all phases at full current."""
        return self.volts * self.phases * self.max_a

    def watts(self, period: Period, unit: str) -> float:
        """Return a period's limit as W; fewer phases also mean less power (K01.FR.50, 51)."""
        phases = min(self.phases, period.number_phases)
        limit_w = period.limit if unit == "W" else period.limit * self.volts * phases
        return min(limit_w, self.volts * phases * self.max_a)


@dataclass(frozen=True)
class Outlet:
    """An EVSE as a composite schedule sees it; `tx_start` is when its transaction began, if one is ongoing."""

    evse_id: int
    feed: Feed
    tx_start: datetime | None


class ProfileStore:
    """The installed profiles; `set` keeps the rules, `limit_w` merges them."""

    def __init__(self, *, replace_same_level: bool = False) -> None:
        """Make an empty store; a second profile of one level and purpose replaces the first (1.6) or is refused."""
        self._replace_same_level = replace_same_level
        self._profiles: dict[int, ChargingProfile] = {}

    def __len__(self) -> int:
        return len(self._profiles)

    def set(self, profile: ChargingProfile, transaction_id: str | None) -> str | None:
        """Install a profile; `transaction_id` is the EVSE's ongoing one. Return why it is refused, or None."""
        problem = _problem_of(profile, transaction_id)
        if problem is not None:
            return problem
        if profile.purpose == TX:
            profile = replace(profile, transaction_id=transaction_id)
        rivals = [p for p in self._profiles.values() if p.id != profile.id and _same_place(p, profile)]
        if rivals and not self._replace_same_level:
            return f"DuplicateProfile: profile {rivals[0].id} has the same stackLevel and purpose"
        for rival in rivals:
            del self._profiles[rival.id]
        self._profiles[profile.id] = profile
        return None

    def clear(
        self,
        profile_id: int | None = None,
        *,
        evse_id: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> int:
        """Remove the profile with this id, or else all that match every given value; return how many (K10)."""
        if profile_id is not None:
            return 0 if self._profiles.pop(profile_id, None) is None else 1
        doomed = [
            p.id
            for p in self._profiles.values()
            if evse_id in (None, p.evse_id) and purpose in (None, p.purpose) and stack_level in (None, p.stack_level)
        ]
        for each in doomed:
            del self._profiles[each]
        return len(doomed)

    def end_transaction(self, transaction_id: str) -> None:
        """Forget the TxProfiles of a transaction that is over."""
        for profile in [p for p in self._profiles.values() if p.transaction_id == transaction_id]:
            del self._profiles[profile.id]

    def limit_w(self, evse_id: int, feed: Feed, now: datetime, tx_start: datetime | None, sharing: int = 1) -> float:
        """Return the most an EVSE may draw: the lowest of the leading profiles and the feed (SC.01).

        `sharing` EVSEs divide a ChargingStationMaxProfile equally. Without a transaction (`tx_start` None) the answer
        is that of a transaction starting now (K08.FR.06).
        """
        limits = [feed.max_w]
        for purpose in (STATION_MAX, TX, TX_DEFAULT):
            leading = self._leading(purpose, evse_id, now, tx_start or now)
            if leading is not None:
                profile, period = leading
                limit_w = feed.watts(period, profile.unit)
                limits.append(
                    min(_share_w(feed, period, profile.unit, sharing), limit_w) if purpose == STATION_MAX else limit_w
                )
                if purpose == TX:
                    break  # a TxProfile in force overrules every TxDefaultProfile
        return max(0.0, min(limits))

    def composite(self, outlets: Sequence[Outlet], now: datetime, duration_s: int) -> list[tuple[int, float]]:
        """Return the merged schedule of the outlets together as (seconds from `now`, W); first at 0, neighbours differ.

        Several outlets are the whole station (evseId 0), which shares its ChargingStationMaxProfile equally (K08).
        """
        end = now + timedelta(seconds=duration_s)
        marks = {now}
        for outlet in outlets:
            for profile in self._profiles.values():
                if profile.evse_id in (0, outlet.evse_id):
                    marks |= profile.changes_between(now, end, outlet.tx_start or now)
        schedule: list[tuple[int, float]] = []
        for mark in sorted(marks):
            limit_w = sum(
                self.limit_w(outlet.evse_id, outlet.feed, mark, outlet.tx_start or now, len(outlets))
                for outlet in outlets
            )
            if not schedule or schedule[-1][1] != limit_w:
                schedule.append((int((mark - now).total_seconds()), limit_w))
        return schedule

    def _leading(
        self, purpose: str, evse_id: int, now: datetime, relative_start: datetime
    ) -> tuple[ChargingProfile, Period] | None:
        """Return the profile of the highest stack level that has a period for `now` (K01.FR.17)."""
        best: tuple[ChargingProfile, Period] | None = None
        for profile in self._profiles.values():
            if profile.purpose != purpose or profile.evse_id not in (0, evse_id):
                continue
            period = profile.period_at(now, relative_start)
            if period is not None and (best is None or profile.stack_level > best[0].stack_level):
                best = profile, period
        return best


def _share_w(feed: Feed, period: Period, unit: str, sharing: int) -> float:
    total_w = period.limit if unit == "W" else period.limit * feed.volts * min(feed.phases, period.number_phases)
    return total_w / max(1, sharing)


def _same_place(one: ChargingProfile, other: ChargingProfile) -> bool:
    """Tell whether two profiles would fight over one EVSE at one time (K01.FR.06, 39, 52, 53)."""
    if one.purpose != other.purpose or one.stack_level != other.stack_level:
        return False
    if one.evse_id != other.evse_id and 0 not in (one.evse_id, other.evse_id):
        return False
    apart = (one.valid_to is not None and other.valid_from is not None and one.valid_to <= other.valid_from) or (
        other.valid_to is not None and one.valid_from is not None and other.valid_to <= one.valid_from
    )
    return not apart


def _problem_of(profile: ChargingProfile, transaction_id: str | None) -> str | None:
    """Say which rule of K01 a profile breaks on its own."""
    starts = [period.start_s for period in profile.periods]
    match profile:
        case _ if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            return "InvalidSchedule: startPeriod must begin with 0 and rise"
        case ChargingProfile(purpose="TxProfile", evse_id=0):
            return "InvalidProfile: a TxProfile needs an evseId above 0"
        case ChargingProfile(purpose="TxProfile", transaction_id=wanted) if transaction_id is None or wanted not in (
            None,
            transaction_id,
        ):
            return "TxNotFound: no such transaction is ongoing on the EVSE"
        case ChargingProfile(purpose="ChargingStationMaxProfile", evse_id=evse_id, kind=kind) if (
            evse_id != 0 or kind == "Relative"
        ):
            return "InvalidProfile: a ChargingStationMaxProfile is for evseId 0 and not Relative"
        case ChargingProfile(purpose="ChargingStationExternalConstraints"):
            return "InvalidProfile: external constraints do not come from a CSMS"
        case ChargingProfile(kind="Absolute" | "Recurring", start=None):
            return "InvalidSchedule: startSchedule is missing"
        case ChargingProfile(kind="Relative", start=datetime()):
            return "InvalidSchedule: a Relative profile has no startSchedule"
        case ChargingProfile(kind="Recurring", recurrency=None):
            return "InvalidProfile: recurrencyKind is missing"
    return None
