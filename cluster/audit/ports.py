"""What the audit log needs of its store, and what the API needs of the audit log.

Must not know: SQL, files, HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from cluster.audit.chain import ChainedEntry, Head
from cluster.audit.entry import Entry
from cluster.store.views import Page


class AuditChain(Protocol):
    """The chain as it is read from end to end. All methods raise Unavailable."""

    async def head(self) -> Head | None:
        """Return the head of the chain; None when it is lost."""

    async def read(self, after: int, limit: int) -> list[ChainedEntry]:
        """Return the next entries after a place, in the order of their places."""

    async def span(self, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """Return the first and last place with an entry of that time (`until` excluded); (1, 0) without any."""


class AuditStore(AuditChain, Protocol):
    """Where the chain is kept; many processes append to one chain. Raises Unavailable."""

    async def append(self, entries: Sequence[Entry]) -> int:
        """Add entries to the chain in order, durably, but those whose id is in it already; return how many are new."""


class AuditFilter(msgspec.Struct, frozen=True):
    """Which entries to list: all that are given must match; `until` is excluded."""

    subject: str | None = None
    action: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ANY: Final = AuditFilter()


class AuditQueries(AuditChain, Protocol):
    """What an auditor looks at. Raises Unavailable, and BadRequest for a bad cursor or value."""

    async def entries(
        self, wanted: AuditFilter = ANY, cursor: str | None = None, limit: int = 100
    ) -> Page[ChainedEntry]:
        """List entries by time, the newest first."""

    async def entry(self, seq: int) -> ChainedEntry:
        """Return the entry at a place. Raises NotFound."""


class AuditStatus(msgspec.Struct, frozen=True):
    """How one process' audit log is."""

    waiting_bytes: int
    """Spooled on the local disk and not in the database yet."""
    waiting_s: float | None
    """For how long the database has not taken them; None when it takes them."""
    spooled: int
    """Entries that were written to the local disk since the start."""
    stored: int
    """Entries that this process has put into the database since the start."""
    spool_failures: int
    """Writes to the local disk that failed since the start."""

    @property
    def ok(self) -> bool:
        """Whether entries reach the database."""
        return self.waiting_s is None


class AuditLog(Protocol):
    """Keeps what was done."""

    async def record(self, entry: Entry) -> None:
        """Keep an entry; it survives a kill when this returns. For all that changes something, before its answer.

        Raises Unavailable when it can be kept neither on the local disk nor in the database.
        """

    async def note(self, entry: Entry) -> None:
        """Keep an entry within seconds. For what only reads; a kill may lose the last of them."""

    def status(self) -> AuditStatus:
        """Return how this process' audit log is."""
