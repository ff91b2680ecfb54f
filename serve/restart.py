"""The rolling restart: every process anew, one after the other."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from cluster.services import ApiServices
from cluster.store.views import Restart
from serve.auth import admin, viewer
from serve.services import Services
from serve.wire import RestartOut

router = APIRouter(prefix="/api/v1/restart", tags=["hosts"], dependencies=[Depends(viewer)])


@router.get("", response_model=RestartOut)
async def see_restart(services: Services) -> dict[str, object]:
    """Return how far the last rolling restart is."""
    return _progress(services, await services.hosts.restarting())


@router.post("", response_model=RestartOut, status_code=202, dependencies=[Depends(admin)])
async def restart(services: Services) -> dict[str, object]:
    """Start every process anew, one after the other: hosts, gateways, and this API last.

    Each is replaced before it goes; the stations of a gateway are sent to the others at the rate they can take.
    """
    return _progress(services, await services.hosts.restart())


def _progress(services: ApiServices, state: Restart) -> dict[str, object]:
    return {**state._asdict(), "api_left": services.generation < state.generation}
