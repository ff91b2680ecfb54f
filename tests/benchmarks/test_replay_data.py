"""The readers understand the formats of the data sets, on small made-up files; prices are known when they come out."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from benchmarks.replay import data
from benchmarks.replay.prices import Prices, by_tariff
from tests.benchmarks.sites import START


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, data.ACN_SESSIONS, "")
    assert data.missing(tmp_path) == [name for name in data.FILES if name != data.ACN_SESSIONS]


def test_caltechs_steps_of_five_minutes_become_seconds(tmp_path: Path) -> None:
    write(
        tmp_path,
        data.ACN_SESSIONS,
        "session_id,station_id,arrival_5min,departure_5min,requested_kwh\none,CA-1,76,92,4.216\n",
    )
    [session] = data.acn_sessions(tmp_path)
    assert (session.arrives_s, session.leaves_s, session.wanted_kwh) == (22_800, 27_600, 4.216)
    assert session.max_kw / session.kw_per_a == pytest.approx(31.73, abs=0.01)


def test_edisons_tariff_holds_by_season_day_and_hour(tmp_path: Path) -> None:
    season = {"dow_mask": "WEEKDAYS", "times": [0, 8, 23], "demand_charge": 15.51}
    summer = season | {"effective_start": "06-01", "effective_end": "09-30", "tariffs": [1, 2, 1]}
    winter = season | {"effective_start": "10-01", "effective_end": "05-31", "tariffs": [3, 4, 3]}
    weekend = winter | {"dow_mask": "WEEKENDS", "times": [0], "tariffs": [5]}
    write(tmp_path, data.SCE_TARIFF, json.dumps({"schedule": [summer, winter, weekend]}))
    tariff = data.sce_tariff(tmp_path)
    zone = ZoneInfo(tariff.zone)
    assert tariff.price_at(datetime(2019, 9, 30, 8, tzinfo=zone)) == 2
    assert tariff.price_at(datetime(2019, 10, 1, 7, 59, tzinfo=zone)) == 3
    assert tariff.price_at(datetime(2019, 3, 1, 22, 59, tzinfo=zone)) == 4
    assert tariff.price_at(datetime(2019, 3, 1, 23, tzinfo=zone)) == 3
    assert tariff.price_at(datetime(2019, 3, 2, 12, tzinfo=zone)) == 5
    assert tariff.peak_per_kw == 15.51


def test_zurichs_night_begins_at_ten_and_lasts_all_sunday(tmp_path: Path) -> None:
    zones = [{"hours": ["06:00-22:00"], "rp_kwh": 26.18}, {"rp_kwh": 15.51}]
    write(tmp_path, data.SWISS_TARIFFS, json.dumps({"tariffs": [{"id": "ewz_basis_2019", "zones": zones}]}))
    tariff = data.zurich_night(tmp_path)
    start = datetime(2020, 1, 4, tzinfo=ZoneInfo("Europe/Zurich"))  # a Saturday
    prices = by_tariff(tariff, start, 2 * 86_400)
    assert list(np.flatnonzero(prices.per_kwh > 0.2)) == list(range(6 * 4, 22 * 4))


def test_norwegian_sessions_are_read_by_garage_with_the_charger_that_explains_them(tmp_path: Path) -> None:
    head = '"location";"user_id";"session_id";"plugin_time";"plugout_time";"connection_time";"energy_session"\n'
    lines = [
        '"A";"A_1";"1";2020-01-01 01:00:00;2020-01-01 03:00:00;2;"13,5"',
        '"A";"A_1";"2";2020-01-31 23:00:00;2020-02-01 07:00:00;8;"2,25"',
        '"A";"A_1";"before";2019-12-31 23:00:00;2020-01-01 07:00:00;8;"2,25"',
        '"A";"A_1";"unknown";2020-01-05 23:00:00;NA;NA;"2,25"',
        '"B";"B_1";"3";2020-01-02 00:00:00;2020-01-02 01:00:00;1;"10,5"',
    ]
    write(tmp_path, data.NORWAY_SESSIONS, head + "\n".join(lines))
    sites = data.norway_sites(tmp_path)
    assert [(each.session_id, each.arrives_s, each.wanted_kwh, each.max_kw) for each in sites["A"]] == [
        ("1", 3600, 13.5, 7.36),
        ("2", 31 * 86_400 - 3600, 2.25, 7.36),
    ]
    assert [(each.max_kw, each.phases) for each in sites["B"]] == [(11.04, 3)]


def test_dutch_prices_are_read_in_both_formats_of_their_file(tmp_path: Path) -> None:
    text = "Datetime (UTC),Datetime (Local),Price (EUR/MWhe)\n2020-01-06 00:00:00,,50\n06/01/2020 01:00,,-20\n,,\n"
    write(tmp_path, data.NL_PRICES, text)
    prices = data.nl_day_ahead(tmp_path, START, 2 * 3600)
    assert list(prices.per_kwh) == [0.05] * 4 + [-0.02] * 4
    with pytest.raises(ValueError, match="4 quarter hours"):
        data.nl_day_ahead(tmp_path, START, 3 * 3600)


def test_the_next_days_prices_are_known_from_one_oclock_and_until_then_taken_for_todays() -> None:
    per_kwh = np.arange(3 * 96, dtype=np.float64)
    prices = Prices(START, per_kwh, "EUR", published_at=13)
    assert prices.known_quarters(13 * 3600 - 1) == 96
    assert prices.known_quarters(13 * 3600) == 192
    seen = prices.as_seen(0)
    assert list(seen[:96]) == list(seen[96:192]) == list(seen[192:]) == list(per_kwh[:96])
    assert list(prices.as_seen(13 * 3600)[192:]) == list(per_kwh[96:192])


def test_a_day_of_publication_is_a_local_day() -> None:
    start = datetime(2020, 1, 6, tzinfo=UTC)
    prices = Prices(start, np.zeros(3 * 96), "EUR", published_at=13, zone="Europe/Amsterdam")
    assert start + timedelta(seconds=900 * prices.known_quarters(12 * 3600)) == datetime(2020, 1, 7, 23, tzinfo=UTC)
