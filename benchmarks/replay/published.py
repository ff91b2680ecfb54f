"""The figures that Caltech published for the same month, and ours: the replay is to be believed only if they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from benchmarks.replay.data import ACN_START, acn_sessions, sce_tariff
from benchmarks.replay.loop import Policy, Site, replay
from benchmarks.replay.optimum import Foresight
from benchmarks.replay.policies import BASELINES, Uncontrolled
from benchmarks.replay.prices import by_tariff
from benchmarks.replay.scores import Score
from benchmarks.rows import Rows, row

STEP_S: Final = 300
SMALL_KW: Final = 10.0
UNCONTROLLED_KW, UNCONTROLLED_PCT, LOWEST_PEAK_KW, MOST_PCT = 99.0, 99.8837, 33.365, 59.17
AT_SMALL_PCT: Final = {"first_come": 54.74, "round_robin": 55.08, "earliest_deadline": 57.63, "least_laxity": 58.56}
"""acnportal-experiments, comparison of algorithms on March 2019: peaks, and the energy that 10 kW can deliver."""


def measure(data: Path) -> Rows:
    """Replay March 2019 as Caltech did: ideal batteries, no minimum current, decisions every five minutes."""
    sessions = acn_sessions(data)
    free = Site(sessions, minimum_a=0)
    small = Site(sessions, SMALL_KW, minimum_a=0)
    prices = by_tariff(sce_tariff(data), ACN_START, free.seconds)

    def score(site: Site, policy: Policy) -> Score:
        return Score.of(replay(site, policy, STEP_S), prices)

    alone = score(free, Uncontrolled())
    rows = {
        "replay_caltech_uncontrolled_peak_kw": _beside(alone.peak_kw, "kW", UNCONTROLLED_KW),
        "replay_caltech_uncontrolled_energy_pct": _beside(alone.energy_pct, "%", UNCONTROLLED_PCT),
        "replay_caltech_offline_peak_kw": _beside(Foresight(free, STEP_S).lowest_peak().bound, "kW", LOWEST_PEAK_KW),
    }
    for name, policy in BASELINES.items():
        energy_pct = score(small, policy(SMALL_KW)).energy_pct
        rows[f"replay_caltech_10kw_{name}_energy_pct"] = _beside(energy_pct, "%", AT_SMALL_PCT[name])
    most_kwh = Foresight(small, STEP_S).most_energy().bound
    rows["replay_caltech_10kw_offline_energy_pct"] = _beside(100 * most_kwh / alone.wanted_kwh, "%", MOST_PCT)
    return rows


def _beside(value: float, unit: str, published: float) -> dict[str, Any]:
    return {**row(value, unit, f"published {published}"), "value": round(value, 3)}
