"""Small sites that nobody recorded, for tests of the replay."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from hypothesis import strategies as st

from benchmarks.replay.loop import Site
from benchmarks.replay.prices import Prices
from benchmarks.replay.sessions import Session

START: Final = datetime(2020, 1, 6, tzinfo=UTC)


@st.composite
def sessions(draw: st.DrawFn, number: int = 0) -> Session:
    """A session of a quarter hour to three hours, with a battery of any kind."""
    arrives_s = draw(st.integers(0, 4 * 3600))
    capacity_kwh = draw(st.floats(2, 60))
    soc = draw(st.floats(0, 0.97))
    max_kw, phases = draw(st.sampled_from([(3.68, 1), (7.36, 1), (11.04, 3)]))
    return Session(
        f"session {number}",
        arrives_s,
        arrives_s + draw(st.integers(900, 3 * 3600)),
        wanted_kwh=draw(st.floats(0.01, 1)) * (0.98 - soc) * capacity_kwh,
        max_kw=max_kw,
        phases=phases,
        capacity_kwh=capacity_kwh,
        soc=soc,
        taper_from=draw(st.sampled_from([0.5, 0.8, 1.0])),
    )


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """One to six sessions under a limit that is too small for some."""
    count = draw(st.integers(1, 6))
    return Site([draw(sessions(number)) for number in range(count)], limit_kw=draw(st.floats(1, 40)))


def quarter_prices(per_kwh: list[float], **more: object) -> Prices:
    """Prices by quarter hour."""
    return Prices(START, np.array(per_kwh), "CHF", **more)  # type: ignore[arg-type]
