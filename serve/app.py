"""The HTTP API put together: routers, problems, request ids, counts. It decides nothing, it only translates."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from cluster.services import ApiServices
from serve import commands, health, hosts, placements, restart, stations, tokens, transactions
from serve.problems import add_problem_handlers
from serve.requests import Requests

_DESCRIPTION = """
Charging stations, their transactions and commands to them, in the words of OCPP 2.x whatever a station speaks.

Every request needs a bearer token (`cloudbay token --role admin`, or `viewer` to read). Times are UTC, units are in
names (`energyWh`, `powerW`). Lists go by pages: follow `next`. Errors are problem documents (RFC 9457).
"""


def build_app(services: ApiServices) -> FastAPI:
    """Return the API on these services."""
    app = FastAPIOffline(  # its documentation page brings its own scripts, so that it works without internet
        title="CloudBay",
        version=version("cloudbay"),
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.services = services
    app.state.metrics = CollectorRegistry()
    app.state.message_rate = health.MessageRate()
    app.add_middleware(Requests, new_id=services.new_id, registry=app.state.metrics)
    add_problem_handlers(app)
    for module in (health, hosts, restart, placements, stations, commands, transactions, tokens):
        app.include_router(module.router)
    return app
