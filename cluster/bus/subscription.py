"""One listener: what it wants, what waits for it, and why it ends.

Must not know: the stream, sockets, who the listener is; what it may see is a question its owner answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from actors.errors import CloudBayError, Unavailable
from cluster.bus.stream import Gap, Position, SeenEvent, Written

log = logging.getLogger(__name__)

MAX_TAKEN: Final = 100

End = Literal["too slow", "going away", "sign in again", "not allowed any more", "closed"]

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
    transactions: frozenset[str] | None = None

    def takes(self, event: Written) -> bool:
        """Tell whether the event is wanted."""
        return (
            (self.stations is None or event.station_id in self.stations)
            and (self.sites is None or event.site_id in self.sites)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.transactions is None or event.transaction in self.transactions)
        )


class Reach(NamedTuple):
    """Where events may come from: these stations, and all on these sites."""

    stations: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()


class Note(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """A word of the connection's own to its listener, among the events."""


Item = SeenEvent | Gap | Note

Screen = Callable[[list[Item]], Awaitable[list[Item]]]
"""Leaves out what the listener may not see; for what takes a look at the database. Raises Unavailable."""


class Subscription:
    """A bounded queue of what one listener wants and may see. Made by `Fanout.subscribe`; `end` it when done."""

    def __init__(
        self,
        wanted: EventFilter,
        allowed: Allowed,
        max_queued: int,
        newest: Callable[[], Position],
        changed: Callable[[Subscription], None],
        reach: Reach | None = None,
        screen: Screen | None = None,
    ) -> None:
        self.wanted = wanted
        self._allowed = allowed
        self._reach = reach
        self._screen = screen
        self._max_queued = max_queued
        self._newest = newest
        self._changed = changed
        self._gate = self._taken = newest()
        """What is not after the gate is no news; what was taken last is where to go on after a cut."""
        self._queue: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._ended: End | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._ended is not None

    @property
    def reach(self) -> Reach | None:
        """Where what it wants and may see can come from, None for everywhere."""
        if self.wanted.stations is not None:
            return Reach(stations=self.wanted.stations)
        return self._reach if self.wanted.sites is None else Reach(sites=self.wanted.sites)

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
        until_s = asyncio.get_running_loop().time() + wait_s
        while taken := await self._next(until_s):
            shown = await self._screened(taken)
            self._taken = next((item.position for item in reversed(taken) if not isinstance(item, Note)), self._taken)
            if shown:
                return shown
        return []

    async def _next(self, until_s: float) -> list[Item]:
        if not self._queue and self._ended is None:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    await self._wake.wait()
        if self._ended is not None:
            raise SubscriptionEnded(self._ended)
        return [self._queue.popleft() for _ in range(min(len(self._queue), MAX_TAKEN))]

    async def _screened(self, taken: list[Item]) -> list[Item]:
        """Leave out what may not be seen; when that cannot be told now, the listener comes back for it."""
        if self._screen is None:
            return taken
        try:
            shown = await self._screen(taken)
        except Unavailable:
            self.end("going away")
        if self._ended is not None:  # perhaps while it was screened
            raise SubscriptionEnded(self._ended)
        return shown

    def refilter(self, wanted: EventFilter) -> None:
        """Want something else from now on; what is queued stays."""
        if self._ended is None:
            self.wanted = wanted
            self._changed(self)

    def move(self, reach: Reach | None) -> None:
        """Take events from elsewhere from now on, as far as the filter does not say where from."""
        if self._ended is None and reach != self._reach:
            self._reach = reach
            self._changed(self)

    def end(self, reason: End = "closed") -> None:
        """End the subscription; what waits is not delivered. The first reason counts."""
        if self._ended is None:
            self._ended = reason
            self._changed(self)
            self._queue.clear()
            self._wake.set()
