"""Journal in memory: numbered, with readers that hold their places for a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.errors import Fenced, Unavailable
from cluster.bus.journal import Entry
from cluster.bus.outbox import WaitingEvent


class MemoryJournal:
    """The events and the places; `down` makes it unreachable, `now` is in seconds."""

    def __init__(self, readers: Sequence[str], now: Callable[[], float]) -> None:
        self.positions = dict.fromkeys(readers, 0)
        self.down = False
        self._now = now
        self._entries: list[Entry] = []
        self._held: dict[str, tuple[str, float]] = {}

    def add(self, events: Sequence[WaitingEvent]) -> None:
        """Number events."""
        for event in events:
            self._entries.append(Entry(len(self._entries) + 1, event))

    async def hold(self, reader: str, holder: str, lease_s: float) -> int | None:
        """Take or keep a reader's place."""
        self._reach()
        who, until = self._held.get(reader, (holder, 0.0))
        if reader not in self.positions or (who != holder and self._now() < until):
            return None
        self._held[reader] = (holder, self._now() + lease_s)
        return self.positions[reader]

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the next events after a position."""
        self._reach()
        return [entry for entry in self._entries if entry.position > after][:limit]

    async def advance(self, reader: str, holder: str, position: int) -> None:
        """Move the place."""
        self._reach()
        if self._held.get(reader, ("", 0.0))[0] != holder or self.positions[reader] > position:
            raise Fenced("another has the place")
        self.positions[reader] = position

    async def leave(self, reader: str, holder: str) -> None:
        """Give the place up."""
        self._reach()
        if self._held.get(reader, ("", 0.0))[0] == holder:
            del self._held[reader]

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the database cannot be reached now")
