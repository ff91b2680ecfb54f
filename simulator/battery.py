"""A car's battery: how much power it takes at a state of charge.

Must not know: OCPP, EVSEs, the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TAPER_FROM: Final = 0.8
"""State of charge from which cells limit the current (constant-voltage phase)."""
_LAST_POWER: Final = 0.05
_STEP_S: Final = 10.0


@dataclass
class Battery:
    """Capacity in Wh, state of charge 0..1, the car's own limits in W, the share of the energy drawn that is stored."""

    capacity_wh: float = 60_000.0
    soc: float = 0.3
    ac_max_w: float = 11_000.0
    dc_max_w: float = 150_000.0
    efficiency: float = 0.92

    def accepts_w(self, *, dc: bool) -> float:
        """Return the power the car would draw now if it were offered any."""
        if self.soc >= 1.0:
            return 0.0
        full = self.dc_max_w if dc else self.ac_max_w
        taper = (1.0 - self.soc) / (1.0 - TAPER_FROM)
        return full * min(1.0, _LAST_POWER + (1.0 - _LAST_POWER) * taper)

    def advance(self, dt_s: float, offered_w: float, *, dc: bool = False) -> float:
        """Charge for `dt_s` seconds at no more than `offered_w`; return the energy drawn from the EVSE in Wh."""
        drawn_wh = 0.0
        while dt_s > 0.0 and self.soc < 1.0:
            step_s = min(dt_s, _STEP_S)
            power_w = max(0.0, min(offered_w, self.accepts_w(dc=dc)))
            room_wh = (1.0 - self.soc) * self.capacity_wh / self.efficiency
            step_wh = power_w * step_s / 3600.0
            if step_wh >= room_wh:
                self.soc = 1.0
                return drawn_wh + room_wh
            self.soc += step_wh * self.efficiency / self.capacity_wh
            drawn_wh += step_wh
            dt_s -= step_s
        return drawn_wh
