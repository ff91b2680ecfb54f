"""Questions asked together: each is answered, with what was true when it was asked, whatever the others ask."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from actors.errors import BadRequest, Unavailable
from cluster.store.together import MAX_TOGETHER, Together


class Database:
    """Answers when it is let; a key with a zero in it cannot be looked for."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.asked: list[set[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.down = False

    async def ask(self, keys: Collection[str]) -> dict[str, int]:
        self.asked.append(set(keys))
        found = {key: self.rows[key] for key in keys if key in self.rows}  # as it is when the query begins
        await self.open.wait()
        if self.down:
            raise Unavailable("the database cannot be reached now")
        if any("\0" in key for key in keys):
            raise BadRequest("a value that cannot be looked for")
        return found


@pytest.fixture
def database() -> Database:
    return Database()


async def begun(*keys: str, on: Together[str, int]) -> list[asyncio.Task[int | None]]:
    asking = [asyncio.create_task(on.get(key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return asking


async def test_who_asks_alone_is_asked_for_at_once(database: Database) -> None:
    database.rows["CP-1"] = 1
    together = Together(database.ask)
    assert [await together.get("CP-1"), await together.get("CP-2")] == [1, None]
    assert database.asked == [{"CP-1"}, {"CP-2"}]


async def test_those_who_come_while_one_is_asked_for_share_a_query(database: Database) -> None:
    database.rows = {f"CP-{number}": number for number in range(9)}
    together = Together(database.ask)
    database.open.clear()
    first = await begun("CP-0", on=together)
    others = await begun(*(f"CP-{number}" for number in range(1, 9)), "CP-1", on=together)
    database.open.set()
    assert await asyncio.gather(*first, *others) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 1]
    assert [len(keys) for keys in database.asked] == [1, 8]


async def test_nobody_is_told_what_was_true_before_they_asked(database: Database) -> None:
    """Whoever has written and asks then reads their own write, though a query for the same key is under way."""
    database.rows["CP-1"] = 1
    together = Together(database.ask)
    database.open.clear()
    early = await begun("CP-1", on=together)
    database.rows["CP-1"] = 2
    late = await begun("CP-1", on=together)
    database.open.set()
    assert await asyncio.gather(*early, *late) == [1, 2]


async def test_one_that_cannot_be_looked_for_spoils_no_others_answer(database: Database) -> None:
    database.rows = {"CP-1": 1, "CP-2": 2}
    together = Together(database.ask)
    database.open.clear()
    first = await begun("CP-1", on=together)
    asking = await begun("CP-1", "a\0b", "CP-2", on=together)
    database.open.set()
    await asyncio.gather(*first)
    one, bad, two = await asyncio.gather(*asking, return_exceptions=True)
    assert (one, two) == (1, 2)
    assert isinstance(bad, BadRequest)


async def test_all_are_told_that_the_database_is_away_and_the_next_ask_again(database: Database) -> None:
    database.rows["CP-1"] = 1
    together = Together(database.ask)
    database.down = True
    for failed in await asyncio.gather(*(together.get("CP-1") for _ in range(3)), return_exceptions=True):
        assert isinstance(failed, Unavailable)
    database.down = False
    assert await together.get("CP-1") == 1


async def test_who_leaves_takes_nobody_along(database: Database) -> None:
    database.rows = {"CP-1": 1, "CP-2": 2}
    together = Together(database.ask)
    database.open.clear()
    leaving, staying = await begun("CP-1", "CP-2", on=together)
    leaving.cancel()
    database.open.set()
    assert await asyncio.wait_for(staying, 5) == 2
    assert await together.get("CP-1") == 1


async def test_no_query_is_larger_than_the_bound(database: Database) -> None:
    database.rows = {f"CP-{number}": number for number in range(MAX_TOGETHER * 2)}
    together = Together(database.ask)
    assert await asyncio.gather(*(together.get(key) for key in database.rows)) == list(range(MAX_TOGETHER * 2))
    assert max(map(len, database.asked)) <= MAX_TOGETHER
