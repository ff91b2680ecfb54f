"""The journal of business events in PostgreSQL: numbered by one process at a time, kept until every reader is past it.

Must not know: what readers do with events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import Fenced
from cluster.bus.journal import Entry
from cluster.bus.outbox import WaitingEvent
from cluster.store.engine import reachable
from cluster.store.tables.ways_out import journal, journal_readers, outbox

MAX_NUMBERED: Final = 5_000
"""Events numbered in one transaction."""

_LOCK: Final = 0x6F7574626F78  # "outbox": one process at a time numbers, so that positions commit in their order
_COLUMNS: Final = ("event_id", "kind", "station_id", "at", "data")
_NOW: Final = func.clock_timestamp()
_READ_BY_ALL: Final = select(func.min(journal_readers.c.position)).scalar_subquery()
_READ: Final = (
    select(journal_readers.c.position).where(journal_readers.c.reader == bindparam("reader")).scalar_subquery()
)
_NEWS: Final = select(
    or_(
        exists(select(outbox.c.id)),
        exists(select(journal.c.position).where(journal.c.position > _READ)),
        exists(select(journal.c.position).where(journal.c.position <= _READ_BY_ALL)),
    )
)


class PostgresJournal:
    """Journal of cluster/bus/journal.py; every method is one or two short transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def hold(self, reader: str, holder: str, lease_s: float) -> int | None:
        """Take or keep a reader's place; None too for a reader that is not followed."""
        free = journal_readers.c.holder.is_(None) | (journal_readers.c.holder == holder)
        statement = update(journal_readers).where(
            journal_readers.c.reader == reader, free | (journal_readers.c.lease_until < _NOW)
        )
        statement = statement.values(holder=holder, lease_until=_NOW + timedelta(seconds=lease_s))
        async with reachable(), self._engine.begin() as connection:
            row = (await connection.execute(statement.returning(journal_readers.c.position))).first()
        return None if row is None else row.position

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the next events after a position."""
        await number(self._engine)
        async with reachable(), self._engine.connect() as connection:
            return await entries(connection, after, limit)

    async def advance(self, reader: str, holder: str, position: int) -> None:
        """Note that all up to `position` are done with. Raises Fenced."""
        mine = (journal_readers.c.reader == reader) & (journal_readers.c.holder == holder)
        statement = update(journal_readers).where(mine, journal_readers.c.position <= position)
        async with reachable(), self._engine.begin() as connection:
            if (await connection.execute(statement.values(position=position))).rowcount == 0:
                raise Fenced(f"another process reads the journal for {reader} by now")

    async def leave(self, reader: str, holder: str) -> None:
        """Give the place up."""
        mine = (journal_readers.c.reader == reader) & (journal_readers.c.holder == holder)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(journal_readers).where(mine).values(holder=None))

    async def follow(self, reader: str, *, wanted: bool) -> None:
        """Keep events for a reader from now on, or no longer: one that is not wanted must not hold up the deletion."""
        async with reachable(), self._engine.begin() as connection:
            if wanted:
                await connection.execute(insert(journal_readers).values(reader=reader).on_conflict_do_nothing())
            else:
                await connection.execute(delete(journal_readers).where(journal_readers.c.reader == reader))


async def news(engine: AsyncEngine, reader: str) -> bool:
    """Tell whether there may be something to number, to delete or to read; a look that locks and writes nothing."""
    async with reachable(), engine.connect() as connection:
        return bool(await connection.scalar(_NEWS, {"reader": reader}))


async def number(engine: AsyncEngine) -> None:
    """Move what waits in the outbox into the journal, and delete what every reader has read."""
    oldest = select(outbox.c.id).order_by(outbox.c.id).limit(MAX_NUMBERED)
    moved = delete(outbox).where(outbox.c.id.in_(oldest)).returning(*outbox.c).cte("moved")
    in_order = select(*(moved.c[name] for name in _COLUMNS)).order_by(moved.c.id)
    async with reachable(), engine.begin() as connection:
        if (await connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK)))).scalar_one():
            await connection.execute(insert(journal).from_select(_COLUMNS, in_order))
            await connection.execute(delete(journal).where(journal.c.position <= _READ_BY_ALL))


async def entries(connection: AsyncConnection, after: int, limit: int) -> list[Entry]:
    """Return the events after a position, at most `limit`."""
    query = select(journal.c.position, *event_columns(journal.c)).where(journal.c.position > after)
    rows = await connection.execute(query.order_by(journal.c.position).limit(limit))
    return [Entry(row[0], WaitingEvent(*row[1:])) for row in rows]


def event_columns(columns: Any) -> list[ColumnElement[Any]]:
    """Return the columns of a WaitingEvent, in the order of its fields, of a table that holds events."""
    return [columns.event_id, columns.kind, columns.station_id, columns.at, columns.data.cast(Text)]


@asynccontextmanager
async def place(engine: AsyncEngine, reader: str) -> AsyncIterator[tuple[AsyncConnection, int] | None]:
    """Lend a transaction that holds a reader's place, and its position; None while another has it."""
    query = select(journal_readers.c.position).where(journal_readers.c.reader == reader)
    async with reachable(), engine.begin() as connection:
        position = await connection.scalar(query.with_for_update(skip_locked=True))
        yield None if position is None else (connection, position)


async def move(connection: AsyncConnection, reader: str, position: int) -> None:
    """Note, in the transaction that holds the place, how far a reader has come."""
    statement = update(journal_readers).where(journal_readers.c.reader == reader)
    await connection.execute(statement.values(position=position))
