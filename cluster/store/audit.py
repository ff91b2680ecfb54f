"""The audit log's chain on PostgreSQL: one chain, whoever writes; who appends holds the lock of its head.

Must not know: who reads, and may they.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Select, any_, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import Text

from actors.errors import NotFound, Unavailable
from cluster.audit.chain import ChainedEntry, Head, chained
from cluster.audit.entry import Entry
from cluster.audit.ports import ANY, AuditFilter
from cluster.store.decoding import Fields
from cluster.store.engine import reachable
from cluster.store.paging import Order
from cluster.store.reader import Reader
from cluster.store.tables.records import audit_entries, audit_head
from cluster.store.views import Page

_ENTRY: Final = Entry.__struct_fields__
_COLUMNS: Final = (audit_entries.c.seq, *(audit_entries.c[name] for name in _ENTRY), audit_entries.c.previous)
_ALL: Final = select(*_COLUMNS, audit_entries.c.hash)
_NEWEST_FIRST: Final = Order([audit_entries.c.at, audit_entries.c.seq], (datetime, int), descending=True)
_HEAD: Final = select(audit_head.c.seq, audit_head.c.hash)


class PostgresAudit:
    """AuditStore and AuditQueries of cluster/audit/ports.py; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def append(self, entries: Sequence[Entry]) -> int:
        """Add entries to the chain in order, durably, but those whose id is in it already; return how many are new."""
        async with reachable(), self._engine.begin() as connection:
            row = (await connection.execute(_HEAD.with_for_update())).first()
            if row is None:
                raise Unavailable("the head of the audit log is missing: `cloudbay audit verify` says more")
            known = await _known(connection, entries)
            new = {entry.id: entry for entry in entries if entry.id not in known}
            if new:
                links = chained(Head._make(row), new.values())
                await connection.execute(insert(audit_entries), [_row(link) for link in links])
                await connection.execute(update(audit_head).values(seq=links[-1].seq, hash=links[-1].hash))
        return len(new)

    async def head(self) -> Head | None:
        """Return the head of the chain; None when it is lost."""
        row = await self._reader.one(_HEAD)
        return None if row is None else Head._make(row)

    async def read(self, after: int, limit: int) -> list[ChainedEntry]:
        """Return the next entries after a place, in the order of their places."""
        query = _ALL.where(audit_entries.c.seq > after).order_by(audit_entries.c.seq).limit(limit)
        return [_link(row._mapping) for row in await self._reader.all(query)]

    async def span(self, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """Return the first and last place with an entry of that time (`until` excluded); (1, 0) without any."""
        query = select(func.min(audit_entries.c.seq), func.max(audit_entries.c.seq))
        row = await self._reader.one(_of_time(query, since, until))
        first, last = (None, None) if row is None else tuple(row)
        return (1, 0) if first is None else (first, last)

    async def entries(
        self, wanted: AuditFilter = ANY, cursor: str | None = None, limit: int = 100
    ) -> Page[ChainedEntry]:
        """List entries by time, the newest first. Raises BadRequest for a bad cursor or value."""
        query = _of_time(_ALL, wanted.since, wanted.until)
        for name in ("subject", "action", "target_kind", "target_id"):
            value = getattr(wanted, name)
            if value is not None:
                query = query.where(audit_entries.c[name] == value)
        return await self._reader.page(query, _NEWEST_FIRST, cursor, limit, lambda row: _link(row._mapping))

    async def entry(self, seq: int) -> ChainedEntry:
        """Return the entry at a place. Raises NotFound."""
        row = await self._reader.one(_ALL.where(audit_entries.c.seq == seq))
        if row is None:
            raise NotFound(f"the audit log has no entry {seq}")
        return _link(row._mapping)


async def _known(connection: AsyncConnection, entries: Sequence[Entry]) -> set[str]:
    ids = literal([entry.id for entry in entries], ARRAY(Text))
    return set(await connection.scalars(select(audit_entries.c.id).where(audit_entries.c.id == any_(ids))))


def _of_time(query: Select[Any], since: datetime | None, until: datetime | None) -> Select[Any]:
    if since is not None:
        query = query.where(audit_entries.c.at >= since)
    return query if until is None else query.where(audit_entries.c.at < until)


def _row(link: ChainedEntry) -> dict[str, object]:
    return {"seq": link.seq, **msgspec.structs.asdict(link.entry), "previous": link.previous, "hash": link.hash}


def _link(row: Fields) -> ChainedEntry:
    values = {name: row[name] for name in _ENTRY}
    if isinstance(values["roles"], list):  # of a row that somebody has changed it may be anything
        values["roles"] = tuple(values["roles"])
    return ChainedEntry(row["seq"], Entry(**values), row["previous"], row["hash"])
