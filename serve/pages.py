"""Lists by pages: which page is asked for, and where the next one is."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from fastapi import Query, Request

from cluster.store.views import Page
from serve.wire import Wire

T = TypeVar("T")

Cursor = Annotated[str | None, Query(description="Leave out for the first page; `next` of a page has it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]


class PageOut(Wire, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None
    """Path of the next page; null on the last one."""


def shown(request: Request, page: Page[T]) -> dict[str, object]:
    """Return a page with the path of the next one, which asks for the same filters."""
    following = None
    if page.cursor is not None:
        url = request.url.include_query_params(cursor=page.cursor)
        following = f"{url.path}?{url.query}"
    return {"items": page.items, "next": following}
