"""Rollouts of any shape, small enough for every way of planning."""

from __future__ import annotations

from hypothesis import strategies as st

from optimizer.rollout.request import (
    Area,
    Canaries,
    Cell,
    Controller,
    Limits,
    Order,
    Rollout,
    Series,
    Traits,
    Underway,
    Weights,
)  # fmt: skip

IMAGE_MB = 10.0
AREAS = ("site", "feeder", "pair")
STRATA = ("small", "large")


def maybe(limit: st.SearchStrategy[int], slots: int, scale: float = 1.0) -> st.SearchStrategy[Series | None]:
    scaled = limit.map(lambda each: each * scale)
    return st.one_of(st.none(), scaled, st.lists(scaled, min_size=slots, max_size=slots).map(tuple))


@st.composite
def traits(draw: st.DrawFn, slots: int, controllers: bool) -> Traits:
    begin = draw(st.integers(0, slots))
    return Traits(
        stratum=draw(st.sampled_from(STRATA)),
        areas=tuple(sorted(draw(st.sets(st.sampled_from(AREAS), max_size=2)))),
        usage=draw(st.sampled_from(["shop", "home", None])),
        controller=draw(st.sampled_from([None, "lc"])) if controllers else None,
        image_mb=draw(st.sampled_from([IMAGE_MB, 0.0])),
        download_slots=draw(st.integers(0, 2)),
        outage_slots=draw(st.integers(1, 2)),
        blackouts=draw(st.sampled_from([(), ((begin, begin + 2),)])),
        severity=draw(st.sampled_from([0.5, 0.2, 0.0])),
        restart_kw=draw(st.sampled_from([0.0, 11.0])),
    )


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """Return any rollout of a few cells and slots."""
    slots = draw(st.integers(3, 8))
    controllers = draw(st.booleans())
    cells = [
        Cell(
            f"cell {number}",
            draw(traits(slots, controllers)),
            count := draw(st.integers(1, 4)),
            draw(st.integers(0, count)),
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    orders = draw(st.sampled_from([(), (Order("device", "cell 0"),)]))
    if orders:
        cells.append(Cell("device", draw(traits(slots, False)), 1))
    few = st.integers(1, 4)
    growing: Series = tuple(0.1 * (slot + 1) for slot in range(slots))
    busy = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=slots, max_size=slots).map(tuple)
    return Rollout(
        slots=slots,
        cells=tuple(cells),
        areas={
            name: Area(
                max_offline=draw(st.none() | st.integers(1, 3)),
                wan_mb=draw(maybe(few, slots, IMAGE_MB)),
                restart_kw=draw(maybe(few, slots, 11.0)),
            )
            for name in AREAS
        },
        busy={"shop": draw(busy), "home": draw(busy)},
        failure_bound={"small": 0.1, "large": draw(st.sampled_from([0.03, 0.0]))},
        controllers={
            "lc": Controller(IMAGE_MB, draw(few) * IMAGE_MB, ("site",), draw(st.integers(0, 2)), draw(st.booleans()))
        },
        canaries=draw(st.none() | st.builds(Canaries, few, st.integers(1, 2), st.integers(0, 1), st.integers(1, 2))),
        limits=Limits(
            cdn_mb=draw(maybe(few, slots, IMAGE_MB)),
            installs=draw(maybe(few, slots)),
            returns=draw(maybe(few, slots)),
            risk=draw(st.sampled_from([growing, 0.5, None])),
            service=draw(st.sampled_from([0.1, 0.25, None])),
        ),
        orders=orders,
        underway=draw(st.sampled_from([(), (Underway("cell 0", -1, 1),)])),
        weights=Weights(wan_mb=draw(st.sampled_from([0.0, 0.01]))),
    )
