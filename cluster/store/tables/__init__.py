"""The tables of the system of record by what they are about, and why each index is there.

What a person can be known by, secrets, and messages as they came are sealed: their columns hold envelopes of
cluster/vault. What is looked up by such a value is a keyed hash of it (token_key, start_key).
Whoever imports one of them has them all: `metadata` is complete. Must not know: who reads or writes.
"""

from __future__ import annotations

from cluster.store.tables import chargers, fleet, people, records, sharing, ways_out
from cluster.store.tables.base import SEALED, metadata

__all__ = ["SEALED", "chargers", "fleet", "metadata", "people", "records", "sharing", "ways_out"]
