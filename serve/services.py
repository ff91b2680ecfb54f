"""How an endpoint gets at what is behind the API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from cluster.services import ApiServices


def _services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


Services = Annotated[ApiServices, Depends(_services)]
