"""Seals what was stored before there was a vault: once, right after migration 0008, in its transaction.

That migration leaves the plain bytes in the columns; nobody sees them there, because all of it commits together. Their
traces in dead rows and in the write-ahead log go with VACUUM FULL and with the next checkpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, Text, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from actors.domain.transaction import ChargingTransaction
from actors.turn import digest
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.holders import digest_key, sealed_holder, start_hash, token_hash, without_holder
from cluster.store.sealed import SealedColumn, sealed_columns
from cluster.store.tables.chargers import id_tokens, notices, station_readings, transaction_events, transactions
from cluster.vault.keyring import KeyRing
from cluster.vault.ports import KeyProvider
from cluster.vault.vault import Vault

REVISION: Final = "0008"

_PAGE: Final = 500
_FILLED_THEN: Final = (
    "id_tokens.id_token",
    "id_tokens.group_id",
    "transaction_events.payload",
    "transaction_events.answer",
    "station_readings.payload",
    "notices.payload",
    "variables.value",
    "commands.payload",
    "commands.response",
)
_state = msgspec.json.Decoder(ChargingTransaction).decode


class _DataKeysWithin(PostgresDataKeys):
    """DataKeys on a connection whose transaction is another's."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine)
        self._connection = connection

    def _begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return nullcontext(self._connection)


async def holds_old_rows(connection: AsyncConnection) -> bool:
    """Tell whether there is anything to seal."""
    columns = [sealed_columns()[name].column for name in _FILLED_THEN]
    for table in {column.table for column in columns} | {transactions}:
        if (await connection.execute(select(*table.primary_key).limit(1))).first() is not None:
            return True
    return False


async def seal_old_rows(connection: AsyncConnection, provider: KeyProvider) -> None:
    """Make the first keys and seal every old value. Raises Unavailable, after which nothing is changed."""
    vault = await KeyRing(_DataKeysWithin(connection), provider, 0.0, lambda: datetime.now(UTC)).open()
    await _hash_tokens(connection, vault)
    await _seal_holders(connection, vault)
    await _key_digests(connection, digest_key(vault))
    for name in _FILLED_THEN:
        await _seal(connection, sealed_columns()[name], vault)


async def _hash_tokens(connection: AsyncConnection, vault: Vault) -> None:
    seen: set[bytes] = set()
    query = select(id_tokens.c.token_key, id_tokens.c.id_token).order_by(id_tokens.c.created_at, id_tokens.c.token_key)
    for row in (await connection.execute(query)).all():
        hashed, mine = token_hash(vault, row.id_token.decode()), id_tokens.c.token_key == row.token_key
        # Two spellings of one token, as with blanks around it, are one token now.
        change = delete(id_tokens) if hashed in seen else update(id_tokens).values(token_key=hashed)
        await connection.execute(change.where(mine))
        seen.add(hashed)


async def _seal_holders(connection: AsyncConnection, vault: Vault) -> None:
    def changed(row: Row[Any]) -> dict[str, object]:
        transaction = _state(row.state)
        token, start = transaction.id_token, transaction.start_key
        return {
            "holder": sealed_holder(vault, transaction),
            "token_key": None if token is None else token_hash(vault, token),
            "start_key": None if start is None else start_hash(vault, start),
            "state": msgspec.to_builtins(without_holder(transaction)),
        }

    query = select(transactions.c.id, transactions.c.state.cast(Text).label("state"))
    await _change(connection, query, [transactions.c.id], ["holder", "token_key", "start_key", "state"], changed)


async def _key_digests(connection: AsyncConnection, key: bytes) -> None:
    """Name what is known by a digest of its content by a keyed one."""

    def changed(row: Row[Any]) -> dict[str, object]:
        return {"digest": digest(row.payload, key)}

    def event_changed(row: Row[Any]) -> dict[str, object]:
        return {"event_key": f"{row.event_key.partition('#')[0]}#{digest(row.payload, key)}"}

    for table in (notices, station_readings):
        await _change(
            connection, select(*table.primary_key, table.c.payload), [*table.primary_key], ["digest"], changed
        )
    events = transaction_events
    query = select(*events.primary_key, events.c.payload).where(events.c.event_key.contains("#"))
    await _change(connection, query, [*events.primary_key], ["event_key"], event_changed)


async def _seal(connection: AsyncConnection, sealed: SealedColumn, vault: Vault) -> None:
    def changed(row: Row[Any]) -> dict[str, object]:
        return {sealed.column.name: vault.seal(row[-1], sealed.context(row))}

    query = select(*sealed.key, sealed.column).where(sealed.column.is_not(None))
    await _change(connection, query, sealed.key, [sealed.column.name], changed)


async def _change(
    connection: AsyncConnection,
    query: Select[Any],
    key: Sequence[Any],
    names: Sequence[str],
    changed: Callable[[Row[Any]], Mapping[str, object]],
) -> None:
    """Give columns of all rows of a query, which begins with the key, the values that `changed` makes of them."""
    table = key[0].table
    where = [column == bindparam(f"key_{number}", type_=column.type) for number, column in enumerate(key)]
    statement = update(table).where(*where).values({name: bindparam(f"new_{name}") for name in names})
    async for rows in _batches(connection, query):
        changes = [
            {f"key_{number}": part for number, part in enumerate(row[: len(key)])}
            | {f"new_{name}": value for name, value in changed(row).items()}
            for row in rows
        ]
        await connection.execute(statement, changes)


async def _batches(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[Sequence[Row[Any]]]:
    """Yield the rows as they were when this began, whatever is changed meanwhile."""
    async with connection.stream(query) as result:
        async for rows in result.partitions(_PAGE):
            yield rows
