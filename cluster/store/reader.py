"""Runs read-only queries: in autocommit, by pages, with the database's errors told in our words.

Must not know: which queries there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest
from cluster.store.engine import blames_content, reachable
from cluster.store.paging import Order
from cluster.store.views import Page

T = TypeVar("T")


def is_uuid(text: str) -> bool:
    """Tell whether a text can be looked for in a column of UUIDs."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


class Reader:
    """Raises Unavailable when the database is away and BadRequest for a value that it cannot even look for."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def page(
        self, query: Select[Any], order: Order, cursor: str | None, limit: int, made: Callable[[Row[Any]], T]
    ) -> Page[T]:
        """Return the rows at `cursor` as values `made` of them. Raises BadRequest for a bad cursor or limit."""
        rows, following, previous = order.cut(await self.all(order.at(query, cursor, limit)), cursor, limit)
        return Page([made(row) for row in rows], following, previous)

    async def one(self, query: Select[Any]) -> Row[Any] | None:
        """Return the first row, if there is any."""
        return next(iter(await self.all(query)), None)

    async def all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows; the query bounds their number."""
        try:
            async with reachable(), self._engine.connect() as connection:
                result = await connection.execute(query)
                rows: Sequence[Row[Any]] = result.all()
                return rows
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the request holds a value that cannot be looked for") from error
            raise
