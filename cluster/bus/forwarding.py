"""What a forwarder sends next, and how far it has come: plain bookkeeping, no I/O.

A stream like Kinesis may fail any record of a request and take the others, so a request holds one record of a station
at most: then a failure holds up its own station alone, and its order stays. Must not know: clocks, the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cluster.bus.journal import Entry

MAX_WINDOW: Final = 2000
"""Events in memory that are sent or wait behind one that fails."""


class Window:
    """The part of the journal that is under way, from the last checkpoint on."""

    def __init__(self, position: int) -> None:
        self.checkpoint = position
        """All up to here are done with."""
        self._read_up_to = position
        self._open: dict[int, Entry] = {}

    @property
    def read_up_to(self) -> int:
        """Where to read on."""
        return self._read_up_to

    @property
    def room(self) -> int:
        """How many events may be added."""
        return MAX_WINDOW - len(self._open)

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._open

    def add(self, entries: Sequence[Entry]) -> None:
        """Take over what was read after `read_up_to`, in its order."""
        for entry in entries:
            self._open[entry.position] = entry
            self._read_up_to = entry.position
        self._move()

    def due(self) -> Iterator[Entry]:
        """Yield the oldest event of each station that has one, the oldest first."""
        seen: set[str] = set()
        for entry in self._open.values():
            if entry.event.station_id not in seen:
                seen.add(entry.event.station_id)
                yield entry

    def done(self, positions: Iterable[int]) -> None:
        """Forget what the stream has taken."""
        for position in positions:
            del self._open[position]
        self._move()

    def _move(self) -> None:
        """Put the checkpoint before the oldest event that is not done."""
        self.checkpoint = next(iter(self._open), self._read_up_to + 1) - 1
