"""Charges: ask for one, watch it, end it, look at the curve and the receipt."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Header, Query, Response
from fastapi.responses import HTMLResponse

from actors.domain.command import Command
from actors.errors import Conflict
from cluster.identity.relation import Standing, Tie
from cluster.store.views import Charge, Page
from serve.app import receipt
from serve.app.asking import AppContext, Asking
from serve.app.wire import ChargeAsked, ChargeItemOut, ChargeOut, ChargeRequestOut, CurveOut, ReceiptOut
from serve.hal import HalResponse, Link, ListOf, present
from serve.headers import policy
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.preferences import preferred_wait_s
from serve.route import operations

router = operations("", "charges")

FILTERS = "open,limit"
_ONE = "GET /charges/{charge_id}"
_Prefer = Annotated[
    str, Header(alias="Prefer", description="`wait=N`: answer in place if done in N seconds (RFC 7240).")
]
_Open = Annotated[bool | None, Query(alias="open", description="Whether it still runs.")]


@router.get("/charges", response_model=ListOf[ChargeItemOut])
async def list_my_charges(
    asking: Asking, is_open: _Open = None, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List the caller's own charges, wherever they were, the newest first."""
    look = asking.services.charging.look
    page = await look.charges(subject=asking.caller.subject, is_open=is_open, cursor=cursor, limit=limit)
    return _listed(asking, page)


