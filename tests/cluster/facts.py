"""Business events of any kind, where a test is about their way and not about what they tell."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import msgspec

from actors.domain.events import Fact
from actors.domain.records import BusinessEvent


def business_event(kind: str, station_id: str, at: datetime, **data: int) -> BusinessEvent:
    """Return an event of a made-up kind that tells some numbers."""
    fields = [(name, int) for name in data]
    fact = msgspec.defstruct(kind, fields, bases=(Fact,), frozen=True)
    return BusinessEvent(station_id, at, cast(Fact, fact(**data)))
