"""Lists by pages: which page is asked for, and the links to its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import Query

from cluster.store.views import Page
from serve.context import Context
from serve.hal import Link, Template, present

T = TypeVar("T")

Cursor = Annotated[str | None, Query(description="Leave out for the first page; `next` and `prev` of a page have it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]


def listed(
    asking: Context,
    relation: str,
    page: Page[T],
    shown: Callable[[T], object],
    forms: Mapping[str, Template | None] | None = None,
) -> dict[str, object]:
    """Return a page of things that are `relation` to the list, with links that keep its filters."""
    neighbours = {"next": _at(asking, page.cursor), "prev": _at(asking, page.previous)}
    return {
        "links": {"self": asking.here, "curies": asking.curies, **present(neighbours)},
        "templates": present(forms or {}),
        "embedded": {relation: [shown(item) for item in page.items]},
    }


def _at(asking: Context, cursor: str | None) -> Link | None:
    if cursor is None:
        return None
    url = asking.request.url.include_query_params(cursor=cursor)
    return {"href": f"{url.path}?{url.query}"}