@router.get("/stations/{station_id}/charges", response_model=ListOf[ChargeItemOut])
async def list_charges_of_station(
    station_id: str, asking: Asking, is_open: _Open = None, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List the charges of a station, the newest first: a guest's own, an owner's all since it became his."""
    tie = asking.tie
    page = await asking.services.charging.look.charges(
        asking.caller.subject if tie.relation == "guest" else None,
        station_id,
        None if tie.relation == "guest" else tie.granted_at,
        is_open,
        cursor,
        limit,
    )
    return _listed(asking, page)


@router.post(
    "/stations/{station_id}/charges",
    status_code=202,
    response_model=ChargeRequestOut,
    responses={201: {"model": ChargeRequestOut}},
    dependencies=[Once],
)
async def start(
    station_id: str, asked: ChargeAsked, asking: Asking, response: Response, prefer: _Prefer = ""
) -> dict[str, object]:
    """Ask for a charge. 202 with its Location; 201 when it has begun within `Prefer: wait=N`."""
    command = await asking.services.charging.start(
        asking.caller,
        asking.tie,
        station_id,
        asking.id_of("command"),
        asked.evse_id,
        asked.connector_id,
        _wait_s(asking, prefer, response),
        asking.again,
    )
    if command.transaction is not None:
        response.status_code = 201
    response.headers["Location"] = asking.href("/charge-requests/{request_id}", {"request_id": command.id})
    return _request(asking, command.id, command)


@router.get("/charge-requests/{request_id}", response_model=ChargeRequestOut)
async def get_charge_request(request_id: str, asking: Asking) -> dict[str, object]:
    """Return what became of a charge that was asked for."""
    return _request(asking, request_id, asking.charge_request)


@router.get("/charges/{charge_id}", response_model=ChargeOut)
async def get_charge(charge_id: str, asking: Asking) -> dict[str, object]:
    """Return one charge as it stands."""
    return _shown(asking, charge_id)


@router.post(
    "/charges/{charge_id}/stop",
    status_code=202,
    response_model=ChargeOut,
    responses={200: {"model": ChargeOut}},
    dependencies=[Once],
)
async def stop(charge_id: str, asking: Asking, response: Response, prefer: _Prefer = "") -> dict[str, object]:
    """Ask the station to end a charge. 200 when it has agreed within `Prefer: wait=N`."""
    services = asking.services
    command = await services.charging.stop(
        asking.caller, asking.charge, asking.id_of("command"), _wait_s(asking, prefer, response), asking.again
    )
    if command.finished and command.status != "accepted":
        raise Conflict(f"the station did not end the charge: {command.error or command.status}")
    if command.finished:
        response.status_code = 200
    response.headers["Location"] = asking.href("/charges/{charge_id}", {"charge_id": charge_id})
    return _shown(asking, charge_id)


@router.get("/charges/{charge_id}/curve", response_model=CurveOut)
async def get_curve(charge_id: str, asking: Asking) -> dict[str, object]:
    """Return the charging curve: energy since the start, power and state of charge where known."""
    found = await asking.services.queries.meter_values(charge_id)
    up = asking.link(_ONE, {"charge_id": charge_id}, relation=asking.about.standing)
    return {
        "curve": [msgspec.structs.asdict(point) for point in found.curve],
        "links": {"self": asking.here, **present({"up": up})},
        "templates": {},
    }


@router.get(
    "/charges/{charge_id}/receipt",
    response_model=ReceiptOut,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_receipt(charge_id: str, asking: Asking, accept: Annotated[str, Header()] = "") -> Response:
    """Return what was charged, once the charge has ended; as a page to print with `Accept: text/html`."""
    found = receipt.of(asking.charge)
    headers = {"Vary": "Accept"}
    if receipt.wants_page(accept):
        page = receipt.page(found)
        return HTMLResponse(page, headers={**headers, "Content-Security-Policy": policy(page)})
    up = asking.link(_ONE, {"charge_id": charge_id}, relation=asking.about.standing)
    links = {"self": asking.here, "curies": asking.curies, **present({"up": up})}
    shown = ReceiptOut.model_validate({**found._asdict(), "links": links, "templates": {}})
    return HalResponse(shown.model_dump(mode="json", by_alias=True), headers=headers)


def _wait_s(asking: AppContext, prefer: str, response: Response) -> float:
    wait_s = preferred_wait_s(prefer)
    if wait_s is None:
        return 0.0
    response.headers["Preference-Applied"] = f"wait={wait_s}"
    return min(wait_s, asking.services.settings.api.max_wait_s)


def _request(asking: AppContext, request_id: str, command: Command) -> dict[str, object]:
    links: dict[str, Link | None] = {
        "self": asking.link("GET /charge-requests/{request_id}", {"request_id": request_id}, relation="driver")
    }
    if command.transaction is not None:
        links["cb:charge"] = asking.link(_ONE, {"charge_id": command.transaction}, relation="driver")
    return {
        **msgspec.structs.asdict(command),
        "links": {"curies": asking.curies, **present(links)},
        "templates": {},
    }


def _listed(asking: AppContext, page: Page[Charge]) -> dict[str, object]:
    return listed(asking, "cb:charge", page, lambda charge: _item(asking, charge, _standing(asking, charge)))


def _standing(asking: AppContext, charge: Charge) -> Standing | None:
    """Tell what the caller is to a charge that a list shows him."""
    if charge.subject == asking.caller.subject:
        return "driver"
    return asking.tie.relation


def _shown(asking: AppContext, charge_id: str) -> dict[str, object]:
    charge, standing, tie = asking.charge, asking.about.standing, asking.about.tie
    at = {"charge_id": charge_id}
    item = _item(asking, charge, standing)
    links = {
        "cb:curve": asking.link("GET /charges/{charge_id}/curve", at, relation=standing),
        "cb:receipt": asking.link("GET /charges/{charge_id}/receipt", at, relation=standing),
        "cb:events": asking.events(transaction=charge_id),
        "cb:station": _station_link(asking, charge, tie),
        "up": asking.link("GET /charges"),
    }
    form = asking.form("POST /charges/{charge_id}/stop", "Stop charging", at, relation=standing)
    if charge.ended_at is None:
        del links["cb:receipt"]
    return {
        **item,
        "stopped_reason": charge.stopped_reason,
        "updated_at": charge.updated_at,
        "links": {"curies": asking.curies, **item["links"], **present(links)},  # type: ignore[dict-item]
        "templates": present({"stop": form if charge.ended_at is None else None}),
    }


def _station_link(asking: AppContext, charge: Charge, tie: Tie | None) -> Link | None:
    if tie is None:
        return None
    return asking.link("GET /stations/{station_id}", {"station_id": charge.station_id}, relation=tie.relation)


def _item(asking: AppContext, charge: Charge, standing: Standing | None) -> dict[str, object]:
    links = {"self": asking.link(_ONE, {"charge_id": charge.id}, relation=standing)}
    return {
        **msgspec.structs.asdict(charge),
        "mine": charge.subject == asking.caller.subject,
        "state": charge.charging_state if charge.ended_at is None else "Ended",
        "links": present(links),
    }
