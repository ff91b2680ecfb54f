"""`python -m optimizer explain`: a person understands the plan, and what is wrong with a request."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from optimizer.__main__ import main

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def told(capsys: pytest.CaptureFixture[str], path: Path, *more: str) -> str:
    assert main(["explain", str(path), *more]) == 0
    return capsys.readouterr().out


def test_the_plan_of_a_car_tells_slots_cost_and_what_charging_at_once_would_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = told(capsys, EXAMPLES / "night.json")
    assert "Thu 15 Jan 22:00:00 - 00:30:00   11.00 kW   27.500 kWh  at   0.1551 CHF/kWh" in out
    assert "Bought   27.00 kWh, 29.35 at the meter, for 4.55 CHF (0.1551 CHF/kWh)" in out
    assert "At once  7.68 CHF; this plan saves 3.13 CHF (41%)" in out
    assert "Because  all that is wanted is bought" in out
    assert "proven" in out


def test_the_plan_of_a_site_tells_who_gets_what_and_which_limit_binds(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, EXAMPLES / "garage.json")
    assert "B            25.00 kWh for 6.54 CHF (0.2618 CHF/kWh); all that is wanted is bought" in out
    assert "C            16.12 kWh for 2.50 CHF (0.1551 CHF/kWh); the budget is spent" in out
    assert "Missing  3.88 kWh" in out
    assert "Cost     25.40 CHF" in out


@pytest.mark.parametrize("example", ["night", "garage"])
def test_a_plan_can_be_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path, example: str) -> None:
    drawn = tmp_path / "plan.png"
    told(capsys, EXAMPLES / f"{example}.json", "--picture", str(drawn))
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert drawn.stat().st_size > 10_000


def test_without_matplotlib_the_reader_is_told_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["explain", str(EXAMPLES / "night.json"), "--picture", str(tmp_path / "plan.png")]) == 2
    assert "install cloudbay[pictures]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"car": None}, "a car or a site"),
        ({"now": "2026-01-15T17:34:00"}, "with their offset"),
        ({"until": "2026-01-15T17:00:00+01:00"}, "ends after it begins"),
        ({"tariff": None}, "nothing says the price"),
        ({"car": {"maximum_kw": 11, "wish": {"enrgy_kwh": 3}}}, "unknown field `enrgy_kwh` - at `$.car.wish`"),
        ({"car": {"maximum_kw": 3, "minimum_kw": 4}}, "minimum <= maximum"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(json.loads((EXAMPLES / "night.json").read_text()) | change))
    assert main(["explain", str(request)]) == 2
    assert complaint in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "none.json")]) == 2
