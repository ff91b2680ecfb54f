"""Stations: the list, one of them, its admission and password, what it has reported and said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from actors.domain.station import Configuration
from cluster.passwords import digest, make_password
from cluster.services import ApiServices
from cluster.store.views import FrameEntry, StationDetail
from serve.auth import admin, viewer
from serve.pages import Cursor, Limit, PageOut, shown
from serve.services import Services
from serve.wire import (
    FrameOut,
    NoticeOut,
    PasswordOut,
    Registration,
    SiteId,
    StationAsked,
    StationChange,
    StationOut,
    StationSummaryOut,
    VariableOut,
)

router = APIRouter(prefix="/api/v1/stations", tags=["stations"], dependencies=[Depends(viewer)])
_ADMIN = [Depends(admin)]


@router.get("", response_model=PageOut[StationSummaryOut])
async def list_stations(
    request: Request,
    services: Services,
    connected: bool | None = None,
    registration: Registration | None = None,
    site: SiteId | None = None,
    q: Annotated[str | None, Query(min_length=1, description="A part of id, vendor, model or serial number.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List stations by id."""
    return shown(request, await services.queries.stations(connected, registration, site, q, cursor, limit))


@router.post("", status_code=201, response_model=StationOut, dependencies=_ADMIN)
async def add_station(asked: StationAsked, response: Response, services: Services) -> dict[str, object]:
    """Register a station before its first contact."""
    password, password_digest = _new_password(services) if asked.password else (None, None)
    decisions = Configuration(asked.admission, asked.validation, password_digest, asked.site_id)
    await services.chargers.configure(asked.station_id, decisions, create=True)
    response.headers["Location"] = f"/api/v1/stations/{quote(asked.station_id)}"
    return {**_all_of(await services.queries.station(asked.station_id)), "password": password}


@router.get("/{station_id}", response_model=StationOut, response_model_exclude={"password"})
async def get_station(station_id: str, services: Services) -> dict[str, object]:
    """Return one station with what charges at it now."""
    return _all_of(await services.queries.station(station_id))


@router.patch("/{station_id}", response_model=StationOut, response_model_exclude={"password"}, dependencies=_ADMIN)
async def change_station(station_id: str, change: StationChange, services: Services) -> dict[str, object]:
    """Decide how the station's boots are answered, how strictly its messages are read, and where it belongs."""
    decisions = Configuration(**{name: getattr(change, name) for name in change.model_fields_set})
    await services.chargers.configure(station_id, decisions)
    return _all_of(await services.queries.station(station_id))


@router.post("/{station_id}/password", response_model=PasswordOut, dependencies=_ADMIN)
async def make_new_password(station_id: str, services: Services) -> PasswordOut:
    """Replace the station's password; the new one is shown this once and not kept."""
    password, password_digest = _new_password(services)
    await services.chargers.configure(station_id, Configuration(password_digest=password_digest))
    return PasswordOut(station_id=station_id, password=password)


@router.get("/{station_id}/variables", response_model=PageOut[VariableOut])
async def list_variables(
    request: Request, station_id: str, services: Services, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List the device model as the station has reported it."""
    page = await services.queries.variables(station_id, cursor, limit)
    await must_exist(services, station_id, page.items)
    return shown(request, page)


@router.get("/{station_id}/notices", response_model=PageOut[NoticeOut])
async def list_notices(
    request: Request, station_id: str, services: Services, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List events, security events and data transfers of the station, the newest first."""
    page = await services.queries.notices(station_id, cursor, limit)
    await must_exist(services, station_id, page.items)
    return shown(request, page)


@router.get("/{station_id}/log", response_model=PageOut[FrameOut], dependencies=_ADMIN)
async def list_frames(
    request: Request, station_id: str, services: Services, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List the station's OCPP frames both ways, the newest first. For admins: frames hold id tokens."""
    page = await services.queries.frames(station_id, cursor, limit)
    await must_exist(services, station_id, page.items)
    return shown(request, page)


@router.get("/{station_id}/log.jsonl", response_class=StreamingResponse, dependencies=_ADMIN)
async def export_frames(station_id: str, services: Services) -> StreamingResponse:
    """Export all logged frames, the oldest first, one JSON object a line."""
    frames = services.queries.all_frames(station_id)
    first = await anext(frames, None)  # before the answer begins, so that a fault can still be told
    await must_exist(services, station_id, [] if first is None else [first])
    return StreamingResponse(_lines(first, frames), media_type="application/jsonl")


async def must_exist(services: ApiServices, station_id: str, found: Sequence[object]) -> None:
    """Raise NotFound when nothing was found because there is no such station."""
    if not found:
        await services.queries.station(station_id)


async def _lines(first: FrameEntry | None, rest: AsyncIterator[FrameEntry]) -> AsyncIterator[bytes]:
    if first is not None:
        yield msgspec.json.encode(first) + b"\n"
    async for frame in rest:
        yield msgspec.json.encode(frame) + b"\n"


def _new_password(services: ApiServices) -> tuple[str, str]:
    password = make_password()
    return password, digest(password.encode(), services.password_key)


def _all_of(detail: StationDetail) -> dict[str, object]:
    station = msgspec.structs.asdict(detail.station)
    return {
        **station,
        "connected": detail.station.connected,
        "password_set": detail.password_set,
        "open_transactions": detail.open_transactions,
    }
