"""Placement: which stations, by themselves or by their site, get a host of their own."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from cluster.services import ApiServices
from cluster.store.views import PlacementKind
from serve.auth import admin, viewer
from serve.services import Services
from serve.wire import PlacementsOut

router = APIRouter(prefix="/api/v1/placements", tags=["hosts"], dependencies=[Depends(viewer)])
_ADMIN = [Depends(admin)]


@router.get("", response_model=PlacementsOut)
async def list_placements(services: Services) -> dict[str, object]:
    """List the stations and sites that get hosts of their own; all others share hosts."""
    return await _shown(services)


@router.put("/{kind}/{name}", response_model=PlacementsOut, status_code=202, dependencies=_ADMIN)
async def dedicate(kind: PlacementKind, name: str, services: Services) -> dict[str, object]:
    """Give a station, or every station of a site, a host process of its own, within seconds; no socket is closed."""
    await services.placements.dedicate(kind, name)
    return await _shown(services)


@router.delete("/{kind}/{name}", response_model=PlacementsOut, status_code=202, dependencies=_ADMIN)
async def pack(kind: PlacementKind, name: str, services: Services) -> dict[str, object]:
    """Take that back: the stations share hosts again; no socket is closed."""
    await services.placements.pack(kind, name)
    return await _shown(services)


async def _shown(services: ApiServices) -> dict[str, object]:
    return {"placements": [rule._asdict() for rule in await services.placements.rules()]}
