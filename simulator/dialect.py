"""What a protocol version must do for a station: say its facts, understand the answers, take the CSMS's orders.

Must not know: sockets, queues, physics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.ocpp.frames import Call, Json, OcppVersion
from simulator.facts import Fact, Reply

if TYPE_CHECKING:
    from simulator.evse import Evse
    from simulator.station import VirtualStation


class Dialect(Protocol):
    """One OCPP version seen from a station."""

    version: OcppVersion

    def call(self, station: VirtualStation, fact: Fact) -> tuple[str, Json] | None:
        """Return action and payload for a fact; None when this version has no words for it."""

    def reply(self, fact: Fact, payload: Json) -> Reply:
        """Read the answer to the CALL made of `fact`."""

    def handle(self, station: VirtualStation, call: Call) -> Json:
        """Carry out an order of the CSMS and return the answer; raises Refused."""

    def status(self, evse: Evse) -> str:
        """Return the connector status in this version's words."""
