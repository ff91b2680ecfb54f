"""How partitions are dealt out: every host computes the same shares from the same facts, so nobody needs to command.

Must not know: databases, Ray, time.
"""

from __future__ import annotations

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


def moves(me: str, working: Iterable[str], owners: Mapping[int, str], partitions: int) -> Moves:
    """Return what `me` has to do so that all `working` hosts come to their shares with as few moves as possible.

    `working` are the hosts that should own anything: alive, and not draining. Free partitions are dealt out in order to
    the hosts that have too few, so that two hosts that see the same facts never reach for the same one.
    """
    wanted = shares(working, partitions)
    owned: dict[str, list[int]] = {}
    for partition, owner in sorted(owners.items()):
        owned.setdefault(owner, []).append(partition)
    mine = owned.get(me, [])
    free = (partition for partition in range(partitions) if partition not in owners)
    claim: list[int] = []
    for host, share in sorted(wanted.items()):
        taken = [partition for _, partition in zip(range(share - len(owned.get(host, []))), free, strict=False)]
        if host == me:
            claim = taken
    return Moves(claim, mine[wanted.get(me, 0) :])
