"""LiveLog in memory: entries that can be trimmed, and a server that can be away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from actors.domain.records import LiveEvent
from actors.errors import Unavailable
from cluster.bus.stream import START, Entry, Portion, Position, Written

MAX_READ = 100


class MemoryLiveLog:
    """The stream of a platform; entries are numbered from 1 in one millisecond."""

    def __init__(self, wait_s: float = 0.05) -> None:
        self.entries: list[Entry] = []
        self.down = False
        self._wait_s = wait_s
        self._written = 0
        self._news = asyncio.Event()

    def write(self, events: Sequence[LiveEvent], *, lossy: bool = False) -> None:
        """Append an entry."""
        self._written += 1
        copied = msgspec.json.decode(msgspec.json.encode(events), type=list[Written])
        self.entries.append(Entry(1, self._written, copied, lossy))
        self._news.set()

    def trim(self, kept: int) -> None:
        """Forget all entries but the newest."""
        self.entries = self.entries[len(self.entries) - kept :]

    async def newest(self) -> Position:
        """Return where the newest entry begins; START when there is none."""
        self._reach()
        return Position(self.entries[-1].ms, self.entries[-1].number, 0) if self.entries else START

    async def after(self, position: Position) -> Portion:
        """Return the entries after that of `position`."""
        self._reach()
        if not self._later(position):
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s):
                    await self._news.wait()
            self._reach()
        later = self._later(position)
        kept = any((entry.ms, entry.number) == position[:2] for entry in self.entries)
        return Portion(later, broken=bool(later) and position != START and not kept)

    def _later(self, position: Position) -> list[Entry]:
        return [entry for entry in self.entries if (entry.ms, entry.number) > position[:2]][:MAX_READ]

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the stream cannot be reached now")
