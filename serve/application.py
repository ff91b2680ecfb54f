"""What the applications have in common: problems, request ids, counts, ETags, and a rule for every operation.

It decides nothing, it only translates. Must not know: which operations there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache, lru_cache, partial
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from cluster.services import ApiServices
from serve import access, docs
from serve.context import Context, permitted
from serve.description import describe
from serve.etags import ETags
from serve.headers import Deprecated, StandardHeaders
from serve.idempotency import FirstAnswers, Repeated, repeat
from serve.limits import Limits
from serve.problems import add_problem_handlers
from serve.recorded import Recorded
from serve.requests import Requests

_CORS: Final[Mapping[str, Any]] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer",
    ],
    "expose_headers": [
        "Deprecation", "ETag", "Idempotency-Replayed", "Link", "Location", "Preference-Applied", "Retry-After",
        "Sunset", "WWW-Authenticate", "X-Request-Id",
    ],
}  # fmt: skip
_ABOUT_ALL = """
Answers are resources with links (HAL) and with forms for what their reader may do now (HAL-FORMS): begin at the root
and follow relations, they are explained at `/docs/relations`. Times are UTC, units are in names (`energyWh`, `powerW`).
Lists go by pages: follow `next`. Errors are problem documents (RFC 9457).
"""


class Description(NamedTuple):
    """What an application is: where it lives, what it is about, its operations, who may do them, which will go."""

    prefix: str
    title: str
    about: str
    routers: Iterable[APIRouter]
    table: Mapping[str, access.Rule]
    deprecated: Mapping[str, Deprecated] = MappingProxyType({})
    guard: Callable[..., Awaitable[Context]] = permitted
    """What every request passes; it raises what forbids it."""
    sockets: Mapping[str, Callable[[WebSocket], Awaitable[None]]] = MappingProxyType({})
    """What serves WebSockets, by path. The rule is that of GET there; they look at it themselves."""


def build(services: ApiServices, description: Description) -> FastAPI:
    """Return an application on these services. Raises ValueError for an operation without a rule."""
    return furnished(assembled(description), services, description)


def assembled(description: Description) -> FastAPI:
    """Return an application without anything behind it: all that describes it. Raises ValueError as `build` does."""
    prefix, table = description.prefix, description.table
    app = FastAPIOffline(  # its scripts for the documentation page, so that this works without internet
        docs_url=None,
        static_url=docs.STATIC,
        title=description.title,
        version=version("cloudbay"),
        description=description.about + _ABOUT_ALL,
        servers=[{"url": prefix}],
        root_path_in_servers=False,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.prefix = prefix
    app.state.access = table
    app.state.permissions = lru_cache(maxsize=256)(partial(access.permissions, table))
    app.state.guard = description.guard
    for router in description.routers:
        app.router.routes.extend(router.routes)  # not included: FastAPI looks through included routers twice
    app.router.routes.extend(WebSocketRoute(path, served) for path, served in description.sockets.items())
    access.check(app, table)
    if unknown := set(description.deprecated) - set(table):
        raise ValueError(f"deprecated, and not there: {sorted(unknown)}")
    app.openapi = cache(partial(describe, app, table, description.deprecated))  # type: ignore[method-assign]
    docs.add_page(app, prefix)
    return app


def furnished(app: FastAPI, services: ApiServices, description: Description | None = None) -> FastAPI:
    """Give an application the services behind it, and what every request gets; bodies of one described are JSON."""
    api = services.settings.api
    known = Description("", app.title, "", (), {}) if description is None else description
    app.state.services = services
    app.state.metrics = CollectorRegistry()
    app.add_middleware(FirstAnswers, repeats=services.repeats)
    app.add_middleware(Recorded, services=services, prefix=known.prefix, table=known.table)
    app.add_middleware(ETags)
    most_bytes = {"max_body_bytes": api.max_body_kb * 1024, "max_header_bytes": api.max_header_kb * 1024}
    app.add_middleware(Limits, **most_bytes, json_only=description is not None)
    app.add_middleware(Requests, new_id=services.new_id, registry=app.state.metrics, answered=services.answered)
    if api.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=api.cors_origins, **_CORS)
    app.add_middleware(StandardHeaders, hsts_s=api.hsts_s, deprecated=known.deprecated)
    add_problem_handlers(app)
    app.add_exception_handler(Repeated, repeat)
    return app
