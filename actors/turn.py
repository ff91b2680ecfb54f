"""One turn of one charger: what a handler may read, and what it wants sent, stored and told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

import msgspec
import orjson

from actors.domain.command import Command
from actors.domain.events import Event, Fact
from actors.domain.meter import Reading, readings
from actors.domain.records import BusinessEvent, LiveEvent, Row
from actors.domain.station import Station
from actors.domain.token import TokenRules
from actors.domain.transaction import ChargingTransaction
from actors.ocpp.frames import Call, OcppVersion
from actors.ocpp.messages import MeterValue
from actors.ports import Facts


class Rules(msgspec.Struct, frozen=True):
    """The platform's choices that a charger obeys; a station's own choices go before them."""

    heartbeat_interval_s: int = 300
    retry_interval_s: int = 60
    call_timeout_s: float = 30.0
    answers_kept: int = 4
    keep_answers_s: float = 60.0
    max_nesting: int = 64
    strict: bool = False
    accept_unknown_stations: bool = False
    require_password: bool = False
    accept_boot: bool = True
    tokens: TokenRules = TokenRules()
    max_queued_commands: int = 100
    seen_write_interval_s: float = 900.0
    digest_key: bytes = b""


class Turn:
    """The scratch pad of one turn. Nothing in it leaves the host before its rows are committed."""

    __slots__ = (
        "_digest",
        "_readings",
        "call",
        "closes",
        "facts",
        "finished",
        "frames",
        "live",
        "now",
        "payload",
        "rows",
        "rules",
        "station",
        "transactions",
        "version",
    )

    def __init__(
        self, station: Station, transactions: dict[str, ChargingTransaction], rules: Rules, now: datetime
    ) -> None:
        self.station = station
        self.transactions = transactions
        """The open ones, by the wire's transaction id."""
        self.rules = rules
        self.now = now
        self.facts = Facts()
        self.version = OcppVersion.V201
        self.call: Call | None = None
        self.payload = b"{}"
        """The request's payload as received, JSON."""
        self.rows: list[Row] = []
        self.frames: list[bytes] = []
        """To send to the station, in order, after the commit."""
        self.live: list[LiveEvent] = []
        self.finished: list[Command] = []
        self.closes: list[tuple[str, int]] = []
        """Older sockets to close: (gateway_id, conn_epoch)."""
        self._digest: str | None = None
        self._readings: list[Reading] | None = None

    def save(self, row: Row) -> None:
        """Store `row` with this turn; the same object twice is stored once."""
        for known in self.rows:
            if known is row:
                return
        self.rows.append(row)

    def tell(self, fact: Fact, *, live: bool = True) -> None:
        """Write a business event with this turn, and show it to who watches unless it is not `live`."""
        self.rows.append(BusinessEvent(self.station.station_id, self.now, fact))
        if live:
            self.show(fact)

    def show(self, event: Event) -> None:
        """Show a live event to who watches."""
        station = self.station
        self.live.append(LiveEvent(type(event).__name__, station.station_id, station.site_id, self.now, event))

    @property
    def digest(self) -> str:
        """The digest of the request's content."""
        if self._digest is None:
            self._digest = digest(self.payload, self.rules.digest_key)
        return self._digest

    def readings(self, values: Sequence[MeterValue]) -> list[Reading]:
        """Reduce the request's meter values, once."""
        if self._readings is None:
            self._readings = readings(values, self.now)
        return self._readings

    def transaction(self, transaction_id: str) -> ChargingTransaction | None:
        """Return a transaction that is open or was fetched."""
        return self.transactions.get(transaction_id) or self.facts.transactions.get(transaction_id)


def digest(payload: bytes, key: bytes) -> str:
    """Digest a request's content, without `offline`: a repeat may be marked so when the first was not.

    With a key, of at most 64 bytes, nobody else can tell from a digest which id token the request names.
    """
    if b'"offline"' in payload:
        fields = orjson.loads(payload)
        fields.pop("offline", None)
        payload = orjson.dumps(fields)
    return blake2b(payload, digest_size=12, key=key).hexdigest()


def remote_start_id(command_id: str) -> int:
    """Derive a positive 31-bit remoteStartId from a command's id, for callers who give none."""
    return UUID(command_id).int % (2**31 - 1) + 1
