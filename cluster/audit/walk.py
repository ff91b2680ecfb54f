"""Along the chain from end to end, page by page: verification and export.

The platform may go on writing meanwhile. Must not know: where the chain is kept, where findings and lines go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from cluster.audit.chain import EMPTY, ChainedEntry, Finding, Head, Verifier
from cluster.audit.entry import canonical
from cluster.audit.ports import AuditChain

PAGE: Final = 2000
MAX_CHECKED: Final = 10_000
"""Entries that one look at a stretch of the chain takes, to the next page."""
MAX_FINDINGS: Final = 100
_BEFORE_ALL: Final = -(2**63)
"""Below every place: what somebody has put before the first entry is found too."""


class Line(msgspec.Struct, frozen=True):
    """An entry as it is exported; hash = SHA-256(previous | entry), of the entry's text as it stands in the line."""

    seq: int
    previous: str
    hash: str
    entry: msgspec.Raw


class Stretch(NamedTuple):
    """A part of the chain that was checked: after which place, to which, and whether that is all there is."""

    after: Head
    last: Head
    checked: int
    findings: list[Finding]
    complete: bool


async def verify(
    store: AuditChain, anchors: Sequence[Head] = (), progress: Callable[[Head], None] = lambda _: None
) -> AsyncIterator[Finding]:
    """Yield what is wrong with the chain; nothing when it is whole and holds all anchors. Raises Unavailable."""
    verifier, place = Verifier(anchors), _BEFORE_ALL
    while True:
        links, head = await _next(store, place, verifier.last.seq)
        if not links:
            break
        for link in links:
            for finding in verifier.take(link):
                yield finding
        place = links[-1].seq
        progress(verifier.last)
    for finding in verifier.end(head):
        yield finding


async def check(store: AuditChain, after: Head = EMPTY) -> Stretch:
    """Check the next MAX_CHECKED entries after a place; whoever has kept the last one goes on from there."""
    verifier, findings, checked = Verifier(after=after), list[Finding](), 0
    place = _BEFORE_ALL if after == EMPTY else after.seq
    while checked < MAX_CHECKED and len(findings) < MAX_FINDINGS:
        links, head = await _next(store, place, verifier.last.seq)
        if not links:
            findings += verifier.end(head)
            return Stretch(after, verifier.last, checked, findings[:MAX_FINDINGS], complete=True)
        for link in links:
            findings += verifier.take(link)
        place, checked = links[-1].seq, checked + len(links)
    return Stretch(after, verifier.last, checked, findings[:MAX_FINDINGS], complete=False)


async def _next(store: AuditChain, place: int, last: int) -> tuple[list[ChainedEntry], Head | None]:
    """Return the next entries; once there are no more, none and the head."""
    links = await store.read(place, PAGE)
    if links:
        return links, None
    head = await store.head()
    if head is not None and head.seq > last:  # removed, or appended since the page was read
        links = await store.read(place, PAGE)
    return links, head


async def export(
    store: AuditChain, since: datetime | None = None, until: datetime | None = None
) -> AsyncIterator[bytes]:
    """Yield entries of a time (`until` excluded) as lines of JSON, in the order of the chain. Raises Unavailable."""
    place, last = await store.span(since, until)
    place -= 1
    while place < last:
        links = await store.read(place, PAGE)
        for link in links:
            if (
                link.seq <= last
                and (since is None or link.entry.at >= since)
                and (until is None or link.entry.at < until)
            ):
                yield _encode(_line(link)) + b"\n"
        place = links[-1].seq if links else last


_encode = msgspec.json.Encoder().encode


def _line(link: ChainedEntry) -> Line:
    return Line(link.seq, link.previous.hex(), link.hash.hex(), msgspec.Raw(canonical(link.entry)))
