"""The front put together: how the platform is, and its documentation."""

from __future__ import annotations

from fastapi import FastAPI

from cluster.services import ApiServices
from serve.application import furnished
from serve.front import documents, health

PREFIX = "/"


def build(services: ApiServices) -> FastAPI:
    """Return the application on these services."""
    app = FastAPI(title="CloudBay", openapi_url=None)
    for module in (health, documents):
        app.include_router(module.router)
    return furnished(app, services)
