"""The app put together."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI

from cluster.services import ApiServices
from serve import access, application
from serve.account import router as account
from serve.app import charges, events, invitations, people, personal_data, root, stations
from serve.app.asking import allowed
from serve.application import Description
from serve.webhooks import deliveries, subscriptions

PREFIX = "/app/v1"

_ABOUT = """
The application of app users: stations that they own or share, their charges there with receipts, and whom they share
with. Who has no relation to a station does not learn that it exists.
"""
_MODULES = (root, stations, charges, events, people, invitations, account, personal_data, subscriptions, deliveries)


DESCRIPTION: Final = Description(
    PREFIX,
    "CloudBay app",
    _ABOUT,
    [module.router for module in _MODULES],
    access.APP,
    guard=allowed,
    sockets={"/events": events.socket},
)


def build(services: ApiServices) -> FastAPI:
    """Return the application on these services."""
    return application.build(services, DESCRIPTION)
