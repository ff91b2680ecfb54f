"""What the actors need from the world, as Protocols named by role.

A turn itself is synchronous and pure: the charger says what it needs (`Needs`), the host fetches it for many chargers
at once (`Facts`), the turn runs, and its rows are committed together. Adapters are in `cluster/`, in-memory twins in
`tests/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from actors.domain.command import Command
from actors.domain.meter import Reading
from actors.domain.records import LiveEvent, Row
from actors.domain.station import Station
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction

MAX_OPEN: Final = 20
"""Open transactions held for a station or listed for a token, the newest; others are fetched when they are meant."""


class Snapshot(msgspec.Struct):
    """All a charger needs to wake up: its station (None: unknown), newest open transactions, unfinished commands."""

    station: Station | None = None
    transactions: list[ChargingTransaction] = []
    commands: list[Command] = []


class Needs(msgspec.Struct, frozen=True):
    """What one turn must know from the database before it can run; all fields empty means nothing."""

    station_id: str
    tokens: tuple[str, ...] = ()
    """Keys as `token_key` makes them."""
    transaction_id: str | None = None
    start_key: str | None = None
    event_keys: tuple[str, ...] = ()
    """Events of `transaction_id` that may be stored already."""
    readings: bool = False
    """All readings of `transaction_id`."""

    def __bool__(self) -> bool:
        return bool(self.tokens or self.transaction_id or self.start_key)


class StoredAnswer(msgspec.Struct, frozen=True):
    """A stored event's request and what it was answered with: both payloads, JSON; `answer` is empty for {}."""

    payload: bytes
    answer: bytes


class Facts(msgspec.Struct):
    """What was fetched for one turn; an absent key was not asked for, None was not found."""

    tokens: dict[str, KnownToken | None] = {}
    transactions: dict[str, ChargingTransaction | None] = {}
    """By the wire's transaction id."""
    starts: dict[str, ChargingTransaction | None] = {}
    """By start key."""
    events: dict[tuple[str, str], StoredAnswer | None] = {}
    """By the wire's transaction id and event key."""
    readings: dict[str, list[Reading]] = {}
    """By the wire's transaction id."""

    def update(self, other: Facts) -> None:
        """Add what a further fetch has brought."""
        self.tokens.update(other.tokens)
        self.transactions.update(other.transactions)
        self.starts.update(other.starts)
        self.events.update(other.events)
        self.readings.update(other.readings)


class Unit(msgspec.Struct, frozen=True):
    """The rows of one turn of one charger: stored all or none."""

    station_id: str
    rows: list[Row]


class ChargerStore(Protocol):
    """The system of record, seen from a host that holds a fence."""

    async def load(self, station_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Fetch snapshots, one for every id asked."""

    async def facts(self, needs: Sequence[Needs]) -> list[Facts]:
        """Fetch what many turns need, aligned with `needs`."""

    async def command(self, command_id: str) -> Command | None:
        """Fetch one command, whatever became of it."""

    async def overdue(self, now: datetime) -> list[str]:
        """Fetch stations with queued commands whose deadline has passed; a bounded number, any of them."""

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        """Store many units durably in one fenced transaction.

        Returns the indexes of units the database refuses for their content; all others are durable. Raises Fenced when
        this host has been replaced, and Unavailable when the database cannot be reached: then nothing is known to be
        stored.
        """


class Exchange(msgspec.Struct, frozen=True):
    """OCPP frames as they crossed the wire: what came, what went out for it, or either alone."""

    station_id: str
    at: datetime
    received: bytes | None
    sent: bytes | None


class FrameLog(Protocol):
    """Keeps each station's latest frames; best effort, never in the way."""

    def write(self, exchanges: Sequence[Exchange]) -> None:
        """Queue frames; drops and counts them when the queue is full."""


class LiveBus(Protocol):
    """Tells who watches; best effort, never in the way."""

    def publish(self, events: Sequence[LiveEvent]) -> None:
        """Queue events; drops and counts them when the queue is full."""


class StationLink(Protocol):
    """The way to a station's socket, through the gateway that holds it."""

    async def send(self, gateway_id: str, station_id: str, conn_epoch: int, frames: Sequence[bytes]) -> bool:
        """Send frames in order; False when that socket is gone."""

    async def close(self, gateway_id: str, station_id: str, conn_epoch: int, reason: str) -> None:
        """Close the socket of `conn_epoch`, if it is still there."""
