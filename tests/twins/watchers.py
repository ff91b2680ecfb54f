"""FrameLog and LiveBus in memory: they keep what they are given."""

from __future__ import annotations

from collections.abc import Sequence

from actors.domain.records import LiveEvent
from actors.ports import LoggedFrame


class MemoryLog:
    """FrameLog that keeps every frame."""

    def __init__(self) -> None:
        self.frames: list[LoggedFrame] = []

    def write(self, frames: Sequence[LoggedFrame]) -> None:
        """Keep frames."""
        self.frames += frames


class MemoryBus:
    """LiveBus that keeps every event."""

    def __init__(self) -> None:
        self.events: list[LiveEvent] = []

    def publish(self, events: Sequence[LiveEvent]) -> None:
        """Keep events."""
        self.events += events
