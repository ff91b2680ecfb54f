"""Which partition a station belongs to: fixed for the life of a database, the same in every process."""

from __future__ import annotations

from zlib import crc32


def partition_of(station_id: str, partitions: int) -> int:
    """Return the partition of a station, 0 to `partitions` - 1."""
    return crc32(station_id.encode()) % partitions
