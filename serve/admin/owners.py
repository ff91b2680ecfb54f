"""Who owns a station or a site, as staff give and take it, and the codes by which new stations are claimed."""

from __future__ import annotations

from fastapi import Response

from actors.errors import NotFound
from cluster.identity.relation import Holding
from serve.admin.wire import ClaimOut, OwnerAsked, OwnerOut
from serve.context import Asking, Context
from serve.hal import Link, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.route import operations

router = operations("", "people")

_PATHS = {"station": "/stations/{station_id}/owner", "site": "/sites/{site_id}/owner"}
_PARTS = {"station": "station_id", "site": "site_id"}


@router.get("/stations/{station_id}/owner", response_model=OwnerOut)
async def get_owner(station_id: str, asking: Asking) -> dict[str, object]:
    """Return who owns a station."""
    return await _shown(asking, await _station(asking, station_id))


@router.put("/stations/{station_id}/owner", response_model=OwnerOut)
async def give_station(station_id: str, asked: OwnerAsked, asking: Asking) -> dict[str, object]:
    """Make somebody a station's owner; whoever had a relation to it before has none any more."""
    return await _give(asking, await _station(asking, station_id), asked)


@router.delete("/stations/{station_id}/owner", status_code=204)
async def take_station(station_id: str, asking: Asking) -> None:
    """Leave a station without an owner, and without everybody he has let in."""
    await asking.services.sharing.take(Holding("station", station_id))


@router.post("/stations/{station_id}/claim-code", status_code=201, response_model=ClaimOut, dependencies=[Once])
async def make_claim_code(station_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Make the code that its first owner claims a station with; shown this once, an older one is void."""
    holding = await _station(asking, station_id)
    made = await asking.services.sharing.make_claim(asking.caller, asking.id_of("offer"), holding)
    response.headers["Cache-Control"] = NO_STORE
    links = {"up": asking.link("GET /stations/{station_id}", {"station_id": station_id})}
    return {
        "station_id": station_id,
        "code": made.code,
        "expires_at": made.offer.expires_at,
        "links": present(links),
        "templates": {},
    }


@router.get("/sites/{site_id}/owner", response_model=OwnerOut)
async def get_owner_of_site(site_id: str, asking: Asking) -> dict[str, object]:
    """Return who owns a site, and with it its stations that have no owner of their own."""
    return await _shown(asking, await _site(asking, site_id))


@router.put("/sites/{site_id}/owner", response_model=OwnerOut)
async def give_site(site_id: str, asked: OwnerAsked, asking: Asking) -> dict[str, object]:
    """Make somebody a site's owner; whoever had a relation to it before has none any more."""
    return await _give(asking, await _site(asking, site_id), asked)


@router.delete("/sites/{site_id}/owner", status_code=204)
async def take_site(site_id: str, asking: Asking) -> None:
    """Leave a site without an owner, and without everybody he has let in."""
    await asking.services.sharing.take(Holding("site", site_id))


async def _station(asking: Context, station_id: str) -> Holding:
    await asking.services.queries.station(station_id)
    return Holding("station", station_id)


async def _site(asking: Context, site_id: str) -> Holding:
    page = await asking.services.queries.stations(site_id=site_id, limit=1)
    if not page.items:
        raise NotFound(f"no station belongs to a site {site_id}")
    return Holding("site", site_id)


async def _give(asking: Context, holding: Holding, asked: OwnerAsked) -> dict[str, object]:
    await asking.services.sharing.give(asking.caller, holding, asked.subject)
    return await _shown(asking, holding)


async def _shown(asking: Context, holding: Holding) -> dict[str, object]:
    owner = (await asking.services.sharing.circle(holding)).owner
    path, at = _PATHS[holding.kind], {_PARTS[holding.kind]: holding.name}
    forms = {
        "give": asking.form(f"PUT {path}", "Make somebody the owner", at, body=OwnerAsked),
        "take": None if owner is None else asking.form(f"DELETE {path}", "Take it from its owner", at),
    }
    return {
        "holding": holding._asdict(),
        "subject": None if owner is None else owner.subject,
        "since": None if owner is None else owner.granted_at,
        "links": {
            "self": asking.here,
            "curies": asking.curies,
            **present(_around(asking, holding, None if owner is None else owner.subject)),
        },
        "templates": present(forms),
    }


def _around(asking: Context, holding: Holding, owner: str | None) -> dict[str, Link | None]:
    """Return what the owner is the owner of, and who that is."""
    station = asking.link("GET /stations/{station_id}", {"station_id": holding.name})
    return {
        "cb:user": None if owner is None else asking.link("GET /people/{subject}", {"subject": owner}),
        "cb:events": asking.events(**{holding.kind: holding.name}),
        "up": station if holding.kind == "station" else None,
    }
