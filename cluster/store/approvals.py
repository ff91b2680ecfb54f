"""Approvals on PostgreSQL. The rules are in cluster/approvals.py; the table's constraints hold the gravest of them too.

Must not know: who asks, and may they.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest
from cluster.approvals import Approval, ApprovalFilter, State
from cluster.store.decoding import Fields, decode_payload
from cluster.store.engine import blames_content, reachable
from cluster.store.paging import Order
from cluster.store.reader import Reader
from cluster.store.tables.records import approvals
from cluster.store.views import Page

_FIELDS: Final = Approval.__struct_fields__
_ALL: Final = select(*(approvals.c[name] for name in _FIELDS if name != "payload"), approvals.c.payload.cast(Text))
_NEWEST_FIRST: Final = Order([approvals.c.created_at, approvals.c.id], (datetime, str), descending=True)


class PostgresApprovals:
    """ApprovalStore of cluster/approvals.py; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def add(self, approval: Approval) -> None:
        """Store a new one. Raises BadRequest for a value that cannot be stored."""
        try:
            async with reachable(), self._engine.begin() as connection:
                await connection.execute(insert(approvals).values(msgspec.structs.asdict(approval)))
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the request holds a value that cannot be stored") from error
            raise

    async def get(self, approval_id: str) -> Approval | None:
        """Return one, if there is such."""
        row = await self._reader.one(_ALL.where(approvals.c.id == approval_id))
        return None if row is None else _approval(row._mapping)

    async def replace(self, approval: Approval) -> bool:
        """Store a changed one over the version before it; False when that is not the stored one any more."""
        before = (approvals.c.id == approval.id) & (approvals.c.version == approval.version - 1)
        changed = ("state", "decided_by", "decided_at", "remark", "used_by", "used_at", "version")
        values = {name: getattr(approval, name) for name in changed}
        async with reachable(), self._engine.begin() as connection:
            return (await connection.execute(update(approvals).where(before).values(values))).rowcount == 1

    async def list(self, wanted: ApprovalFilter, now: datetime, cursor: str | None, limit: int) -> Page[Approval]:
        """List those in a state at `now`, the newest first. Raises BadRequest for a bad cursor or limit."""
        query = _ALL
        if wanted.state is not None:
            query = query.where(_in_state(wanted.state, now))
        for name in ("kind", "target", "requested_by"):
            value = getattr(wanted, name)
            if value is not None:
                query = query.where(approvals.c[name] == value)
        return await self._reader.page(query, _NEWEST_FIRST, cursor, limit, lambda row: _approval(row._mapping))


def _in_state(state: State, now: datetime) -> ColumnElement[bool]:
    """Say in SQL what Approval.state_at says."""
    perishable, over = approvals.c.state.in_(["open", "approved"]), approvals.c.expires_at <= now
    if state == "expired":
        return perishable & over
    return (approvals.c.state == state) & ~(perishable & over)


def _approval(row: Fields) -> Approval:
    values = {name: row[name] for name in _FIELDS}
    values["payload"] = decode_payload(values["payload"])
    return Approval(**values)
