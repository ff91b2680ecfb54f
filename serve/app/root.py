"""Where app users begin: everything that is theirs is reached from here."""

from __future__ import annotations

from serve.app import charges
from serve.app.asking import Asking
from serve.app.wire import CodeAsked
from serve.context import EVENTS
from serve.hal import Resource, present
from serve.live.asking import FILTERS
from serve.route import operations

router = operations("", "root")


@router.get("/", response_model=Resource)
async def root(asking: Asking) -> dict[str, object]:
    """Return links to all there is for the caller."""
    links = {
        "cb:stations": asking.link("GET /stations", query="limit"),
        "cb:charges": asking.link("GET /charges", query=charges.FILTERS),
        "cb:events": asking.link(EVENTS, query=FILTERS),
        "cb:relations": asking.link("GET /relations", query="limit"),
        "cb:invitations": asking.link("GET /invitations"),
        "cb:account": asking.link("GET /account"),
        "cb:webhooks": asking.link("GET /webhooks", query="limit"),
        "cb:account-data": asking.link("GET /account/data"),
        "describedby": {"href": asking.href("/openapi.json")},
    }
    forms = {
        "redeem": asking.form("POST /invitations", "Use a code", body=CodeAsked),
        "erase": asking.form("DELETE /account", "Erase the account and all that is known of it"),
    }
    return {
        "links": {"self": asking.here, "curies": asking.curies, **present(links)},
        "templates": present(forms),
    }
