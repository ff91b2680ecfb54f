"""Pages of lists in memory, with the cursors and the refusals of cluster/store/paging.py."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from actors.errors import BadRequest
from cluster.store.paging import MAX_LIMIT
from cluster.store.views import Page

T = TypeVar("T")


def cut(items: Sequence[T], key: Callable[[T], object], cursor: str | None, limit: int) -> Page[T]:
    """Return the page at `cursor` of items that are in order; `key` names one."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"limit must be 1 to {MAX_LIMIT}")
    names = [urlsafe_b64encode(msgspec.json.encode(key(item))).decode().rstrip("=") for item in items]
    first, last = 0, limit
    if cursor is not None:
        backwards, name = cursor.startswith("-"), cursor.removeprefix("-")
        try:
            msgspec.json.decode(urlsafe_b64decode(name + "=" * (-len(name) % 4)))
        except ValueError as error:
            raise BadRequest("the cursor is not one that a page of this list has given") from error
        place = names.index(name)
        first, last = (max(0, place - limit), place) if backwards else (place + 1, place + 1 + limit)
    return Page(
        list(items[first:last]),
        names[last - 1] if last < len(items) else None,
        f"-{names[first]}" if 0 < first < len(items) else None,
    )
