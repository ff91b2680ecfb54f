"""The chain of hashes: each entry is bound to the one before it, so that no later change goes unseen.

hash = SHA-256(previous hash | canonical text of the entry); the first one follows 32 zero bytes. The number of an entry
is its place and not part of the hash: it follows from the links. The newest place and hash, the head, are kept apart
from the entries and may be written down elsewhere as an anchor: only that shows that the whole chain was made anew.
Must not know: where the chain is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec

from actors.errors import BadRequest
from cluster.audit.entry import Entry, canonical

_HASH_BYTES: Final = 32


class Head(NamedTuple):
    """The place and hash of the newest entry; its text form is an anchor."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read the text form. Raises BadRequest."""
        seq, _, digest = text.strip().partition(":")
        try:
            head = cls(int(seq), bytes.fromhex(digest))
        except ValueError:
            head = cls(-1, b"")
        if head != EMPTY and (head.seq < 1 or len(head.hash) != _HASH_BYTES):
            raise BadRequest(f"{text!r} is no anchor; one looks like 17:9f86d0... as `cloudbay audit head` prints it")
        return head


EMPTY: Final = Head(0, bytes(_HASH_BYTES))
"""The head of a chain without entries."""


class ChainedEntry(msgspec.Struct, frozen=True):
    """An entry in its place: `seq` counts from 1 without gaps, `previous` is the hash of the entry before."""

    seq: int
    entry: Entry
    previous: bytes
    hash: bytes

    @property
    def head(self) -> Head:
        """Return the chain's head just after this entry."""
        return Head(self.seq, self.hash)


def digest(previous: bytes, entry: Entry) -> bytes:
    """Return the hash of an entry that follows one with the hash `previous`."""
    return sha256(previous + canonical(entry)).digest()


def chained(head: Head, entries: Iterable[Entry]) -> list[ChainedEntry]:
    """Put entries in their places after `head`, in order."""
    links = []
    for entry in entries:
        head = Head(head.seq + 1, digest(before := head.hash, entry))
        links.append(ChainedEntry(head.seq, entry, before, head.hash))
    return links


FindingKind = Literal["changed", "missing", "inserted", "unlinked", "head", "anchor"]


class Finding(NamedTuple):
    """What is wrong with the chain, and the place of the entry that shows it."""

    seq: int
    kind: FindingKind
    text: str


class Verifier:
    """Takes the entries in the order of their places, then the head; says what is wrong as soon as it shows.

    It begins after a place that was checked before, at the beginning of the chain without one.
    """

    def __init__(self, anchors: Sequence[Head] = (), after: Head = EMPTY) -> None:
        self._anchors = {anchor.seq: anchor.hash for anchor in anchors if anchor != EMPTY}
        self._before = EMPTY
        self._last = after
        self._blamed: int | None = None
        """The last place that a finding has named, which explains that the next one does not follow it."""

    @property
    def last(self) -> Head:
        """Return the place and hash of the last entry taken, as stored."""
        return self._last

    def take(self, link: ChainedEntry) -> Iterator[Finding]:
        """Check the next entry."""
        if link.seq <= self._last.seq:
            yield Finding(
                link.seq, "inserted", f"{_named(link)} is a second one in a place before {self._last.seq + 1}"
            )
            return
        yield from self._check(link)
        anchored = self._anchors.pop(link.seq, link.hash)
        if anchored != link.hash:
            yield Finding(
                link.seq, "anchor", f"{_named(link)} is not the one that was anchored: the chain was rewritten"
            )
        self._before, self._last = self._last, link.head

    def _check(self, link: ChainedEntry) -> Iterator[Finding]:
        if link.seq > self._last.seq + 1:
            yield self._missing(link.seq)
        if digest(link.previous, link.entry) != link.hash:
            self._blamed = link.seq
            yield Finding(link.seq, "changed", f"{_named(link)} was changed")
        elif link.seq == self._last.seq + 1 and link.previous != self._last.hash and self._blamed != self._last.seq:
            yield self._unlinked(link)

    def _missing(self, until: int) -> Finding:
        first = self._last.seq + 1
        return Finding(first, "missing", f"{_range(first, until - 1)} removed")

    def _unlinked(self, link: ChainedEntry) -> Finding:
        last = self._last.seq
        if last and link.previous == self._before.hash:
            return Finding(last, "inserted", f"entry {last} was inserted: {_named(link)} follows the one before it")
        if not last:
            return Finding(
                link.seq, "unlinked", f"{_named(link)} is not the first of its chain: the beginning was removed"
            )
        text = (
            f"{_named(link)} does not follow entry {last}: that one was replaced, or entries between them were removed"
        )
        return Finding(link.seq, "unlinked", text)

    def end(self, head: Head | None) -> Iterator[Finding]:
        """Check that nothing is missing after the last entry; `head` is None when it is lost."""
        last = self._last
        if head is None:
            yield Finding(last.seq, "head", "the head of the chain was removed")
        elif head.seq > last.seq:
            yield self._missing(head.seq + 1)
        elif head.seq < last.seq:
            yield Finding(head.seq + 1, "inserted", f"{_range(head.seq + 1, last.seq)} added past the head")
        elif head.hash != last.hash and self._blamed != last.seq:
            yield Finding(last.seq, "head", f"the last entry, {last.seq}, is not the one that the head names")
        for seq in sorted(self._anchors):
            yield Finding(seq, "anchor", f"entry {seq}, which was anchored, was removed")


def _range(first: int, last: int) -> str:
    return f"entry {first} was" if first == last else f"entries {first} to {last} were"


def _named(link: ChainedEntry) -> str:
    return f"entry {link.seq} (id {link.entry.id})"
