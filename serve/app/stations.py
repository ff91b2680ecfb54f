"""The caller's stations: the list, and one with its connectors and what may be done at each now."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.domain.station import Station, connector_key
from actors.domain.use import connectors_of
from cluster.charging import may_start
from cluster.identity.relation import Holding, Tie, Use
from cluster.store.views import StationDetail
from serve.app import people
from serve.app.asking import AppContext, Asking
from serve.app.wire import ChargeAsked, StationItemOut, StationOut
from serve.hal import ListOf, present
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/stations", "stations")

_ONE = "GET /stations/{station_id}"
_CHARGES = "GET /stations/{station_id}/charges"
_START = "POST /stations/{station_id}/charges"


@router.get("", response_model=ListOf[StationItemOut])
async def list_stations(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List the stations that the caller has a relation to."""
    services, subject = asking.services, asking.caller.subject
    page = await services.charging.look.stations_of(subject, services.clock(), cursor, limit)
    holdings = [Holding("station", station.station_id) for station in page.items]
    mine = await services.sharing.at(subject, holdings)
    return listed(asking, "cb:station", page, lambda station: _item(asking, station, mine))


@router.get("/{station_id}", response_model=StationOut)
async def get_station(station_id: str, asking: Asking) -> dict[str, object]:
    """Return one station with its connectors and what charges there."""
    tie = asking.tie
    detail = await asking.services.queries.station(station_id)
    used = await asking.services.charging.used(tie)
    at, station = {"station_id": station_id}, detail.station
    links = {
        "cb:charges": asking.link("GET /stations/{station_id}/charges", at, query="open,limit", relation=tie.relation),
        "cb:events": asking.events(station=station_id),
        "cb:people": people.link(asking, Holding("station", station_id), tie.relation),
        "up": asking.link("GET /stations"),
    }
    connectors = [_connector(asking, detail, tie, used, *pair) for pair in connectors_of(station)]
    return {
        **_station(station, tie),
        "last_seen_at": station.last_seen_at,
        "terms": people.terms_out(tie.terms),
        "used": used._asdict() if tie.terms.limits else None,
        "links": {"self": asking.here, "curies": asking.curies, **present(links)},
        "templates": {},
        "embedded": {"cb:connector": connectors},
    }


def _connector(
    asking: AppContext, detail: StationDetail, tie: Tie, used: Use, evse_id: int, connector_id: int
) -> dict[str, object]:
    hindrance = may_start(detail, tie, used, asking.services.clock(), evse_id, connector_id)
    start = asking.form(
        _START,
        "Start to charge",
        {"station_id": detail.station.station_id},
        body=ChargeAsked,
        relation=tie.relation,
        values={"evseId": evse_id, "connectorId": connector_id},
    )
    return {
        **msgspec.structs.asdict(detail.station.connectors[connector_key(evse_id, connector_id)]),
        "evse_id": evse_id,
        "connector_id": connector_id,
        "hindrance": hindrance,
        "links": {},
        "templates": present({"start": start if hindrance is None else None}),
    }


def _item(asking: AppContext, station: Station, mine: Mapping[Holding, Tie]) -> dict[str, object]:
    tie = mine[Holding("station", station.station_id)]
    at = {"station_id": station.station_id}
    return {
        **_station(station, tie),
        "links": present({"self": asking.link(_ONE, at, relation=tie.relation)}),
    }


def _station(station: Station, tie: Tie) -> dict[str, object]:
    return {
        "station_id": station.station_id,
        "vendor_name": station.vendor_name,
        "model": station.model,
        "connected": station.connected,
        "relation": tie.relation,
    }
