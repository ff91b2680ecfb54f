"""A bounded queue that a background task empties in batches: for what is best effort and must never be in the way.

What does not fit is dropped and counted, and so is a batch that cannot be delivered. Must not know: what is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from actors.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_TIMEOUT_S: Final = 5.0


class Drain(Generic[T]):
    """Delivers what is put into it, at most `max_batch` at once and not more often than every `gather_s`.

    `deliver` raises Unavailable when it cannot; then the batch is dropped and `retry_s` pass.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[list[T]], Awaitable[None]],
        max_queued: int,
        max_batch: int,
        gather_s: float,
        retry_s: float = 1.0,
    ) -> None:
        self.dropped = 0
        self._name = name
        self._deliver = deliver
        self._max_queued = max_queued
        self._max_batch = max_batch
        self._gather_s = gather_s
        self._retry_s = retry_s
        self._queue: deque[T] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def put(self, items: Sequence[T]) -> None:
        """Queue items; drops and counts those that do not fit."""
        room = self._max_queued - len(self._queue)
        if len(items) > room:
            self.dropped += len(items) - room
            items = items[:room]
        self._queue.extend(items)
        self._wake.set()

    def start(self) -> None:
        """Begin to deliver, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Deliver what is queued, for CLOSE_TIMEOUT_S at most, and end."""
        if self._task is None:
            return
        self._closing = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._task, CLOSE_TIMEOUT_S)
        self._task = None

    async def _run(self) -> None:
        lost = 0
        while await self._filled():
            batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
            try:
                await self._deliver(batch)
            except Unavailable as error:
                if not lost:
                    log.warning("dropping", extra={"what": self._name, "error": str(error)})
                lost += len(batch)
                self.dropped += len(batch)
                await asyncio.sleep(self._retry_s)
            else:
                if lost:
                    log.info("delivering again", extra={"what": self._name, "dropped": lost})
                lost = 0
            if not self._closing:
                await asyncio.sleep(self._gather_s)

    async def _filled(self) -> bool:
        """Wait until something is queued; False when nothing will be any more."""
        while not self._queue:
            if self._closing:
                return False
            self._wake.clear()
            await self._wake.wait()
        return True
