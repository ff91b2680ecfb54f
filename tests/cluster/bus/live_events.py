"""Events for tests, told apart by a number."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from actors.domain.events import StationDisconnected
from actors.domain.records import LiveEvent
from cluster.bus.stream import Written

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def tick(
    number: int, station_id: str = "CP-1", site_id: str | None = None, kind: str = "StationDisconnected"
) -> LiveEvent:
    return LiveEvent(kind, station_id, site_id, NOON, StationDisconnected(number))


def number_of(event: Written) -> int:
    return msgspec.json.decode(event.data, type=dict[str, int])["connEpoch"]


def numbers(events: Iterable[Written]) -> list[int]:
    return [number_of(event) for event in events]
