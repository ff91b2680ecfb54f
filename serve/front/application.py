"""The front put together: how the platform is, its documentation, and where people log in."""

from __future__ import annotations

from fastapi import FastAPI

from cluster.services import ApiServices
from serve.application import furnished
from serve.front import documents, health
from serve.login.router import router as login

PREFIX = "/"


def build(services: ApiServices) -> FastAPI:
    """Return the application on these services."""
    app = FastAPI(title="CloudBay", openapi_url=None)
    for module in (health, documents):
        app.include_router(module.router)
    if services.settings.issuer.enabled:
        app.state.issuer = services.identity.issuer
        app.include_router(login)
    return furnished(app, services)
