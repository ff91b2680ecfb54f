"""All policies on the same sessions: what each delivers, its peak and cost, and how far ours is from the optimum."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from multiprocessing import get_context
from operator import add
from pathlib import Path
from typing import Any, Final

from benchmarks.replay import data as public
from benchmarks.replay import pictures, published
from benchmarks.replay.loop import Site, replay
from benchmarks.replay.optimum import Foresight
from benchmarks.replay.ours import Ours
from benchmarks.replay.policies import BASELINES, Uncontrolled
from benchmarks.replay.prices import Prices, by_tariff
from benchmarks.replay.scores import Score, means_kw
from benchmarks.replay.sessions import Session, with_battery
from benchmarks.rows import Rows, percentile, row

LIMIT_SHARE: Final = 0.5
"""What a site may draw, by what its cars draw at most when nothing holds them back."""
EVERY_S: Final = 60
"""How often meters are read, and policies asked."""
POLICIES: Final = ("uncontrolled", *BASELINES, "ours", "offline")
GOAL: Final = "<=2"


@dataclass(frozen=True, slots=True)
class Case:
    """Sites under one tariff."""

    name: str
    sites: dict[str, list[Session]]
    prices: Prices


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy did at one site, or at all."""

    score: Score
    least_cost: float = 0.0
    """What the same energies would have cost at least; only for ours."""
    solve_ms: tuple[float, ...] = ()


def cases(data: Path) -> list[Case]:
    """Return what is replayed, with batteries that taper."""
    acn = [with_battery(each) for each in public.acn_sessions(data)]
    norway = {name: [with_battery(each) for each in there] for name, there in public.norway_sites(data).items()}
    acn_s = Site(acn).seconds
    norway_s = max(Site(each).seconds for each in norway.values())
    return [
        Case("acn", {"caltech": acn}, by_tariff(public.sce_tariff(data), public.ACN_START, acn_s)),
        Case("norway_night", norway, by_tariff(public.zurich_night(data), public.NORWAY_START, norway_s)),
        Case("norway_day_ahead", norway, public.nl_day_ahead(data, public.NORWAY_START, norway_s)),
    ]


def measure(data: Path) -> Rows:
    """Replay all data sets; raises FileNotFoundError when one of their files is not there."""
    if missing := public.missing(data):
        raise FileNotFoundError(f"not in {data}: {', '.join(missing)}")
    rows = published.measure(data)
    contests = cases(data)
    totals: dict[tuple[str, str], Outcome] = {}
    # Not by fork: the solver's threads, which the published figures started, would not be there in a copy.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        by_peak = pool.submit(rows_by_peak, contests[0])
        # Ours takes longest, so it begins.
        under_way = {
            (case.name, policy): [pool.submit(outcome, case, site, policy) for site in case.sites]
            for policy in sorted(POLICIES, key=lambda policy: policy != "ours")
            for case in contests
        }
        drawn = pool.submit(draw_days, contests)
        for key in ((case.name, policy) for case in contests for policy in POLICIES):
            totals[key] = _total(under_way[key])
        rows |= dict(_rows(totals, {case.name: case.prices.currency for case in contests})) | by_peak.result()
        drawn.result()
    pictures.draw_costs({key: total.score for key, total in totals.items()})
    return rows


def site_of(case: Case, name: str) -> Site:
    """Return a site of a case under its limit."""
    free = Site(case.sites[name])
    most_kw = Score.of(replay(free, Uncontrolled()), case.prices).peak_kw
    return replace(free, limit_kw=LIMIT_SHARE * most_kw)


def outcome(case: Case, name: str, policy: str) -> Outcome:
    """Replay a site under a policy."""
    site = site_of(case, name)
    if policy == "offline":
        foresight = Foresight(site)
        most_kwh = foresight.most_energy().delivered_kwh(len(site.sessions))
        return Outcome(Score.planned(site, foresight.cheapest(case.prices, most_kwh)))
    if policy == "ours":
        ours = Ours(site.limit_kw, case.prices)
        run = replay(site, ours, EVERY_S)
        least = Foresight(site).cheapest(case.prices, run.delivered_kwh).bound
        return Outcome(Score.of(run, case.prices), least, tuple(ours.solve_ms))
    if policy == "uncontrolled":
        return Outcome(Score.of(replay(Site(site.sessions), Uncontrolled(), EVERY_S), case.prices))
    return Outcome(Score.of(replay(site, BASELINES[policy](site.limit_kw), EVERY_S), case.prices))


def rows_by_peak(case: Case) -> Rows:
    """Replay Caltech without a limit, when the highest quarter hour of the month costs too."""
    site = Site(case.sites["caltech"])
    rows: Rows = {}

    def add_rows(policy: str, peak_kw: float, cost: float) -> None:
        rows[f"replay_acn_by_peak_{policy}_peak_kw"] = row(peak_kw, "kW")
        rows[f"replay_acn_by_peak_{policy}_cost"] = row(cost, case.prices.currency)

    for name, policy in (("uncontrolled", Uncontrolled()), ("ours", Ours(site.limit_kw, case.prices, by_peak=True))):
        run = replay(site, policy, EVERY_S)
        score, peak_kw = Score.of(run, case.prices), float(means_kw(run, 900).max())
        add_rows(name, peak_kw, score.energy_cost + case.prices.peak_per_kw * peak_kw)
        rows[f"replay_acn_by_peak_{name}_energy_pct"] = row(score.energy_pct, "%")
    best = Foresight(site).cheapest(case.prices, run.delivered_kwh, by_peak=True)
    add_rows("offline", best.peak_kw, best.bound)
    return rows


def draw_days(contests: list[Case]) -> None:
    """Draw some days of Caltech and a night of a car in Norway."""
    acn, _, day_ahead = contests
    site = site_of(acn, "caltech")
    pictures.draw_site(site, Ours(site.limit_kw, acn.prices), range(4, 6))
    site = site_of(day_ahead, "OSL_S")
    pictures.draw_car(site, day_ahead.prices, pictures.a_night(site))


def _total(parts: list[Future[Outcome]]) -> Outcome:
    outcomes = [part.result() for part in parts]
    return Outcome(
        reduce(add, (each.score for each in outcomes)),
        sum(each.least_cost for each in outcomes),
        tuple(ms for each in outcomes for ms in each.solve_ms),
    )


def _rows(totals: dict[tuple[str, str], Outcome], currencies: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for (case, policy), total in totals.items():
        begin, score = f"replay_{case}_{policy}", total.score
        yield f"{begin}_peak_kw", row(score.peak_kw, "kW")
        yield f"{begin}_energy_pct", row(score.energy_pct, "%")
        yield f"{begin}_served_pct", row(score.served_pct, "%")
        yield f"{begin}_cost", row(score.energy_cost, currencies[case])
        if policy == "ours":
            yield f"{begin}_messages", row(score.messages / score.sessions, "each")
            yield f"{begin}_solve_p50_ms", row(percentile(list(total.solve_ms), 0.5), "ms")
            yield f"{begin}_solve_p99_ms", row(percentile(list(total.solve_ms), 0.99), "ms")
            yield f"regret_{case}_pct", row(100 * (score.energy_cost / total.least_cost - 1), "%", GOAL)
    yield "violations", row(sum(total.score.violations_s for total in totals.values()), "s", "<=0")
