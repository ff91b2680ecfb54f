"""One listener: what it wants, what waits for it, and why it ends.

Must not know: the stream, sockets, who the listener is; what it may see is a question its owner answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from actors.errors import CloudBayError
from cluster.bus.stream import Gap, Position, SeenEvent, Written

log = logging.getLogger(__name__)

MAX_TAKEN: Final = 100

End = Literal["too slow", "going away", "not allowed any more", "closed"]

Allowed = Callable[[Written], bool]
"""Whether the listener may see an event; asked for every one that passes the filter, so it must be quick."""


class SubscriptionEnded(CloudBayError):
    """Nothing more comes."""

    http_status = 503
    title = "Subscription ended"

    def __init__(self, reason: End) -> None:
        super().__init__(f"the subscription has ended: {reason}")
        self.reason = reason


class EventFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener wants; what is left out or null takes everything, an empty list nothing."""

    stations: frozenset[str] | None = None
    sites: frozenset[str] | None = None
    kinds: frozenset[str] | None = None

    def takes(self, event: Written) -> bool:
        """Tell whether the event is wanted."""
        return (
            (self.stations is None or event.station_id in self.stations)
            and (self.sites is None or event.site_id in self.sites)
            and (self.kinds is None or event.kind in self.kinds)
        )


class Note(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """A word of the connection's own to its listener, among the events."""


Item = SeenEvent | Gap | Note


class Subscription:
    """A bounded queue of what one listener wants and may see. Made by `Fanout.subscribe`; `end` it when done."""

    def __init__(
        self,
        wanted: EventFilter,
        allowed: Allowed,
        max_queued: int,
        newest: Callable[[], Position],
        changed: Callable[[Subscription, EventFilter | None], None],
    ) -> None:
        self.wanted = wanted
        self._allowed = allowed
        self._max_queued = max_queued
        self._newest = newest
        self._changed = changed
        self._gate = self._taken = newest()
        """What is not after the gate is no news; what was taken last is where to go on after a cut."""
        self._queue: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._ended: End | None = None

    @property
    def position(self) -> Position:
        """Where to go on after what has been taken."""
        return self._taken if self._queue else max(self._gate, self._newest())

    def repeat(self, missed: Sequence[Item], last: Position) -> None:
        """Queue what the stream has brought since `last`, beyond what may wait otherwise."""
        if self._ended is None:
            self._queue.extend(missed)
            self._max_queued += len(missed)
            self._gate, self._taken = max(self._gate, last), last

    def wants(self, event: Written) -> bool:
        """Tell whether the event passes the filter and may be seen."""
        if self._ended is not None or not self.wanted.takes(event):
            return False
        try:
            return self._allowed(event)
        except Exception:  # whatever is wrong with one listener's rights must not stop the others' events
            log.exception("a listener's rights cannot be told")
            self.end("not allowed any more")
            return False

    def offer(self, item: SeenEvent | Gap) -> None:
        """Queue what the stream brings, if it is news and wanted."""
        if item.position > self._gate and (isinstance(item, Gap) or self.wants(item.event)):
            self.put(item)

    def put(self, item: Item) -> None:
        """Queue an item; a listener whose queue is full is ended as too slow."""
        if self._ended is not None:
            return
        if len(self._queue) >= self._max_queued:
            self.end("too slow")
            return
        self._queue.append(item)
        self._wake.set()

    async def take(self, wait_s: float) -> list[Item]:
        """Return what has come, a bounded number at once; empty when nothing does for `wait_s`.

        Raises SubscriptionEnded.
        """
        if not self._queue and self._ended is None:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
        if self._ended is not None:
            raise SubscriptionEnded(self._ended)
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_TAKEN))]
        for item in reversed(taken):
            if not isinstance(item, Note):
                self._taken = item.position
                break
        return taken

    def refilter(self, wanted: EventFilter) -> None:
        """Want something else from now on; what is queued stays."""
        if self._ended is None:
            self._changed(self, wanted)
            self.wanted = wanted

    def end(self, reason: End = "closed") -> None:
        """End the subscription; what waits is not delivered. The first reason counts."""
        if self._ended is None:
            self._changed(self, None)
            self._ended = reason
            self._queue.clear()
            self._wake.set()
