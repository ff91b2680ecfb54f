"""Which partition a station belongs to, and who owns it.

Packed stations share the ordinary partitions by a hash of their ids, fixed for the life of a database and the same in
every process. A station with a host of its own has a partition of its own, numbered after those.
Must not know: where this is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import msgspec


class PartitionMap(msgspec.Struct, frozen=True):
    """The partitions at one moment: how many are ordinary, which station has one of its own, who owns which."""

    ordinary: int
    own: Mapping[str, int] = {}
    owners: Mapping[int, str] = {}

    def of(self, station_id: str) -> int:
        """Return the partition of a station."""
        own = self.own.get(station_id)
        return crc32(station_id.encode()) % self.ordinary if own is None else own

    def owner(self, station_id: str) -> str | None:
        """Return the host that owns a station's partition, None while nobody does."""
        return self.owners.get(self.of(station_id))

    @property
    def total(self) -> int:
        """Count all partitions."""
        return self.ordinary + len(self.own)

    @property
    def free(self) -> int:
        """Count the partitions that nobody owns: between two owners, for a moment."""
        return self.total - len(self.owners)
