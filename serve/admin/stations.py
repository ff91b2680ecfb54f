"""Stations: the list, one of them, what admins have decided about it, its password, what it has reported and said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec
from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from actors.domain.station import Configuration, decided
from cluster.passwords import digest, make_password
from cluster.services import ApiServices
from cluster.store.views import FrameEntry, StationDetail, StationOrder, StationSummary
from serve.admin.transactions import in_list
from serve.admin.wire import (
    AddedOut,
    CommandAsked,
    ConfigurationOut,
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
from serve.context import Asking, Context
from serve.etags import IfMatch, expected, quoted
from serve.hal import Link, ListOf, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/stations", "stations")

FILTERS = "connected,registration,site,q,sort,limit"
_ONE = "GET /stations/{station_id}"
_CONFIGURATION = "GET /stations/{station_id}/configuration"


@router.get("", response_model=ListOf[StationSummaryOut])
async def list_stations(
    asking: Asking,
    connected: bool | None = None,
    registration: Registration | None = None,
    site: SiteId | None = None,
    q: Annotated[str | None, Query(min_length=1, description="A part of id, vendor, model or serial number.")] = None,
    sort: Annotated[
        StationOrder, Query(description="A field to sort by; `-` before it turns the order.")
    ] = "stationId",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List stations."""
    page = await asking.services.queries.stations(connected, registration, site, q, cursor, limit, sort)
    forms = {"add": asking.form("POST /stations", "Register a station", body=StationAsked)}
    return listed(asking, "cb:station", page, lambda station: _item(asking, station), forms)


@router.post("", status_code=201, response_model=AddedOut, dependencies=[Once])
async def add_station(asked: StationAsked, asking: Asking, response: Response) -> dict[str, object]:
    """Register a station before its first contact."""
    password, password_digest = _new_password(asking.services) if asked.password else (None, None)
    decisions = Configuration(asked.admission, asked.validation, password_digest, asked.site_id)
    await asking.services.chargers.configure(asked.station_id, decisions, create=True, again=asking.again)
    response.headers["Location"] = asking.href("/stations/{station_id}", {"station_id": asked.station_id})
    if password is not None:
        response.headers["Cache-Control"] = NO_STORE
    return {**await _configuration(asking, asked.station_id, response), "password": password}


@router.get("/{station_id}", response_model=StationOut)
async def get_station(station_id: str, asking: Asking) -> dict[str, object]:
    """Return one station with what charges at it now."""
    return _shown(asking, await asking.services.queries.station(station_id))


