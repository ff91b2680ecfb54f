"""The admin application put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI

from cluster.services import ApiServices
from serve import access, application
from serve.account import router as account
from serve.admin import (
    approvals,
    audit,
    clients,
    commands,
    erasure,
    events,
    hosts,
    machine_keys,
    owners,
    people,
    placements,
    restart,
    root,
    stations,
    status,
    tokens,
    transactions,
)
from serve.application import Description
from serve.headers import Deprecated
from serve.webhooks import deliveries, subscriptions

PREFIX = "/admin/v1"

_ABOUT = """
The application of staff: the fleet, its stations and their transactions, commands to them, who may charge, the
platform itself, in the words of OCPP 2.x whatever a station speaks, and who may log in and call. What is dangerous asks
for a fresh login (`x-fresh-login`): the answer is then a 401 with `max_age` (RFC 9470).
"""
DEPRECATED: Final[Mapping[str, Deprecated]] = {}
"""Operations that will go, by method and path; they go on to work until then."""
_MODULES = (
    root,
    stations,
    owners,
    commands,
    transactions,
    events,
    tokens,
    status,
    hosts,
    restart,
    placements,
    audit,
    approvals,
    people,
    machine_keys,
    clients,
    account,
)
_ROUTERS = (
    *(module.router for module in _MODULES),
    audit.lines,
    erasure.router,
    subscriptions.router,
    deliveries.router,
)


DESCRIPTION: Final = Description(
    PREFIX, "CloudBay admin", _ABOUT, _ROUTERS, access.ADMIN, DEPRECATED, sockets={"/events": events.socket}
)


def build(services: ApiServices) -> FastAPI:
    """Return the application on these services."""
    app = application.build(services, DESCRIPTION)
    app.state.message_rate = status.MessageRate()
    return app
