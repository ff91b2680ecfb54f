"""Along the chain from end to end, page by page: verification and export.

The platform may go on writing meanwhile. Must not know: where the chain is kept, where findings and lines go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from cluster.audit.chain import ChainedEntry, Finding, Head, Verifier
from cluster.audit.entry import canonical
from cluster.audit.ports import AuditStore

PAGE: Final = 2000
_BEFORE_ALL: Final = -(2**63)
"""Below every place: what somebody has put before the first entry is found too."""


class Line(msgspec.Struct, frozen=True):
    """An entry as it is exported; hash = SHA-256(previous | entry), of the entry's text as it stands in the line."""

    seq: int
    previous: str
    hash: str
    entry: msgspec.Raw


async def verify(
    store: AuditStore, anchors: Sequence[Head] = (), progress: Callable[[Head], None] = lambda _: None
) -> AsyncIterator[Finding]:
    """Yield what is wrong with the chain; nothing when it is whole and holds all anchors. Raises Unavailable."""
    verifier, place = Verifier(anchors), _BEFORE_ALL
    while True:
        links = await store.read(place, PAGE)
        head = None
        if not links:
            head = await store.head()
            if head is not None and head.seq > verifier.last.seq:  # removed, or appended since the page was read
                links = await store.read(place, PAGE)
        if not links:
            break
        for link in links:
            for finding in verifier.take(link):
                yield finding
        place = links[-1].seq
        progress(verifier.last)
    for finding in verifier.end(head):
        yield finding


async def export(
    store: AuditStore, since: datetime | None = None, until: datetime | None = None
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
