"""How partitions are dealt out: every host computes the same shares from the same facts, so nobody needs to command.

Must not know: databases, Ray, time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Moves(NamedTuple):
    """What one host does next: partitions to take that nobody owns, and partitions of its own to give up."""

    claim: list[int]
    release: list[int]


def shares(hosts: Iterable[str], partitions: int) -> dict[str, int]:
    """Return how many partitions each host should own; they differ by one at most."""
    ordered = sorted(hosts)
    if not ordered:
        return {}
    least, more = divmod(partitions, len(ordered))
    return {host: least + (place < more) for place, host in enumerate(ordered)}


def moves(me: str, working: Mapping[str, int | None], owners: Mapping[int, str], partitions: Iterable[int]) -> Moves:
    """Return what `me` has to do so that all `working` hosts come to what they should own in few moves.

    `working` are the hosts that should own anything (alive, and not draining), each with the one partition it is
    dedicated to, or None. What is nobody's own is shared by the others, so a dedicated host that is away is replaced by
    them. Free partitions are dealt out in order to the hosts that have too few, so that two hosts that see the same
    facts never reach for the same one.
    """
    mine = sorted(partition for partition, owner in owners.items() if owner == me)
    own = working.get(me)
    if own is not None:
        return Moves([own] if own not in owners else [], [partition for partition in mine if partition != own])
    dedicated = {partition for partition in working.values() if partition is not None}
    shared = sorted(set(partitions) - dedicated)
    wanted = shares((host for host, partition in working.items() if partition is None), len(shared))
    owned = Counter(owners[partition] for partition in shared if partition in owners)
    free = (partition for partition in shared if partition not in owners)
    claim: list[int] = []
    for host, share in sorted(wanted.items()):
        taken = [partition for _, partition in zip(range(share - owned[host]), free, strict=False)]
        if host == me:
            claim = taken
    others = [partition for partition in mine if partition in dedicated]
    return Moves(claim, [partition for partition in mine if partition not in dedicated][wanted.get(me, 0) :] + others)
