"""What a live connection says: events in their envelopes, and words of its own, as JSON.

Must not know: how the messages are framed.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from cluster.bus.stream import Gap, Missing, SeenEvent
from cluster.bus.subscription import End, EventFilter, Item, Note

PositionId = Annotated[
    str, msgspec.Meta(description="Where to go on after a cut: all before it is received, or known to be missing.")
]


class GapNote(Note, frozen=True, tag="Gap"):
    """Events before `id` are missing and cannot be repeated: read the present state, then go on from here."""

    id: PositionId
    reason: Missing


class Heartbeat(Note, frozen=True):
    """Nothing has happened; the connection works."""

    id: PositionId


class Closed(Note, frozen=True):
    """The platform ends the connection. Come back with the last id; when too slow, with a narrower filter."""

    reason: End


class FilterChanged(Note, frozen=True):
    """What follows is by the new filter."""

    filter: EventFilter


class FilterRefused(Note, frozen=True):
    """The new filter is not taken; the old one stays."""

    detail: str


class ChangeFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for other events from now on."""

    filter: EventFilter


_encode = msgspec.json.Encoder(order="deterministic").encode
parse_change = msgspec.json.Decoder(ChangeFilter).decode
"""Read a client's message. Raises msgspec.DecodeError."""


def json_of(item: Item) -> bytes:
    """Return an item of a subscription as JSON in one line."""
    if isinstance(item, SeenEvent):
        return item.json
    if isinstance(item, Gap):
        return _encode(GapNote(str(item.position), item.reason))
    return _encode(item)
