"""Group commit: while one transaction is being committed the next one gathers, so that many chargers share an fsync."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from actors.errors import CloudBayError, Unavailable
from actors.ports import ChargerStore, Unit

log = logging.getLogger(__name__)


class _Waiting:
    __slots__ = ("done", "units")

    def __init__(self, units: Sequence[Unit], done: asyncio.Future[frozenset[int]]) -> None:
        self.units = units
        self.done = done


class GroupCommit:
    """Joins the units of concurrent callers into few transactions, one at a time."""

    def __init__(self, store: ChargerStore, max_units: int) -> None:
        self._store = store
        self._max_units = max_units
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.commits = 0
        self.units = 0

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        """Store `units`; return the indexes of those the database refuses. Raises Fenced, Unavailable."""
        waiting = _Waiting(units, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await waiting.done

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_one()
        finally:
            self._writer = None

    async def _write_one(self) -> None:
        batch = [self._waiting.popleft()]
        size = len(batch[0].units)
        while self._waiting and size + len(self._waiting[0].units) <= self._max_units:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].units)
        try:
            refused = await self._store.commit([unit for waiting in batch for unit in waiting.units])
        except CloudBayError as error:
            _fail(batch, error)
        except Exception:
            log.exception("commit failed")
            _fail(batch, Unavailable("the database write failed"))
        else:
            self.commits += 1
            self.units += size
            _settle(batch, refused)


def _settle(batch: list[_Waiting], refused: frozenset[int]) -> None:
    first = 0
    for waiting in batch:
        mine = frozenset(i - first for i in refused if first <= i < first + len(waiting.units)) if refused else refused
        first += len(waiting.units)
        if not waiting.done.done():
            waiting.done.set_result(mine)


def _fail(batch: list[_Waiting], error: CloudBayError) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
