"""Where staff begin: everything of the platform is reached from here."""

from __future__ import annotations

from serve.admin import approvals, audit, people, stations, transactions
from serve.admin.wire import StationAsked
from serve.context import EVENTS, Asking
from serve.hal import Resource, present
from serve.live.asking import FILTERS
from serve.route import operations

router = operations("", "root")


@router.get("/", response_model=Resource)
async def root(asking: Asking) -> dict[str, object]:
    """Return links to all there is for the caller."""
    links = {
        "cb:stations": asking.link("GET /stations", query=stations.FILTERS),
        "cb:station": asking.template("GET /stations/{station_id}"),
        "cb:transactions": asking.link("GET /transactions", query=transactions.FILTERS),
        "cb:transaction": asking.template("GET /transactions/{transaction_id}"),
        "cb:owner": asking.template("GET /sites/{site_id}/owner"),
        "cb:tokens": asking.link("GET /tokens", query="limit"),
        "cb:events": asking.link(EVENTS, query=FILTERS),
        "cb:status": asking.link("GET /status"),
        "cb:hosts": asking.link("GET /hosts"),
        "cb:placements": asking.link("GET /placements"),
        "cb:restart": asking.link("GET /restart"),
        "cb:users": asking.link("GET /people", query=people.FILTERS),
        "cb:user": asking.template("GET /people/{subject}"),
        "cb:machine-keys": asking.link("GET /machine-keys", query="limit"),
        "cb:clients": asking.link("GET /clients", query="limit"),
        "cb:account": asking.link("GET /account"),
        "cb:audit-entries": asking.link("GET /audit-entries", query=audit.FILTERS),
        "cb:approvals": asking.link("GET /approvals", query=approvals.FILTERS),
        "cb:webhooks": asking.link("GET /webhooks", query="limit"),
        "describedby": {"href": asking.href("/openapi.json")},
    }
    return {
        "links": {"self": asking.here, "curies": asking.curies, **present(links)},
        "templates": present({"add-station": asking.form("POST /stations", "Register a station", body=StationAsked)}),
    }