@router.get("/{station_id}/configuration", response_model=ConfigurationOut)
async def get_configuration(station_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Return what admins have decided about a station."""
    return await _configuration(asking, station_id, response)


@router.patch("/{station_id}/configuration", response_model=ConfigurationOut)
async def change_configuration(
    station_id: str, change: StationChange, asking: Asking, response: Response, if_match: IfMatch = None
) -> dict[str, object]:
    """Decide how the station's boots are answered, how strictly its messages are read, and where it belongs."""
    named = {name: getattr(change, name) for name in change.model_fields_set}
    await asking.services.chargers.configure(station_id, Configuration(**named, expected=expected(if_match)))
    return await _configuration(asking, station_id, response)


@router.post("/{station_id}/password", response_model=PasswordOut, dependencies=[Once])
async def make_new_password(station_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Replace the station's password; the new one is shown this once and not kept."""
    password, password_digest = _new_password(asking.services)
    await asking.services.chargers.configure(station_id, Configuration(password_digest=password_digest))
    response.headers["Cache-Control"] = NO_STORE
    links = {"up": asking.link(_ONE, {"station_id": station_id})}
    return {"station_id": station_id, "password": password, "links": present(links), "templates": {}}


@router.get("/{station_id}/variables", response_model=ListOf[VariableOut])
async def list_variables(station_id: str, asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> object:
    """List the device model as the station has reported it."""
    page = await asking.services.queries.variables(station_id, cursor, limit)
    await must_exist(asking.services, station_id, page.items)
    return listed(asking, "cb:variable", page, lambda variable: variable)


@router.get("/{station_id}/notices", response_model=ListOf[NoticeOut])
async def list_notices(station_id: str, asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> object:
    """List events, security events and data transfers of the station, the newest first."""
    page = await asking.services.queries.notices(station_id, cursor, limit)
    await must_exist(asking.services, station_id, page.items)
    return listed(asking, "cb:notice", page, lambda notice: notice)


@router.get("/{station_id}/log", response_model=ListOf[FrameOut])
async def list_frames(station_id: str, asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> object:
    """List the station's OCPP frames both ways, the newest first. Not for everybody: frames hold id tokens."""
    page = await asking.services.queries.frames(station_id, cursor, limit)
    await must_exist(asking.services, station_id, page.items)
    return listed(asking, "cb:frame", page, lambda frame: frame)


@router.get("/{station_id}/log.jsonl", response_class=StreamingResponse)
async def export_frames(station_id: str, asking: Asking) -> StreamingResponse:
    """Export all logged frames, the oldest first, one JSON object a line."""
    frames = asking.services.queries.all_frames(station_id)
    first = await anext(frames, None)  # before the answer begins, so that a fault can still be told
    await must_exist(asking.services, station_id, [] if first is None else [first])
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


def _item(asking: Context, station: StationSummary) -> dict[str, object]:
    links = {"self": asking.link(_ONE, {"station_id": station.station_id})}
    return {**msgspec.structs.asdict(station), "links": present(links)}


def _shown(asking: Context, detail: StationDetail) -> dict[str, object]:
    station = detail.station
    at = {"station_id": station.station_id}
    links = {
        "cb:configuration": asking.link(_CONFIGURATION, at),
        "cb:commands": asking.link("GET /stations/{station_id}/commands", at, query="limit"),
        "cb:variables": asking.link("GET /stations/{station_id}/variables", at, query="limit"),
        "cb:notices": asking.link("GET /stations/{station_id}/notices", at, query="limit"),
        "cb:log": asking.link("GET /stations/{station_id}/log", at, query="limit"),
        "cb:transactions": _transactions_of(asking, station.station_id),
        "cb:owner": asking.link("GET /stations/{station_id}/owner", at),
        "cb:events": asking.events(station=station.station_id),
        "up": asking.link("GET /stations"),
    }
    forms = {
        "command": asking.form("POST /stations/{station_id}/commands", "Send a command", at, body=CommandAsked),
        "claim-code": asking.form("POST /stations/{station_id}/claim-code", "Make a code for its first owner", at),
        "new-password": asking.form("POST /stations/{station_id}/password", "Replace the password", at),
    }
    return {
        **msgspec.structs.asdict(station),
        "connected": station.connected,
        "open_transactions": [in_list(asking, transaction) for transaction in detail.open_transactions],
        "links": {"self": asking.here, "curies": asking.curies, **present(links)},
        "templates": present(forms),
    }


def _transactions_of(asking: Context, station_id: str) -> Link | None:
    link = asking.link("GET /transactions")
    return {"href": f"{link['href']}?station={station_id}"} if link else None


async def _configuration(asking: Context, station_id: str, response: Response) -> dict[str, object]:
    detail = await asking.services.queries.station(station_id)
    response.headers["ETag"] = quoted(decided(detail.station))
    change = "PATCH /stations/{station_id}/configuration"
    at = {"station_id": station_id}
    links = {"self": asking.link(_CONFIGURATION, at), "up": asking.link(_ONE, at)}
    forms = {"default": asking.form(change, "Decide about the station", at, body=StationChange)}
    return {
        **{name: getattr(detail.station, name) for name in ("station_id", "admission", "validation", "site_id")},
        "password_set": detail.password_set,
        "links": {"curies": asking.curies, **present(links)},
        "templates": present(forms),
    }
