"""What is read from the live stream: events with their positions, an entry at a time, and the port they come from.

Must not know: Valkey, who listens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from actors.domain.events import envelope
from actors.errors import BadRequest

SOURCE: Final = "/live"
"""The `source` of what is shown live: its ids are positions, so the same event has another id elsewhere."""

POSITION: Final = r"^[0-9]{1,15}-[0-9]{1,10}-[0-9]{1,6}$"
"""How an id of the stream is spelled."""

_POSITION = re.compile(POSITION)

Missing = Literal["no longer kept", "never published", "too many to repeat"]


class Position(NamedTuple):
    """A place in the stream, in its order, the same for every reader: the id of an event, and where to go on after it.

    `ms` and `number` name the entry; `nth` is the event in it, from 1, and 0 before all of them.
    """

    ms: int
    number: int
    nth: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}-{self.nth}"


START: Final = Position(0, 0, 0)


def position(text: str) -> Position:
    """Read a position as it was given out. Raises BadRequest."""
    if _POSITION.fullmatch(text) is None:
        raise BadRequest("the last event id is none that this stream gives out")
    ms, number, nth = map(int, text.split("-"))
    return Position(ms, number, nth)


class Written(msgspec.Struct, frozen=True, array_like=True):
    """A LiveEvent as it is read back, its data still JSON."""

    kind: str
    station_id: str
    site_id: str | None
    at: datetime
    data: msgspec.Raw

    @property
    def transaction(self) -> str | None:
        """The transaction that it tells of, by the platform's id."""
        try:
            return _about(self.data).transaction
        except msgspec.ValidationError:  # another version of the platform writes otherwise
            return None


class _About(msgspec.Struct):
    """What is looked for in an event's data."""

    transaction: str | None = None


_about = msgspec.json.Decoder(_About).decode


class SeenEvent:
    """An event of the stream, shared by all who listen."""

    __slots__ = ("_json", "event", "position")

    def __init__(self, position: Position, event: Written) -> None:
        self.position = position
        self.event = event
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The event in its envelope; made once, when first wanted."""
        if self._json is None:
            event = self.event
            self._json = envelope(SOURCE, str(self.position), event.kind, event.station_id, event.at, bytes(event.data))
        return self._json


class Gap:
    """Something before `position` is missing, for everybody who listened: read the present state anew."""

    __slots__ = ("position", "reason")

    def __init__(self, position: Position, reason: Missing) -> None:
        self.position = position
        self.reason = reason


class Entry(msgspec.Struct, frozen=True):
    """What one host has published at once. `lossy`: before it, events were lost on their way to the stream."""

    ms: int
    number: int
    events: Sequence[Written]
    lossy: bool = False


class Portion(msgspec.Struct, frozen=True):
    """Entries in order. `broken`: what they were asked to follow is not kept any more, nor perhaps all between."""

    entries: list[Entry] = []
    broken: bool = False


class LiveLog(Protocol):
    """The live stream, read from the outside. Raises Unavailable."""

    async def newest(self) -> Position:
        """Return where the newest entry begins; START when there is none."""

    async def after(self, position: Position) -> Portion:
        """Return the entries after that of `position`; waits some seconds for one, and is empty when none comes."""
