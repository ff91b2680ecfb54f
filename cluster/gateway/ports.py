"""What the gateway needs from the world behind it, as Protocols.

Must not know: Ray, sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cluster.partitions import PartitionMap

HostKey = str
"""Names one host for the life of its process."""


class HostUnavailable(Exception):
    """The host cannot be reached, or died with the call; whether it saw the batch is unknown."""


class Ingest(Protocol):
    """One host, as a link sees it."""

    async def ingest(self, batch: bytes) -> bytes:
        """Deliver a batch of items and return its results; raises HostUnavailable when it should be sent again."""


class FleetMap(NamedTuple):
    """Who owns each partition, and the hosts that may be asked for the next map."""

    partitions: PartitionMap
    hosts: list[HostKey]


class Router(Protocol):
    """Who owns a station."""

    def route(self, station_id: str) -> HostKey:
        """Return the owner's key from memory; raises HostUnavailable when none is known."""

    async def refresh(self, suspects: Sequence[HostKey] = ()) -> None:
        """Read the partition map again, and tell that `suspects` could not be reached."""


class Recipient(Protocol):
    """The socket an item came from; it is told what the host said, also when it is closed by then."""

    closed: bool

    def admitted(self, conn_epoch: int) -> None:
        """The host let the station in."""

    def refused(self, status: int, reason: str) -> None:
        """The host refused the station with this HTTP status."""

    def answered(self, frames: list[bytes]) -> None:
        """The host has dealt with a frame or a disconnect; these go back, in order."""
