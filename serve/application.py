"""What the applications have in common: problems, request ids, counts, ETags, and a rule for every operation.

It decides nothing, it only translates. Must not know: which operations there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from cluster.services import ApiServices
from serve import access
from serve.context import permitted
from serve.etags import ETags
from serve.hal import HalResponse
from serve.idempotency import FirstAnswers, Repeated, repeat
from serve.problems import add_problem_handlers
from serve.requests import Requests

_ABOUT_ALL = """
Answers are resources with links (HAL) and with forms for what their reader may do now (HAL-FORMS): begin at the root
and follow relations, they are explained at `/docs/relations`. Times are UTC, units are in names (`energyWh`, `powerW`).
Lists go by pages: follow `next`. Errors are problem documents (RFC 9457).
"""


def build(
    services: ApiServices,
    prefix: str,
    title: str,
    about: str,
    routers: Iterable[APIRouter],
    table: Mapping[str, access.Rule],
) -> FastAPI:
    """Return an application that lives at `prefix`. Raises ValueError for an operation without a rule."""
    app = FastAPIOffline(  # its documentation page brings its own scripts, so that it works without internet
        title=title,
        version=version("cloudbay"),
        description=about + _ABOUT_ALL,
        servers=[{"url": prefix}],
        root_path_in_servers=False,
        redoc_url=None,
        separate_input_output_schemas=False,
        default_response_class=HalResponse,
    )
    app.state.prefix = prefix
    app.state.access = table
    for router in routers:
        app.include_router(router, dependencies=[Depends(permitted)])
    access.check(app, table)
    return furnished(app, services)


def furnished(app: FastAPI, services: ApiServices) -> FastAPI:
    """Give an application the services behind it, and what every request gets."""
    app.state.services = services
    app.state.metrics = CollectorRegistry()
    app.add_middleware(FirstAnswers, repeats=services.repeats)
    app.add_middleware(ETags)
    app.add_middleware(Requests, new_id=services.new_id, registry=app.state.metrics)
    add_problem_handlers(app)
    app.add_exception_handler(Repeated, repeat)
    return app
