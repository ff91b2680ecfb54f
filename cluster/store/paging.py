"""Keyset pagination: a cursor is the key of the last row shown, so pages neither shift nor slow down.

Must not know: which tables there are.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, Select, literal, tuple_

from actors.errors import BadRequest

MAX_LIMIT: Final = 1000


class Order(NamedTuple):
    """A total order of rows: columns that a key consists of, and the types of its parts."""

    columns: Sequence[ColumnElement[Any]]
    types: tuple[type, ...]
    newest_first: bool = False

    def after(self, query: Select[Any], cursor: str | None, limit: int) -> Select[Any]:
        """Return the query of the rows after `cursor`, one more than `limit`. Raises BadRequest for either."""
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"limit must be 1 to {MAX_LIMIT}")
        if cursor is not None:
            pairs = zip(self._decoded(cursor), self.columns, strict=True)
            last = tuple_(*(literal(part, column.type) for part, column in pairs))
            query = query.where(tuple_(*self.columns) < last if self.newest_first else tuple_(*self.columns) > last)
        order = [column.desc() if self.newest_first else column for column in self.columns]
        return query.order_by(*order).add_columns(*self._labelled()).limit(limit + 1)

    def cut(self, rows: Sequence[Row[Any]], limit: int) -> tuple[Sequence[Row[Any]], str | None]:
        """Split what the query has brought into the page's rows and the cursor of the next page."""
        if len(rows) <= limit:
            return rows, None
        key = [rows[limit - 1]._mapping[label.name] for label in self._labelled()]
        return rows[:limit], urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")

    def _labelled(self) -> list[Any]:
        return [column.label(f"key_{place}") for place, column in enumerate(self.columns)]

    def _decoded(self, cursor: str) -> tuple[object, ...]:
        try:
            text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            key: tuple[object, ...] = msgspec.json.decode(text, type=tuple[self.types])  # type: ignore[name-defined]
        except ValueError as error:
            raise BadRequest("the cursor is not one that a page of this list has given") from error
        return key
