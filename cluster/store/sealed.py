"""Where sealed values are: what names the place of each, and how a rotation goes through all of them.

Every column that tables/ marks as SEALED is found here by itself. Must not know: keys, what a value means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cluster.store.engine import reachable
from cluster.store.paging import Order
from cluster.store.tables import SEALED, metadata
from cluster.store.tables.records import rotations
from cluster.vault.ports import Progress
from cluster.vault.vault import HEADER_BYTES, header, place

HOLDER: Final = "transactions.holder"
EVENT_PAYLOAD: Final = "transaction_events.payload"
EVENT_ANSWER: Final = "transaction_events.answer"
READING_PAYLOAD: Final = "station_readings.payload"
NOTICE_PAYLOAD: Final = "notices.payload"
VARIABLE_VALUE: Final = "variables.value"
COMMAND_PAYLOAD: Final = "commands.payload"
COMMAND_RESPONSE: Final = "commands.response"
TOKEN: Final = "id_tokens.id_token"  # noqa: S105 - the name of a column
TOKEN_GROUP: Final = "id_tokens.group_id"  # noqa: S105
DRIVER_TOKEN: Final = "drivers.id_token"  # noqa: S105

_KEY_TYPES: Final[Mapping[type, type]] = {
    Text: str,
    String: str,
    Uuid: str,
    SmallInteger: int,
    Integer: int,
    BigInteger: int,
    DateTime: datetime,
    LargeBinary: bytes,
}


def words(*key: object) -> list[str]:
    """Return a row's key as the words that a place is named with."""
    return [_word(part) for part in key]


def _word(part: object) -> str:
    match part:
        case datetime():
            return part.astimezone(UTC).isoformat()
        case bytes():
            return part.hex()
    return str(part)


class SealedColumn(NamedTuple):
    """A column of envelopes, and the primary key of its table."""

    name: str
    column: Column[bytes | None]
    key: list[Column[Any]]

    @property
    def order(self) -> Order:
        """Return the order to go through its rows in."""
        return Order(self.key, tuple(_KEY_TYPES[type(column.type)] for column in self.key))

    def context(self, row: Sequence[object]) -> str:
        """Name the place of the value in a row that begins with the key."""
        return place(self.name, *words(*row[: len(self.key)]))


def sealed_columns() -> dict[str, SealedColumn]:
    """Return every column that is marked as SEALED, by place."""
    found = [column for table in metadata.sorted_tables for column in table.columns if column.info == SEALED]
    return {
        (name := f"{column.table.name}.{column.name}"): SealedColumn(name, column, list(column.table.primary_key))
        for column in found
    }


class PostgresSealedRows:
    """SealedRows on PostgreSQL. Each step is one short transaction; writers wait for none longer than that."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._columns = sealed_columns()

    def places(self) -> Sequence[str]:
        """Return every place."""
        return list(self._columns)

    async def step(self, place: str, key_id: int, limit: int, reseal: Callable[[bytes, str], bytes]) -> Progress:
        """Seal the next `limit` rows anew where another key has; the contract is in cluster/vault/ports.py."""
        sealed = self._columns[place]
        async with reachable(), self._engine.begin() as connection:
            before = await _remembered(connection, place, key_id)
            if before.finished:
                return Progress(place, before.rows, before.resealed, finished=True)
            rows, cursor, old = await _page(connection, sealed, before.cursor, key_id, limit)
            count = await _reseal(connection, sealed, old, key_id, reseal) if old else 0
            finished = cursor is None and not await _left(connection, sealed, key_id)
            after = Progress(place, before.rows + rows, before.resealed + count, finished)
            values = {"cursor": cursor, "rows": after.rows, "resealed": after.resealed, "finished": finished}
            mine = (rotations.c.key_id == key_id) & (rotations.c.place == place)
            await connection.execute(update(rotations).where(mine).values(values))
            return after


class _Remembered(NamedTuple):
    cursor: str | None
    rows: int
    resealed: int
    finished: bool


async def _remembered(connection: AsyncConnection, place: str, key_id: int) -> _Remembered:
    """Return how far a place is, and let nobody else go on with it meanwhile."""
    row = insert(rotations).values(key_id=key_id, place=place, rows=0, resealed=0, finished=False)
    await connection.execute(row.on_conflict_do_nothing())
    found = select(rotations.c.cursor, rotations.c.rows, rotations.c.resealed, rotations.c.finished)
    found = found.where(rotations.c.key_id == key_id, rotations.c.place == place).with_for_update()
    return _Remembered(*(await connection.execute(found)).one())


async def _page(
    connection: AsyncConnection, sealed: SealedColumn, cursor: str | None, key_id: int, limit: int
) -> tuple[int, str | None, list[tuple[object, ...]]]:
    """Return how many rows come next, where to go on, and the keys of those that another key has sealed."""
    old = _other_key(sealed, key_id).label("old")
    query = sealed.order.at(select(*sealed.key, old), cursor, limit)
    page = sealed.order.cut((await connection.execute(query)).all(), cursor, limit)
    return len(page.rows), page.following, [tuple(row[: len(sealed.key)]) for row in page.rows if row.old]


async def _reseal(
    connection: AsyncConnection,
    sealed: SealedColumn,
    keys: Sequence[tuple[object, ...]],
    key_id: int,
    reseal: Callable[[bytes, str], bytes],
) -> int:
    """Replace envelopes, each only if it is still what was read; a row that somebody writes now is passed over.

    Nobody is waited for, so a writer of many rows and a rotation cannot stop each other.
    """
    query = select(*sealed.key, sealed.column).where(tuple_(*sealed.key).in_(keys), _other_key(sealed, key_id))
    rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
    if rows:
        same = [column == bindparam(f"key_{number}", type_=column.type) for number, column in enumerate(sealed.key)]
        change = update(sealed.column.table).where(*same, sealed.column == bindparam("old"))
        changes = [
            {f"key_{number}": part for number, part in enumerate(row[:-1])}
            | {"old": row[-1], "new": reseal(row[-1], sealed.context(row))}
            for row in rows
        ]
        await connection.execute(change.values({sealed.column.name: bindparam("new")}), changes)
    return len(rows)


async def _left(connection: AsyncConnection, sealed: SealedColumn, key_id: int) -> bool:
    query = select(*sealed.key).where(_other_key(sealed, key_id)).limit(1)
    return (await connection.execute(query)).first() is not None


def _other_key(sealed: SealedColumn, key_id: int) -> Any:
    return func.substring(sealed.column, 1, HEADER_BYTES) != header(key_id)
