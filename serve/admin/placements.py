"""Placement: which stations, by themselves or by their site, get a host of their own."""

from __future__ import annotations

from cluster.store.views import Placement, PlacementKind
from serve.admin.wire import PlacementsOut
from serve.context import Asking, Context
from serve.hal import present
from serve.route import operations

router = operations("/placements", "platform")


@router.get("", response_model=PlacementsOut)
async def list_placements(asking: Asking) -> dict[str, object]:
    """List the stations and sites that get hosts of their own; all others share hosts."""
    return await _shown(asking)


@router.put("/{kind}/{name}", response_model=PlacementsOut, status_code=202)
async def dedicate(kind: PlacementKind, name: str, asking: Asking) -> dict[str, object]:
    """Give a station, or every station of a site, a host process of its own, within seconds; no socket is closed."""
    await asking.services.placements.dedicate(kind, name)
    return await _shown(asking)


@router.delete("/{kind}/{name}", response_model=PlacementsOut, status_code=202)
async def pack(kind: PlacementKind, name: str, asking: Asking) -> dict[str, object]:
    """Take that back: the stations share hosts again; no socket is closed."""
    await asking.services.placements.pack(kind, name)
    return await _shown(asking)


async def _shown(asking: Context) -> dict[str, object]:
    rules = await asking.services.placements.rules()
    return {
        "placements": [_rule(asking, rule) for rule in rules],
        "links": {"self": asking.link("GET /placements"), "curies": asking.curies},
        "templates": {},
    }


def _rule(asking: Context, rule: Placement) -> dict[str, object]:
    pack = asking.form("DELETE /placements/{kind}/{name}", "Let it share hosts again", rule._asdict())
    return {**rule._asdict(), "links": {}, "templates": present({"pack": pack})}
