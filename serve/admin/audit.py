"""The audit log: what was done, by whom, on what; its head to keep elsewhere, a check of its chain, an export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import Path, Query
from fastapi.responses import StreamingResponse

from cluster.audit.chain import EMPTY, ChainedEntry, Head
from cluster.audit.ports import AuditFilter
from cluster.audit.walk import check, export
from serve.admin.record_wire import AuditEntryOut, AuditHeadOut, VerificationOut
from serve.context import Asking, Context
from serve.hal import ListOf, present
from serve.pages import Cursor, Limit, listed
from serve.route import operations
from serve.wire import Moment

router = operations("/audit-entries", "audit")
lines = operations("", "audit")

FILTERS = "subject,action,targetKind,targetId,from,to,limit"
_ONE = "GET /audit-entries/{seq}"
_HEAD = "GET /audit-entries/head"
_VERIFICATION = "GET /audit-entries/verification"
_Text = Annotated[str | None, Query(min_length=1, max_length=200)]
_From = Annotated[Moment | None, Query(alias="from", description="At or after.")]
_Until = Annotated[Moment | None, Query(alias="to", description="Before.")]
_ANCHOR = r"^[1-9][0-9]{0,17}:[0-9a-f]{64}$"


@router.get("", response_model=ListOf[AuditEntryOut])
async def list_audit_entries(
    asking: Asking,
    subject: _Text = None,
    action: _Text = None,
    target_kind: Annotated[_Text, Query(alias="targetKind")] = None,
    target_id: Annotated[_Text, Query(alias="targetId")] = None,
    since: _From = None,
    until: _Until = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List entries by time, the newest first. Texts are compared as a whole."""
    wanted = AuditFilter(subject, action, target_kind, target_id, since, until)
    page = await asking.services.audit.entries(wanted, cursor, limit)
    made = listed(asking, "cb:audit-entry", page, lambda link: _shown(asking, link))
    more = {"cb:audit-head": asking.link(_HEAD), "cb:audit-verification": asking.link(_VERIFICATION, query="after")}
    return {**made, "links": {**made["links"], **present(more)}}  # type: ignore[dict-item]


@lines.get("/audit-entries.jsonl", response_class=StreamingResponse)
async def export_audit_entries(asking: Asking, since: _From = None, until: _Until = None) -> StreamingResponse:
    """Export entries in the order of the chain, one JSON object a line, as `cloudbay audit export` does."""
    exported = export(asking.services.audit, since, until)
    first = await anext(exported, b"")  # before the answer begins, so that a fault can still be told
    return StreamingResponse(_lines(first, exported), media_type="application/jsonl")


@router.get("/head", response_model=AuditHeadOut)
async def get_audit_head(asking: Asking) -> dict[str, object]:
    """Return where the chain ends: kept elsewhere, its anchor shows a chain that was made anew as a whole."""
    head, log = await asking.services.audit.head(), asking.services.audit_log.status()
    return {
        "anchor": None if head is None else str(head),
        "log": {**msgspec.structs.asdict(log), "ok": log.ok},
        "links": {"self": asking.here, "curies": asking.curies, **present({"up": asking.link("GET /audit-entries")})},
        "templates": {},
    }


@router.get("/verification", response_model=VerificationOut)
async def verify_audit_entries(
    asking: Asking,
    after: Annotated[
        str | None,
        Query(
            pattern=_ANCHOR,
            description="An anchor to go on from: all before it was checked, and it is the one that was kept.",
            examples=["17:" + "9f" * 32],
        ),
    ] = None,
) -> dict[str, object]:
    """Check the next 10,000 entries or so for what was changed, removed or inserted; `next` leads on."""
    begun = EMPTY if after is None else Head.parse(after)
    found = await check(asking.services.audit, begun)
    url = asking.request.url.include_query_params(after=str(found.last))
    links: dict[str, object] = {"self": asking.here, "curies": asking.curies}
    if not found.complete:
        links["next"] = {"href": f"{url.path}?{url.query}"}
    return {
        "after": str(found.after),
        "until": str(found.last),
        "checked": found.checked,
        "complete": found.complete,
        "findings": [finding._asdict() for finding in found.findings],
        "links": {**links, **present({"up": asking.link("GET /audit-entries")})},
        "templates": {},
    }


@router.get("/{seq}", response_model=AuditEntryOut)
async def get_audit_entry(seq: Annotated[int, Path(ge=1, lt=2**63)], asking: Asking) -> dict[str, object]:
    """Return the entry at a place of the chain."""
    return _shown(asking, await asking.services.audit.entry(seq))


async def _lines(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for line in rest:
        yield line


def _shown(asking: Context, link: ChainedEntry) -> dict[str, object]:
    links = {"self": asking.link(_ONE, {"seq": link.seq}), "up": asking.link("GET /audit-entries")}
    return {
        **msgspec.structs.asdict(link.entry),
        "seq": link.seq,
        "previous": link.previous.hex(),
        "hash": link.hash.hex(),
        "links": {"curies": asking.curies, **present(links)},
        "templates": {},
    }
