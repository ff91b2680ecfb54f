"""Moments on the wire and which clock to believe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH_OF_OCPP: Final = datetime(2015, 1, 1, tzinfo=UTC)
"""No OCPP-J station had a set clock before this; earlier stamps are from an unset clock (1970, 2000)."""

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far a clock that is set may be off."""


def wire_time(moment: datetime) -> str:
    """Write UTC with milliseconds and Z, which every station reads (2.0.1 part 2, 2.1.2)."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def believable(stamp: datetime, received_at: datetime) -> bool:
    """Tell whether a station's time stamp can be true: its clock is set and does not run ahead."""
    return EPOCH_OF_OCPP <= stamp <= received_at + CLOCK_TOLERANCE
