"""The journal: business events in one order, and how far each of its readers has come.

Events are numbered when they move from the outbox into the journal, by one process at a time, so a reader that has seen
a position has seen all before it. Readers are independent: one that is away holds up nobody, and everything is kept
until all have read it. Must not know: SQL, what readers do with events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from cluster.bus.outbox import WaitingEvent

STREAM: Final = "stream"
WEBHOOKS: Final = "webhooks"
KINESIS: Final = "kinesis"


class Entry(msgspec.Struct, frozen=True):
    """A business event at its place in the order; positions rise, with gaps."""

    position: int
    event: WaitingEvent


class Journal(Protocol):
    """The journal, for a reader whose place is held by one process at a time. Raises Unavailable."""

    async def hold(self, reader: str, holder: str, lease_s: float) -> int | None:
        """Take or keep a reader's place; return the position it has read up to, None while another holds it."""

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the next events after a position."""

    async def advance(self, reader: str, holder: str, position: int) -> None:
        """Note that all up to `position` are done with. Raises Fenced when another holds the place by now."""

    async def leave(self, reader: str, holder: str) -> None:
        """Give the place up, for another to go on at once."""
