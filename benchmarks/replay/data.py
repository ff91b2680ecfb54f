"""Reads the public data sets of `--data`: sessions of Caltech and of Norwegian houses, tariffs, day-ahead prices."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.replay.prices import QUARTER_S, Prices
from benchmarks.replay.sessions import Session
from optimizer.prices import Band, Tariff

ACN_SESSIONS: Final = "acn/caltech_2019-03_sessions.csv"
SCE_TARIFF: Final = "tariffs/us_sce_tou_ev_4_march_2019.json"
NORWAY_SESSIONS: Final = "ev/norway_12sites_charging_reports.csv.gz"
SWISS_TARIFFS: Final = "tariffs/swiss_tariffs_collected.json"
NL_PRICES: Final = "prices/nl_day_ahead_2015-2024.csv.gz"
FILES: Final = (ACN_SESSIONS, SCE_TARIFF, NORWAY_SESSIONS, SWISS_TARIFFS, NL_PRICES)

ACN_START: Final = datetime(2019, 3, 1, tzinfo=ZoneInfo("America/Los_Angeles"))
NORWAY_START: Final = datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Oslo"))
NORWAY_END: Final = datetime(2020, 2, 1, tzinfo=ZoneInfo("Europe/Oslo"))

_ACN_KW, _ACN_VOLTS, _ACN_STEP_S = 6.6, 208.0, 300
_NORWEGIAN_CHARGERS: Final = ((3.68, 1), (7.36, 1), (11.04, 3))
"""16 A, 32 A and three times 16 A at 230 V, with their phases."""
_WEEKDAYS: Final = {"WEEKDAYS": (0, 1, 2, 3, 4), "WEEKENDS": (5, 6), "ALL": (0, 1, 2, 3, 4, 5, 6)}


def missing(data: Path) -> list[str]:
    """Return which of the files are not there."""
    return [name for name in FILES if not (data / name).exists()]


def acn_sessions(data: Path) -> list[Session]:
    """Return the sessions of March 2019 at Caltech; their times are on steps of five minutes."""
    with (data / ACN_SESSIONS).open(newline="") as file:
        return [
            Session(
                line["session_id"],
                int(line["arrival_5min"]) * _ACN_STEP_S,
                int(line["departure_5min"]) * _ACN_STEP_S,
                float(line["requested_kwh"]),
                _ACN_KW,
                volts=_ACN_VOLTS,
            )
            for line in csv.DictReader(file)
        ]


def sce_tariff(data: Path) -> Tariff:
    """Return Southern California Edison's TOU-EV-4; its seasons are whole months."""
    schedule = json.loads((data / SCE_TARIFF).read_text())["schedule"]
    return Tariff(
        zone="America/Los_Angeles",
        per_kwh=float("nan"),
        bands=tuple(band for season in schedule for band in _bands(season)),
        peak_per_kw=max(season["demand_charge"] for season in schedule),
        currency="USD",
    )


def _bands(season: dict[str, Any]) -> Iterator[Band]:
    first, last = (int(season[key][:2]) for key in ("effective_start", "effective_end"))
    months = tuple((first - 1 + count) % 12 + 1 for count in range((last - first) % 12 + 1))
    hours = season["times"]
    for since, until, price in zip(hours, [*hours[1:], hours[0]], season["tariffs"], strict=True):
        yield Band(
            per_kwh=price,
            since=time(since),
            until=time(until),
            weekdays=_WEEKDAYS[season["dow_mask"]],
            months=months,
        )


def zurich_night(data: Path) -> Tariff:
    """Return the day and night tariff of Zürich's utility in 2019, with grid and taxes."""
    tariffs = json.loads((data / SWISS_TARIFFS).read_text())["tariffs"]
    day, night = next(each for each in tariffs if each["id"] == "ewz_basis_2019")["zones"]
    since, until = (time.fromisoformat(each) for each in day["hours"][0].split("-"))
    band = Band(per_kwh=day["rp_kwh"] / 100, since=since, until=until, weekdays=(0, 1, 2, 3, 4, 5))
    return Tariff(zone="Europe/Zurich", per_kwh=night["rp_kwh"] / 100, bands=(band,))


def norway_sites(data: Path) -> dict[str, list[Session]]:
    """Return the sessions that began in January 2020 in the garages of Norwegian blocks of flats, by garage.

    The reports tell no power of the chargers: it is the least of the usual ones that explains all that a parking place
    took in any of its sessions.
    """
    with gzip.open(data / NORWAY_SESSIONS, "rt", newline="") as file:
        lines = [line for line in csv.DictReader(file, delimiter=";") if line["plugout_time"] != "NA"]
    chargers = _chargers(lines)
    sites = defaultdict(list)
    for line in lines:
        arrives, leaves = _local(line["plugin_time"]), _local(line["plugout_time"])
        if not NORWAY_START <= arrives < NORWAY_END or leaves <= arrives:
            continue
        max_kw, phases = chargers[line["user_id"]]
        began, ended = (int((each - NORWAY_START).total_seconds()) for each in (arrives, leaves))
        sites[line["location"]].append(
            Session(line["session_id"], began, ended, _number(line["energy_session"]), max_kw, phases)
        )
    return dict(sites)


def _chargers(lines: list[dict[str, str]]) -> dict[str, tuple[float, int]]:
    means_kw = defaultdict(list)
    for line in lines:
        hours = (_local(line["plugout_time"]) - _local(line["plugin_time"])).total_seconds() / 3600
        if hours >= 0.25:  # shorter ones say little: times are in minutes
            means_kw[line["user_id"]].append(_number(line["energy_session"]) / hours)
    largest = _NORWEGIAN_CHARGERS[-1]
    chargers: dict[str, tuple[float, int]] = defaultdict(lambda: largest)
    for user, means in means_kw.items():
        most = float(np.quantile(means, 0.98))
        chargers[user] = next((each for each in _NORWEGIAN_CHARGERS if most <= each[0]), largest)
    return chargers


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NORWAY_START.tzinfo)


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def nl_day_ahead(data: Path, start: datetime, seconds: int) -> Prices:
    """Return the Dutch day-ahead prices; those of the next day come out at one o'clock."""
    quarters = -(-seconds // QUARTER_S)
    per_kwh = np.full(quarters, np.nan)
    with gzip.open(data / NL_PRICES, "rt", newline="") as file:
        for line in csv.DictReader(file):
            if not line["Datetime (UTC)"]:
                continue  # the file ends in empty lines
            quarter = int((_moment(line["Datetime (UTC)"]) - start).total_seconds()) // QUARTER_S
            if -4 < quarter < quarters:
                per_kwh[max(quarter, 0) : quarter + 4] = float(line["Price (EUR/MWhe)"]) / 1000
    if np.isnan(per_kwh).any():
        raise ValueError(f"no day-ahead price for {np.count_nonzero(np.isnan(per_kwh))} quarter hours")
    return Prices(start, per_kwh, "EUR", published_at=13, zone="Europe/Amsterdam")


def _moment(text: str) -> datetime:
    """Read a time in UTC; the file changes its format in its last years."""
    form = "%d/%m/%Y %H:%M" if "/" in text else "%Y-%m-%d %H:%M:%S"
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def end_of(start: datetime, seconds: int) -> datetime:
    """Return the moment so many seconds after the start, daylight saving or not."""
    return start.astimezone(UTC) + timedelta(seconds=seconds)
