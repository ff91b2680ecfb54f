"""FrameLog and LiveBus in memory: they keep what they are given."""

from __future__ import annotations

from collections.abc import Sequence

from actors.domain.records import LiveEvent
from actors.ports import Exchange


class MemoryLog:
    """FrameLog that keeps every frame."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def write(self, exchanges: Sequence[Exchange]) -> None:
        """Keep frames."""
        self.exchanges += exchanges


class MemoryBus:
    """LiveBus that keeps every event."""

    def __init__(self) -> None:
        self.events: list[LiveEvent] = []

    def publish(self, events: Sequence[LiveEvent]) -> None:
        """Keep events."""
        self.events += events
