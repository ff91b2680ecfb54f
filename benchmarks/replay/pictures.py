"""Three pictures of the replay: one car, one site under its limit, and what the policies cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.replay.loop import QUARTER_S, Policy, Present, Run, Site, replay
from benchmarks.replay.ours import Ours
from benchmarks.replay.policies import Uncontrolled
from benchmarks.replay.prices import Prices
from benchmarks.replay.scores import Score
from benchmarks.replay.sessions import Floats, Session

PICTURES: Final = Path(__file__).parents[1] / "pictures"
DOTS_PER_INCH: Final = 100
DAY_S: Final = 86_400
STEP_S: Final = 300
"""Powers are drawn as means of so long."""
_EVERY_S: Final = 60


@dataclass(slots=True)
class _FirstPlan:
    """Asks our planner, and keeps the plan that it had for one car at first."""

    ours: Ours
    car: int
    plan: tuple[Sequence[float], Sequence[float]] | None = field(default=None)
    """Edges in seconds, and powers between them."""

    def limits_a(self, now_s: int, present: Present) -> Floats:
        limits = self.ours.limits_a(now_s, present)
        if self.plan is None and self.car in present.index:
            self.plan = self.ours.plan_of(self.car)
        return limits


def draw_car(site: Site, prices: Prices, session: Session) -> None:
    """Draw what energy costs while a car is there, how it was planned on arrival, and what it really took."""
    stay = range(session.arrives_s // STEP_S * STEP_S, -(-session.leaves_s // STEP_S) * STEP_S)
    short = _until(site, stay.stop)
    car = short.sessions.index(session)
    policy = _FirstPlan(Ours(site.limit_kw, prices), car)
    run = replay(short, policy, _EVERY_S, watch=stay)
    took_kw = _power_of(run, car, stay)
    figure, (above, below) = _figure(2)
    quarters = range(stay.start // QUARTER_S, -(-stay.stop // QUARTER_S))
    above.step(
        _hours([quarter * QUARTER_S for quarter in quarters], stay),
        100 * prices.per_kwh[quarters],
        where="post",
        color="C7",
    )
    above.set_ylabel(f"{prices.currency} 0.01 / kWh")
    assert policy.plan is not None
    edges_s, planned_kw = policy.plan
    below.stairs(planned_kw, _hours(edges_s, stay), color="C1", label="planned on arrival", linewidth=1.5)
    below.fill_between(_hours(stay[::STEP_S], stay), took_kw, step="post",
                       alpha=0.5, label="taken")  # fmt: skip
    below.set_ylabel("kW")
    below.set_xlabel("hours after arrival")
    below.legend(frameon=False)
    _save(figure, "one-car")


def draw_site(site: Site, policy: Policy, days: range) -> None:
    """Draw the powers of all cars on top of each other, under the limit, beside what they had drawn uncontrolled."""
    seconds = range(days.start * DAY_S, days.stop * DAY_S)
    short = _until(site, seconds.stop)
    run = replay(short, policy, _EVERY_S, watch=seconds)
    free = replay(Site(short.sessions), Uncontrolled(), _EVERY_S)
    cars = sorted({int(car) for trace in run.traces for car in trace.index})
    powers = np.array([_power_of(run, car, seconds) for car in cars])
    hours = _hours(seconds[::STEP_S], seconds)
    figure, (axes,) = _figure(1)
    axes.stackplot(hours, powers[powers.max(axis=1) > 0], linewidth=0)
    alone_kw = free.power_kw[seconds.start : seconds.stop].reshape(-1, STEP_S).mean(axis=1)
    axes.plot(hours[: len(alone_kw)], alone_kw, color="0.4", linewidth=1, label="uncontrolled")
    axes.axhline(site.limit_kw, color="black", linestyle="--", linewidth=1, label="limit of the site")
    axes.set_ylabel("kW")
    axes.set_xlabel("hours")
    axes.legend(frameon=False)
    _save(figure, "site")


def draw_costs(scores: dict[tuple[str, str], Score]) -> None:
    """Draw what a kWh costs under each policy, by what it costs uncontrolled; by case and policy."""
    cases = list(dict.fromkeys(case for case, _ in scores))
    policies = list(dict.fromkeys(policy for _, policy in scores))
    figure, (axes,) = _figure(1)
    width = 0.8 / len(cases)
    for number, case in enumerate(cases):
        alone = scores[case, "uncontrolled"].kwh_cost
        relative = [100 * scores[case, policy].kwh_cost / alone for policy in policies]
        axes.bar(np.arange(len(policies)) + number * width, relative, width, label=case.replace("_", " "))
    axes.set_xticks(np.arange(len(policies)) + 0.4 - width / 2, [policy.replace("_", "\n") for policy in policies])
    axes.set_ylabel("cost of a kWh, % of uncontrolled")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(cases))
    _save(figure, "costs")


def a_night(site: Site) -> Session:
    """Return a session of the second week: of those over a night, the first that takes much but not all the time."""
    return next(
        each
        for each in sorted(site.sessions, key=lambda each: each.arrives_s)
        if each.arrives_s > 7 * DAY_S
        and 12 * 3600 < each.leaves_s - each.arrives_s < 18 * 3600
        and 3 < each.wanted_kwh / each.max_kw < 5
    )


def _until(site: Site, end_s: int) -> Site:
    """Return the site without those who come later."""
    return replace(site, sessions=[each for each in site.sessions if each.arrives_s < end_s])


def _power_of(run: Run, car: int, seconds: range) -> Floats:
    """Return the power of a car in steps of five minutes."""
    power_kw = np.zeros(len(seconds))
    for trace in run.traces:
        column = np.flatnonzero(trace.index == car)
        if len(column):
            begin = trace.begin_s - seconds.start
            drawn = trace.power_kw[: len(seconds) - begin, column[0]]
            power_kw[begin : begin + len(drawn)] = drawn
    means: Floats = power_kw.reshape(-1, STEP_S).mean(axis=1)
    return means


def _hours(at_s: Sequence[float], since: range) -> Floats:
    hours: Floats = (np.asarray(at_s, dtype=np.float64) - since.start) / 3600
    return hours


def _figure(rows: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.margins(x=0)
    return figure, axes


def _save(figure: Figure, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    figure.savefig(PICTURES / f"{name}.png", dpi=DOTS_PER_INCH)
