"""One reader of the live stream for any number of listeners of this process.

Listeners are indexed by the stations (else the sites) they want, so that an event costs nothing to those of others.
The latest events stay in memory: who comes back with the id of its last event gets what it missed, from any process.
Soft state: the latest events, the listeners. Lost in a crash: connections; their clients come back with their ids.

Must not know: HTTP, Valkey, who a listener is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Final

from actors.errors import Unavailable
from cluster.bus.stream import START, Entry, Gap, LiveLog, Position, SeenEvent, position
from cluster.bus.subscription import Allowed, EventFilter, Item, Reach, Screen, Subscription

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
READY_S: Final = 5.0
"""How long a new listener waits for the reader to catch up with the stream."""
IDLE_S: Final = 10.0
"""How long the reader goes on after the last listener has left: most come back at once."""
_MAX_AHEAD_MS: Final = 60_000
"""Another process may have read further, but not so much; an id from beyond is of another stream."""


class Listeners:
    """Subscriptions by where their events can come from."""

    def __init__(self) -> None:
        self._stations: dict[str, dict[Subscription, None]] = {}
        self._sites: dict[str, dict[Subscription, None]] = {}
        self._everywhere: dict[Subscription, None] = {}
        self._all: dict[Subscription, Reach | None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._all))

    def of(self, event: SeenEvent) -> list[Subscription]:
        """Return those who may want an event: each once."""
        stations = self._stations.get(event.event.station_id, {})
        sites = self._sites.get(event.event.site_id or "", {})
        return [*stations, *(one for one in sites if one not in stations), *self._everywhere]

    def put(self, subscription: Subscription) -> None:
        """Add a subscription, or move it to where its events come from now; forget one that has ended."""
        if subscription in self._all:
            self._remove(subscription)
        if not subscription.ended:
            self._all[subscription] = subscription.reach
            for name, index in self._places(subscription.reach):
                index.setdefault(name, {})[subscription] = None
            if subscription.reach is None:
                self._everywhere[subscription] = None

    def _remove(self, subscription: Subscription) -> None:
        self._everywhere.pop(subscription, None)
        for name, index in self._places(self._all.pop(subscription)):
            del index[name][subscription]
            if not index[name]:
                del index[name]

    def _places(self, reach: Reach | None) -> list[tuple[str, dict[str, dict[Subscription, None]]]]:
        stations, sites = reach or Reach()
        return [*((name, self._stations) for name in stations), *((name, self._sites) for name in sites)]


class Fanout:
    """Hands the live stream to subscriptions, between `start` and `close`."""

    def __init__(self, stream: LiveLog, max_kept: int, max_listeners: int, max_queued: int) -> None:
        self._stream = stream
        self._max_kept = max_kept
        self._max_listeners = max_listeners
        self._max_queued = max_queued
        self._listeners = Listeners()
        self._latest: deque[SeenEvent | Gap] = deque()
        self._kept_from: Position | None = None
        """After this nothing is missing in `_latest`."""
        self._position = START
        self._behind: Position | None = None
        """How far the stream was when reading began."""
        self._caught_up = asyncio.Event()
        self._needed = asyncio.Event()
        self._needed_at = -inf
        """When somebody was last seen to listen, or to be about to, by the loop's clock."""
        self._coming = 0
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        """How far this process has read."""
        return self._position

    @property
    def listeners(self) -> int:
        """Count the open subscriptions."""
        return len(self._listeners)

    @property
    def reading(self) -> bool:
        """Tell whether somebody listens, or did lately."""
        return self._needed.is_set()

    def start(self) -> None:
        """Be ready to read, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    def leave(self) -> None:
        """End all subscriptions as going away, also those that are still to come: another process serves them."""
        self._leaving = True
        for subscription in self._listeners:
            subscription.end("going away")

    async def close(self) -> None:
        """End all subscriptions and stop reading."""
        self.leave()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def subscribe(
        self,
        wanted: EventFilter,
        allowed: Allowed,
        after: str | None = None,
        reach: Reach | None = None,
        screen: Screen | None = None,
    ) -> Subscription:
        """Listen from now on, or after the id of an event that was received before.

        `reach` is where what is `allowed` can come from, `screen` what decides in the end.
        Raises BadRequest for an id that is none, Unavailable when the stream cannot be read or too many listen.
        """
        last = None if after is None else position(after)
        if not self._leaving:
            await self._ready()
        newest = lambda: self._position  # noqa: E731 - it is asked again and again
        subscription = Subscription(wanted, allowed, self._max_queued, newest, self._listeners.put, reach, screen)
        if self._leaving:
            subscription.end("going away")
            return subscription
        self._listeners.put(subscription)
        if last is not None:
            if last.ms > self._position.ms + _MAX_AHEAD_MS:
                last = START
            subscription.repeat(self._missed(subscription, last), last)
        return subscription

    async def _ready(self) -> None:
        self._coming += 1
        self._needed.set()
        try:
            async with asyncio.timeout(READY_S):
                await self._caught_up.wait()
        except TimeoutError:
            raise Unavailable("live events cannot be read now") from None
        finally:
            self._coming -= 1
        if len(self._listeners) >= self._max_listeners:
            raise Unavailable(f"{len(self._listeners)} listen here already; try again")

    def _missed(self, subscription: Subscription, last: Position) -> list[Item]:
        """Return what the listener has missed since `last`, at most a full queue of it."""
        begin: list[Item] = []
        if self._kept_from is None or last < self._kept_from:
            begin = [Gap(self._kept_from or self._position, "no longer kept")]
        missed: list[Item] = []
        for item in reversed(self._latest):
            if item.position <= last:
                break
            if isinstance(item, SeenEvent) and not subscription.wants(item.event):
                continue
            if len(missed) == self._max_queued:
                begin = [Gap(item.position, "too many to repeat")]
                break
            missed.append(item)
        return [*begin, *reversed(missed)]

    async def _run(self) -> None:
        away = False
        while True:
            try:
                await self._rest()
                await self._read()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("live events stop", extra={"error": str(error)})
                away = True
                await asyncio.sleep(RETRY_S)
            except Exception:  # an entry that breaks this process is behind us then; the others must be read
                log.exception("live events cannot be read")
                await asyncio.sleep(RETRY_S)

    async def _rest(self) -> None:
        """Read nothing while nobody listens: the stream keeps as much as this process would."""
        clock = asyncio.get_running_loop().time
        if self._listeners or self._coming:
            self._needed_at = clock()
        elif clock() - self._needed_at > IDLE_S:
            self._caught_up.clear()
            self._behind = None
            self._needed.clear()
            await self._needed.wait()
            self._needed_at = clock()

    async def _read(self) -> None:
        if self._behind is None:
            self._behind = await self._stream.newest()
        if self._position >= self._behind:
            self._caught_up.set()
        portion = await self._stream.after(self._position)
        broken = portion.broken
        for entry in portion.entries:
            self._dispatch(entry, broken=broken)
            broken = False
            await asyncio.sleep(0)  # listeners take what they got before a long backlog fills their queues

    def _dispatch(self, entry: Entry, *, broken: bool) -> None:
        begin = Position(entry.ms, entry.number, 0)
        self._position = Position(entry.ms, entry.number, len(entry.events))
        if self._kept_from is None:
            self._kept_from = begin
        if broken or entry.lossy:
            gap = Gap(begin, "no longer kept" if broken else "never published")
            self._keep(gap)
            for subscription in self._listeners:
                subscription.offer(gap)
        for nth, event in enumerate(entry.events, 1):
            seen = SeenEvent(Position(entry.ms, entry.number, nth), event)
            self._keep(seen)
            for subscription in self._listeners.of(seen):
                subscription.offer(seen)

    def _keep(self, item: SeenEvent | Gap) -> None:
        self._latest.append(item)
        if len(self._latest) > self._max_kept:
            self._kept_from = self._latest.popleft().position
