"""Questions that come while another is under way are asked together, with one query; nobody waits for a timer.

Must not know: which questions there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Generic, TypeVar

from actors.errors import BadRequest

K = TypeVar("K")
V = TypeVar("V")

MAX_TOGETHER: Final = 100


class Together(Generic[K, V]):
    """One query at a time; each answers what was asked before it began, so nobody is told what was true before.

    `ask` returns what it finds of several. It raises Unavailable, and BadRequest for what cannot even be looked for:
    then each is asked for alone, so that one of them spoils no other's answer.
    """

    def __init__(self, ask: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[K, asyncio.Future[V | None]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """Return what there is of a key, None for nothing. Raises what `ask` raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                now, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
                await self._answer(now)
        finally:
            self._asking = None

    async def _answer(self, asked: list[tuple[K, asyncio.Future[V | None]]]) -> None:
        keys = {key for key, _ in asked}
        try:
            found = await self._ask(keys)
        except BadRequest as error:
            if len(keys) > 1:
                for key in keys:
                    await self._answer([one for one in asked if one[0] == key])
                return
            _fail(asked, error)
        except Exception as error:  # noqa: BLE001  whoever asked gets it
            _fail(asked, error)
        else:
            for key, answer in asked:
                if not answer.done():  # its asker may have gone
                    answer.set_result(found.get(key))


def _fail(asked: list[tuple[K, asyncio.Future[V | None]]], error: Exception) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
