"""What a client asks of live events: which ones, and after which it goes on; the same for streams and for sockets.

Must not know: who may see what.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Header, Query
from pydantic import AfterValidator, Field
from starlette.datastructures import QueryParams

from actors.domain.events import EVENTS
from actors.errors import BadRequest
from cluster.bus.stream import POSITION
from cluster.bus.subscription import EventFilter

FILTERS: Final = "station*,site*,kind*,transaction*"
"""The variables of links to live events (RFC 6570 section 3.2.1)."""

_MAX_NAMED: Final = 100
_STREAM: Final = "text/event-stream"
_EXAMPLE: Final = (
    'id: 1777896000000-0-1\nevent: StationDisconnected\ndata: {"specversion":"1.0","id":"1777896000000-0-1",'
    '"source":"/live","type":"StationDisconnected","subject":"CP-1","time":"2026-05-04T12:00:00Z",'
    '"dataschema":"urn:cloudbay:event:StationDisconnected:1","data":{"connEpoch":7}}\n\n'
)
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events, for as long as both sides like; docs/api/asyncapi.yaml describes each.",
        "content": {_STREAM: {"schema": {"type": "string", "examples": [_EXAMPLE]}}},
    }
}


class Wish(NamedTuple):
    """Which events, and the id of the last one that was received."""

    wanted: EventFilter
    after: str | None


def _known(kind: str) -> str:
    if kind not in EVENTS:
        raise ValueError("there is no such type of event")
    return kind


_Kind = Annotated[str, Field(json_schema_extra={"enum": sorted(EVENTS)}), AfterValidator(_known)]
_Names = list[str] | None


def wish(
    station: Annotated[_Names, Query(max_length=_MAX_NAMED, description="Only events of these stations.")] = None,
    site: Annotated[_Names, Query(max_length=_MAX_NAMED, description="Only events of stations on these sites.")] = None,
    kind: Annotated[list[_Kind] | None, Query(max_length=_MAX_NAMED, description="Only events of these types.")] = None,
    transaction: Annotated[
        _Names, Query(max_length=_MAX_NAMED, description="Only events of these transactions, by the platform's ids.")
    ] = None,
    last_event_id: Annotated[
        str | None,
        Query(alias="lastEventId", pattern=POSITION, description="As the header Last-Event-ID, which counts more."),
    ] = None,
    header: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID", pattern=POSITION, description="The id of the last event received: what came after."
        ),
    ] = None,
) -> Wish:
    """Return what a request asks for."""
    return Wish(_filter(station, site, kind, transaction), header or last_event_id)


Wished = Annotated[Wish, Depends(wish)]


def wish_of(query: QueryParams) -> Wish:
    """Return what a socket's address asks for. Raises BadRequest."""
    asked = _filter(*(query.getlist(name) or None for name in ("station", "site", "kind", "transaction")))
    checked(asked)
    return Wish(asked, query.get("lastEventId"))


def checked(wanted: EventFilter) -> EventFilter:
    """Return a filter that names nothing that is none, and not too much. Raises BadRequest."""
    for named in (wanted.stations, wanted.sites, wanted.kinds, wanted.transactions):
        if len(named or ()) > _MAX_NAMED:
            raise BadRequest(f"a filter may name {_MAX_NAMED} of a sort at most")
    if unknown := (wanted.kinds or frozenset()) - set(EVENTS):
        raise BadRequest(f"there are no events of {len(unknown)} of the types that the filter names")
    return wanted


def _filter(
    station: _Names = None, site: _Names = None, kind: _Names = None, transaction: _Names = None
) -> EventFilter:
    named = (None if names is None else frozenset(names) for names in (station, site, kind, transaction))
    return EventFilter(*named)
