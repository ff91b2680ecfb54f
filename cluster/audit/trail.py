"""The audit log of one process: every entry goes to a local file first, and from there into the chain.

One way for all weathers: a request waits for one fsync, shared with all that wait at the same time, and never for the
database. In the background entries move from the spool to the store, in order; while the store is away they stay, one
error is logged, and the status says so. Spooled entries of processes that are gone are moved too.
Hard state: the spool and the store. Soft state: counters. Lost in a crash: notes of the last second.
Must not know: HTTP, SQL.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

import msgspec

from actors.errors import Unavailable
from cluster.audit.entry import Entry, canonical, decode
from cluster.audit.ports import AuditStatus, AuditStore
from cluster.audit.spool import Spool

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BATCH: Final = 500
"""Entries in one transaction, which holds the lock of the chain."""
CLOSE_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 1.0
LOOK_EVERY_S: Final = 30.0
"""How often spools of processes that are gone are looked for."""

_CANNOT: Final = "the audit log cannot be written now"


class _Queued(NamedTuple):
    entry: Entry
    record: bytes
    done: asyncio.Future[None] | None


class AuditTrail:
    """AuditLog that writes in the background between `start` and `close`.

    `gather_s` is how long entries gather in the spool before they are stored; `note_s` how long notes may stay in
    memory, and `max_queued` how many.
    """

    def __init__(
        self,
        store: AuditStore,
        spool: Spool,
        gather_s: float = 0.1,
        note_s: float = 1.0,
        max_queued: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._spool = spool
        self._gather_s = gather_s
        self._note_s = note_s
        self._max_queued = max_queued
        self._monotonic = monotonic
        self._disk = ThreadPoolExecutor(1, "audit-spool")
        self._queue: deque[_Queued] = deque()
        self._due = asyncio.Event()
        self._alarm_clock: asyncio.TimerHandle | None = None
        self._spooled_some = asyncio.Event()
        self._closing = False
        self._spooling: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        self._spooled = self._stored = self._spool_failures = 0

    def start(self) -> None:
        """Begin to write, in the running event loop."""
        self._spooling = asyncio.create_task(self._spool_all())
        self._storing = asyncio.create_task(self._store_all())

    async def close(self) -> None:
        """Spool what is queued, store what can be within seconds, and end; the rest is for the next process."""
        self._closing = True
        for task, wake in ((self._spooling, self._due), (self._storing, self._spooled_some)):
            wake.set()
            if task is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(task, CLOSE_TIMEOUT_S)
        if self._alarm_clock is not None:
            self._alarm_clock.cancel()
        if self._queue:
            log.error("audit entries are lost", extra={"entries": len(self._queue)})
        await self._on_disk(self._spool.close)
        self._disk.shutdown()

    async def record(self, entry: Entry) -> None:
        """Keep an entry; it survives a kill when this returns. Raises Unavailable."""
        if len(self._queue) >= 2 * self._max_queued:
            raise Unavailable(_CANNOT)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Queued(entry, canonical(entry), done))
        self._due.set()
        await done

    async def note(self, entry: Entry) -> None:
        """Keep an entry within seconds; waits for the disk, and raises Unavailable, when too many are queued."""
        if len(self._queue) >= self._max_queued:
            await self.record(entry)
        else:
            self._queue.append(_Queued(entry, canonical(entry), None))
            self._wake_in(self._note_s)

    def status(self) -> AuditStatus:
        """Return how this process' audit log is."""
        since = self._away_since
        return AuditStatus(
            waiting_bytes=self._spool.waiting_bytes,
            waiting_s=None if since is None else self._monotonic() - since,
            spooled=self._spooled,
            stored=self._stored,
            spool_failures=self._spool_failures,
        )

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def _wake_in(self, delay_s: float) -> None:
        if self._alarm_clock is None:
            self._alarm_clock = asyncio.get_running_loop().call_later(delay_s, self._due.set)

    async def _spool_all(self) -> None:
        """Write what is queued to the disk: while one batch is written the next one gathers."""
        while self._queue or not self._closing:
            await self._due.wait()
            self._due.clear()
            if self._alarm_clock is not None:
                self._alarm_clock.cancel()
                self._alarm_clock = None
            batch = list(self._queue)
            self._queue.clear()
            if batch and not await self._kept(batch) and self._closing:
                return
            if self._closing:
                self._due.set()

    async def _kept(self, batch: Sequence[_Queued]) -> bool:
        """Make a batch durable; else it stays queued, and those who wait for it learn that it is not."""
        try:
            await self._on_disk(self._spool.append, [queued.record for queued in batch])
        except OSError as error:
            self._spool_failures += 1
            log.error("audit entries cannot be spooled", extra={"error": str(error)})  # noqa: TRY400 - disk full, mostly
            if not await self._kept_without_disk([queued.entry for queued in batch]):
                _settle(batch, Unavailable(_CANNOT))
                self._queue.extendleft(queued._replace(done=None) for queued in reversed(batch))
                self._wake_in(RETRY_S)
                return False
        else:
            self._spooled += len(batch)
            self._spooled_some.set()
        _settle(batch, None)
        return True

    async def _kept_without_disk(self, entries: Sequence[Entry]) -> bool:
        for first in range(0, len(entries), MAX_BATCH):
            if not await self._into_store(entries[first : first + MAX_BATCH]):
                return False
        return True

    async def _store_all(self) -> None:
        """Move spooled entries to the store, the oldest first."""
        look_at = self._monotonic()
        while True:
            if self._monotonic() >= look_at:
                look_at = self._monotonic() + LOOK_EVERY_S
                await self._take_over()
            self._spooled_some.clear()
            moved = await self._move()
            if self._closing:
                if not moved:
                    return
            elif self._away_since is not None:
                await asyncio.sleep(RETRY_S)
            elif moved < MAX_BATCH:
                if not moved:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._spooled_some.wait(), LOOK_EVERY_S)
                await asyncio.sleep(self._gather_s)

    async def _take_over(self) -> None:
        try:
            found = await self._on_disk(self._spool.take_over)
        except OSError as error:
            log.warning("spooled audit entries cannot be looked for", extra={"error": str(error)})
        else:
            if found:
                log.warning("audit entries of a process that is gone", extra={"bytes": found})

    async def _move(self) -> int:
        """Move some entries from the spool to the store; return how many, 0 when there are none or it is away."""
        try:
            records = await self._on_disk(self._spool.read, MAX_BATCH)
        except OSError as error:
            self._alarm(error)
            return 0
        try:
            entries = [decode(record) for record in records]
        except msgspec.MsgspecError:
            log.exception("spooled audit entries are not understood")
            await self._on_disk(self._spool.set_aside)
            return len(records)
        if not entries or not await self._into_store(entries):
            return 0
        await self._on_disk(self._spool.forget)
        return len(entries)

    async def _into_store(self, entries: Sequence[Entry]) -> bool:
        try:
            self._stored += await self._store.append(entries)
        except Exception as error:  # noqa: BLE001 - whatever it is, the entries stay where they are
            self._alarm(error)
            return False
        if self._away_since is not None:
            log.warning("audit entries reach the database again", extra={"bytes": self._spool.waiting_bytes})
            self._away_since = None
        return True

    def _alarm(self, error: Exception) -> None:
        """Say once in an outage that entries stay in the spool."""
        if self._away_since is None:
            self._away_since = self._monotonic()
            unexpected = None if isinstance(error, Unavailable) else error
            log.error("audit entries wait for the database", extra={"error": str(error)}, exc_info=unexpected)


def _settle(batch: Sequence[_Queued], error: Exception | None) -> None:
    for _, _, done in batch:
        if done is None or done.done():  # its request is gone
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
