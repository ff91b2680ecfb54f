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
_BACKWARDS: Final = "-"


class Cut(NamedTuple):
    """The rows of a page in their order, and the cursors of the next page and of the one before, if any."""

    rows: Sequence[Row[Any]]
    following: str | None
    previous: str | None


class Order(NamedTuple):
    """A total order of rows: columns that a key consists of, and the types of its parts."""

    columns: Sequence[ColumnElement[Any]]
    types: tuple[type, ...]
    descending: bool = False

    def at(self, query: Select[Any], cursor: str | None, limit: int) -> Select[Any]:
        """Return the query of the rows at a cursor, one more than `limit`. Raises BadRequest for either.

        A cursor leads onwards from a row or, if it begins with `-`, backwards; then the rows come in reverse.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"limit must be 1 to {MAX_LIMIT}")
        falling = self.descending != _backwards(cursor)
        if cursor is not None:
            pairs = zip(self._decoded(cursor), self.columns, strict=True)
            last = tuple_(*(literal(part, column.type) for part, column in pairs))
            query = query.where(tuple_(*self.columns) < last if falling else tuple_(*self.columns) > last)
        order = [column.desc() if falling else column for column in self.columns]
        return query.order_by(*order).add_columns(*self._labelled()).limit(limit + 1)

    def cut(self, rows: Sequence[Row[Any]], cursor: str | None, limit: int) -> Cut:
        """Split what the query at `cursor` has brought into the page's rows and the cursors of its neighbours."""
        shown, more = rows[:limit], len(rows) > limit
        if _backwards(cursor):
            shown = shown[::-1]
            return Cut(shown, self._key(shown[-1:]), self._key(shown[:1], _BACKWARDS) if more else None)
        before = self._key(shown[:1], _BACKWARDS) if cursor is not None else None
        return Cut(shown, self._key(shown[-1:]) if more else None, before)

    def _key(self, row: Sequence[Row[Any]], direction: str = "") -> str | None:
        if not row:
            return None
        key = [row[0]._mapping[label.name] for label in self._labelled()]
        return direction + urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")

    def _labelled(self) -> list[Any]:
        return [column.label(f"key_{place}") for place, column in enumerate(self.columns)]

    def _decoded(self, cursor: str) -> tuple[object, ...]:
        try:
            encoded = cursor.removeprefix(_BACKWARDS)
            text = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            key: tuple[object, ...] = msgspec.json.decode(text, type=tuple[self.types])  # type: ignore[name-defined]
        except ValueError as error:
            raise BadRequest("the cursor is not one that a page of this list has given") from error
        return key


def _backwards(cursor: str | None) -> bool:
    return cursor is not None and cursor.startswith(_BACKWARDS)
