"""What a station still has to say: ordinary messages, and transaction messages that survive offline periods in order.

Must not know: JSON, sockets, how a CALL is made.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulator.facts import Alive, Booted, Fact, TransactionChanged


@dataclass
class Item:
    """A fact on its way; `triggered` ones may be sent before the station is registered (B02.FR.09)."""

    fact: Fact
    triggered: bool = False
    attempts: int = 0
    not_before: datetime | None = None


class Outbox:
    """Two queues: a transaction message at the head is retried and blocks those behind it, an ordinary one is not."""

    def __init__(self) -> None:
        self._ordinary: deque[Item] = deque()
        self._transactional: deque[Item] = deque()
        self.discarded = 0

    @property
    def transactional(self) -> int:
        """Return how many transaction messages wait."""
        return len(self._transactional)

    def put(self, fact: Fact, *, triggered: bool = False) -> None:
        """Queue a fact; a boot goes first."""
        item = Item(fact, triggered)
        if isinstance(fact, TransactionChanged):
            self._transactional.append(item)
        elif isinstance(fact, Booted):
            self._ordinary.appendleft(item)
        else:
            self._ordinary.append(item)

    def next(self, now: datetime, *, registered: bool) -> Item | None:
        """Return the item to send now, leaving it queued until `done` or `failed`."""
        if not registered:
            return next((item for item in self._ordinary if item.triggered or isinstance(item.fact, Booted)), None)
        if self._ordinary:
            return self._ordinary[0]
        head = self._transactional[0] if self._transactional else None
        if head is not None and (head.not_before is None or now >= head.not_before):
            return head
        return None

    def done(self, item: Item) -> None:
        """Forget an item that was answered (or has nothing to send in this version)."""
        queue = self._transactional if isinstance(item.fact, TransactionChanged) else self._ordinary
        if item in queue:
            queue.remove(item)

    def failed(self, item: Item, now: datetime, attempts: int, interval_s: float) -> None:
        """Note a failure: a transaction message waits interval x attempts, the last one discards it (E13.FR.02-04)."""
        item.attempts += 1
        if not isinstance(item.fact, TransactionChanged):
            self.done(item)
        elif item.attempts >= attempts:
            self.done(item)
            self.discarded += 1
        else:
            item.not_before = now + timedelta(seconds=interval_s * item.attempts)

    def forget_ordinary(self) -> None:
        """Drop what a reboot makes pointless; transaction messages are kept."""
        self._ordinary.clear()

    def forget_heartbeats(self) -> None:
        """Drop heartbeats that could not be sent."""
        self._ordinary = deque(item for item in self._ordinary if not isinstance(item.fact, Alive))
