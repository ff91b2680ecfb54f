"""The battery: never more than offered, never backwards, no energy from nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.battery import TAPER_FROM, Battery

pytestmark = pytest.mark.pure

batteries = st.builds(
    Battery,
    capacity_wh=st.floats(5_000, 120_000),
    soc=st.floats(0, 1),
    ac_max_w=st.floats(1_000, 22_000),
    dc_max_w=st.floats(10_000, 350_000),
    efficiency=st.floats(0.7, 1.0),
)
steps = st.lists(st.tuples(st.floats(0, 7200), st.floats(0, 400_000)), min_size=1, max_size=8)


@given(batteries, steps, st.booleans())
def test_offers_and_physics_are_kept(battery: Battery, charged: list[tuple[float, float]], dc: bool) -> None:
    before = battery.soc
    drawn_wh = 0.0
    for dt_s, offered_w in charged:
        at_start, most_w = battery.soc, battery.dc_max_w if dc else battery.ac_max_w
        energy_wh = battery.advance(dt_s, offered_w, dc=dc)
        assert 0.0 <= energy_wh <= min(offered_w, most_w) * dt_s / 3600 * (1 + 1e-9) + 1e-9
        assert at_start <= battery.soc <= 1.0
        drawn_wh += energy_wh
    assert (battery.soc - before) * battery.capacity_wh == pytest.approx(drawn_wh * battery.efficiency, abs=0.01)


def test_power_is_full_below_80_percent_and_falls_above() -> None:
    powers = [Battery(soc=soc).accepts_w(dc=True) for soc in (0.1, TAPER_FROM, 0.85, 0.9, 0.99, 1.0)]
    assert powers[0] == powers[1] == 150_000.0
    assert powers[1:] == sorted(powers[1:], reverse=True)
    assert powers[-1] == 0.0


def test_a_car_gets_full_in_the_end() -> None:
    battery = Battery(soc=0.9)
    battery.advance(6 * 3600, 11_000)
    assert battery.soc == 1.0
    assert battery.advance(3600, 11_000) == 0.0


def test_the_step_does_not_matter() -> None:
    coarse, fine = Battery(soc=0.5), Battery(soc=0.5)
    one = coarse.advance(4 * 3600, 11_000)
    many = sum(fine.advance(5, 11_000) for _ in range(4 * 720))
    assert one == pytest.approx(many, rel=0.001)
