"""AuditStore, AuditQueries and AuditLog in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from actors.errors import NotFound, Unavailable
from cluster.audit.chain import EMPTY, ChainedEntry, Head, chained
from cluster.audit.entry import Entry
from cluster.audit.ports import ANY, AuditFilter, AuditStatus
from cluster.store.views import Page
from tests.twins.paging import cut

_EVER = datetime.max.replace(tzinfo=UTC)


class MemoryAudit:
    """The chain as a list, in order; `down` makes it fail, and `loses_word` makes one append look as if it had."""

    def __init__(self) -> None:
        self.links: list[ChainedEntry] = []
        self.newest: Head | None = EMPTY
        self.down = False
        self.loses_word = False
        self.appends = 0

    async def append(self, entries: Sequence[Entry]) -> int:
        """Add entries that are not there yet."""
        self._reach()
        known = {link.entry.id for link in self.links}
        new = {entry.id: entry for entry in entries if entry.id not in known}
        if self.newest is None:
            raise Unavailable("the head of the audit log is missing")
        self.links += chained(self.newest, new.values())
        self.newest = self.links[-1].head if self.links else EMPTY
        self.appends += 1
        if self.loses_word:
            self.loses_word = False
            raise Unavailable("the database cannot be reached now")
        return len(new)

    async def head(self) -> Head | None:
        """Return the head."""
        self._reach()
        return self.newest

    async def read(self, after: int, limit: int) -> list[ChainedEntry]:
        """Return the next entries."""
        self._reach()
        return [link for link in self.links if link.seq > after][:limit]

    async def span(self, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """Return the first and last place of a time."""
        self._reach()
        places = [link.seq for link in self.links if _within(link, AuditFilter(since=since, until=until))]
        return (min(places), max(places)) if places else (1, 0)

    async def entries(
        self, wanted: AuditFilter = ANY, cursor: str | None = None, limit: int = 100
    ) -> Page[ChainedEntry]:
        """List entries, the newest first."""
        self._reach()
        found = sorted((link for link in self.links if _within(link, wanted)), key=_age, reverse=True)
        return cut(found, _age, cursor, limit)

    async def entry(self, seq: int) -> ChainedEntry:
        """Return one entry."""
        self._reach()
        for link in self.links:
            if link.seq == seq:
                return link
        raise NotFound(f"the audit log has no entry {seq}")

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the database cannot be reached now")


class MemoryAuditLog:
    """AuditLog that keeps what it is given; `down` makes it fail."""

    def __init__(self) -> None:
        self.recorded: list[Entry] = []
        self.noted: list[Entry] = []
        self.down = False

    async def record(self, entry: Entry) -> None:
        """Keep an entry."""
        if self.down:
            raise Unavailable("the audit log cannot be written now")
        self.recorded.append(entry)

    async def note(self, entry: Entry) -> None:
        """Keep an entry of a read."""
        self.noted.append(entry)

    def status(self) -> AuditStatus:
        """Return that all is well."""
        count = len(self.recorded) + len(self.noted)
        return AuditStatus(0, None, spooled=count, stored=count, spool_failures=0)


def _age(link: ChainedEntry) -> tuple[datetime, int]:
    return link.entry.at, link.seq


def _within(link: ChainedEntry, wanted: AuditFilter) -> bool:
    entry = link.entry
    exact = all(
        getattr(wanted, name) in (None, getattr(entry, name))
        for name in ("subject", "action", "target_kind", "target_id")
    )
    return exact and (wanted.since or entry.at) <= entry.at < (wanted.until or _EVER)
