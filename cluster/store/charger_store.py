"""The ChargerStore on PostgreSQL: snapshots and facts for many chargers at once, and the group commit.

The one hot path of the database, so it speaks asyncpg itself. Every commit first locks its host's row for sharing: a
successor that raises the epoch waits for the commits in flight, and no later one of the old host finds its row.
Must not know: what a row means.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg
import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.meter import Reading
from actors.domain.records import Row
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction
from actors.errors import Fenced
from actors.ports import MAX_OPEN, Facts, Needs, Snapshot, StoredAnswer, Unit
from cluster.store.decoding import (
    COMMAND_COLUMNS,
    STATION_COLUMNS,
    decode_command,
    decode_readings,
    decode_station,
    decode_token,
)
from cluster.store.engine import blames_content, driver_connection, reachable
from cluster.store.holders import decode_transaction, start_hash, token_hash
from cluster.store.rows import UNSTORABLE, WRITES
from cluster.store.sealed import EVENT_ANSWER, EVENT_PAYLOAD
from cluster.vault.vault import Vault, place

log = logging.getLogger(__name__)

_FENCE = "SELECT 1 FROM hosts WHERE host_id = $1 AND epoch = $2 FOR KEY SHARE"

_STATIONS = f"{select(*STATION_COLUMNS)} WHERE station_id = ANY($1::text[])"
_OPEN_TRANSACTIONS = f"""
SELECT station_id, state::text, holder FROM unnest($1::text[]) AS wanted (station_id), LATERAL (
    SELECT created_at, state, holder FROM transactions
    WHERE transactions.station_id = wanted.station_id AND ended_at IS NULL ORDER BY created_at DESC LIMIT {MAX_OPEN}
) AS newest ORDER BY station_id, created_at"""  # noqa: S608
_UNFINISHED_COMMANDS = f"""
{select(*COMMAND_COLUMNS)}
WHERE station_id = ANY($1::text[]) AND status IN ('queued', 'sent') ORDER BY created_at, id"""
_COMMAND = f"{select(*COMMAND_COLUMNS)} WHERE id = $1"
_OVERDUE = """
SELECT DISTINCT station_id FROM commands WHERE status IN ('queued', 'sent') AND status = 'queued' AND deadline <= $1
LIMIT 1000"""  # the first condition is the one of the index

_TOKENS = f"""
SELECT token_key, id_token, status, valid_until, group_id, master_pass, concurrent, ARRAY(
    SELECT transactions.id::text FROM transactions
    WHERE transactions.token_key = id_tokens.token_key AND ended_at IS NULL LIMIT {MAX_OPEN}
) AS open_transactions FROM id_tokens WHERE token_key = ANY($1::bytea[])"""  # noqa: S608
_TRANSACTIONS = """
SELECT station_id, transaction_id, state::text, holder
FROM unnest($1::text[], $2::text[]) AS wanted (station_id, transaction_id)
JOIN transactions USING (station_id, transaction_id)"""
_STARTS = """
SELECT station_id, start_key, state::text, holder FROM unnest($1::text[], $2::bytea[]) AS wanted (station_id, start_key)
JOIN transactions USING (station_id, start_key) ORDER BY created_at"""
_EVENTS = """
SELECT station_id, transaction_id, event_key, payload, answer
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (station_id, transaction_id, event_key)
JOIN transaction_events USING (station_id, transaction_id, event_key)"""
_READINGS = """
SELECT station_id, transaction_id, readings FROM unnest($1::text[], $2::text[]) AS wanted (station_id, transaction_id)
JOIN transaction_events USING (station_id, transaction_id) WHERE length(readings) > 0"""


class ContentRefused(Exception):
    """The database refuses values of this batch; nothing of it is stored."""


class PostgresChargerStore:
    """ChargerStore of one host, which writes as long as `epoch` is the host's newest."""

    def __init__(self, engine: AsyncEngine, vault: Vault, host_id: str, epoch: int) -> None:
        self._engine = engine
        self._vault = vault
        self._host_id = host_id
        self._epoch = epoch

    async def load(self, station_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Fetch snapshots, one for every id asked; three queries whatever their number."""
        snapshots = {station_id: Snapshot() for station_id in station_ids}
        wanted = list(snapshots)
        async with reachable(), driver_connection(self._engine) as connection:
            stations = await connection.fetch(_STATIONS, wanted)
            transactions = await connection.fetch(_OPEN_TRANSACTIONS, wanted)
            commands = await connection.fetch(_UNFINISHED_COMMANDS, wanted)
        for record in stations:
            snapshots[record["station_id"]].station = decode_station(record)
        for record in transactions:
            snapshots[record["station_id"]].transactions.append(
                decode_transaction(self._vault, record["state"], record["holder"])
            )
        for record in commands:
            snapshots[record["station_id"]].commands.append(decode_command(self._vault, record))
        return snapshots

    async def facts(self, needs: Sequence[Needs]) -> list[Facts]:
        """Fetch what many turns need, aligned with `needs`; at most one query for each kind of fact."""
        async with reachable(), driver_connection(self._engine) as connection:
            return await _Fetch(connection, self._vault).facts(needs)

    async def command(self, command_id: str) -> Command | None:
        """Fetch one command, whatever became of it."""
        async with reachable(), driver_connection(self._engine) as connection:
            record = await connection.fetchrow(_COMMAND, command_id)
        return None if record is None else decode_command(self._vault, record)

    async def overdue(self, now: datetime) -> list[str]:
        """Fetch stations with queued commands whose deadline has passed."""
        async with reachable(), driver_connection(self._engine) as connection:
            return [record["station_id"] for record in await connection.fetch(_OVERDUE, now)]

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        """Store many units durably in one fenced transaction; the contract is in actors/ports.py.

        A batch with content the database refuses is halved until the units to blame are alone. Later units of such a
        station build on the refused one, so they are refused as well.
        """
        refused: set[int] = set()
        blamed: set[str] = set()
        waiting = [list(range(len(units)))]
        while waiting:
            indexes = [index for index in waiting.pop() if units[index].station_id not in blamed]
            try:
                await self._store([units[index] for index in indexes])
            except ContentRefused as error:
                if len(indexes) > 1:
                    middle = len(indexes) // 2
                    waiting += (indexes[middle:], indexes[:middle])
                    continue
                station_id = units[indexes[0]].station_id
                blamed.add(station_id)
                refused.update(i for i in range(indexes[0], len(units)) if units[i].station_id == station_id)
                log.warning("rows refused", extra={"station_id": station_id, "error": type(error.__cause__).__name__})
        return frozenset(refused)

    async def _store(self, units: Sequence[Unit]) -> None:
        if not units:
            return
        try:
            batches = _batches(units, self._vault)
        except UNSTORABLE as error:
            raise ContentRefused from error
        try:
            async with reachable(), driver_connection(self._engine) as connection, connection.transaction():
                await self._hold_fence(connection)
                for statement, arrays in batches:
                    await connection.execute(statement, *arrays)
        except Exception as error:
            if blames_content(error):
                raise ContentRefused from error
            raise

    async def _hold_fence(self, connection: asyncpg.Connection) -> None:
        if await connection.fetchval(_FENCE, self._host_id, self._epoch) is None:
            raise Fenced(f"host {self._host_id} has been replaced: epoch {self._epoch} is over")


def _batches(units: Iterable[Unit], vault: Vault) -> list[tuple[str, list[Sequence[object]]]]:
    rows: defaultdict[type[Row], list[Row]] = defaultdict(list)
    for unit in units:
        for row in unit.rows:
            rows[type(row)].append(row)
    return [(write.statement, write.arrays(rows[kind], vault)) for kind, write in WRITES.items() if kind in rows]


class _Fetch:
    """Reads the facts of one batch on one connection."""

    def __init__(self, connection: asyncpg.Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault

    async def facts(self, needs: Sequence[Needs]) -> list[Facts]:
        tokens = await self._tokens({key for need in needs for key in need.tokens})
        transactions = await self._transactions(
            {(n.station_id, n.transaction_id) for n in needs if n.transaction_id is not None}
        )
        starts = await self._starts({(n.station_id, n.start_key) for n in needs if n.start_key is not None})
        events = await self._events({(n.station_id, n.transaction_id or "", k) for n in needs for k in n.event_keys})
        readings = await self._readings(
            {(n.station_id, n.transaction_id) for n in needs if n.readings and n.transaction_id is not None}
        )
        answers = []
        for need in needs:
            facts = Facts(tokens={key: tokens.get(key) for key in need.tokens})
            if need.transaction_id is not None:
                wire_id, key = need.transaction_id, (need.station_id, need.transaction_id)
                facts.transactions[wire_id] = transactions.get(key)
                facts.events = {(wire_id, k): events.get((*key, k)) for k in need.event_keys}
                if need.readings:
                    facts.readings[wire_id] = readings.get(key, [])
            if need.start_key is not None:
                facts.starts[need.start_key] = starts.get((need.station_id, need.start_key))
            answers.append(facts)
        return answers

    async def _rows(self, query: str, keys: Iterable[tuple[object, ...]]) -> list[asyncpg.Record]:
        columns = list(zip(*keys, strict=True))
        return await self._connection.fetch(query, *columns) if columns else []

    async def _tokens(self, keys: set[str]) -> dict[str, KnownToken | None]:
        hashes = {key: token_hash(self._vault, key) for key in keys}
        rows = await self._rows(_TOKENS, {(hashed,) for hashed in hashes.values()})
        found = {row["token_key"]: self._token(row) for row in rows}
        return {key: found.get(hashed) for key, hashed in hashes.items()}

    def _token(self, row: asyncpg.Record) -> KnownToken:
        token = decode_token(self._vault, row)
        return msgspec.structs.replace(token, open_transactions=tuple(row["open_transactions"]))

    async def _transactions(self, keys: set[tuple[str, str]]) -> dict[tuple[str, str], ChargingTransaction]:
        return {(row[0], row[1]): self._transaction(row) for row in await self._rows(_TRANSACTIONS, keys)}

    async def _starts(self, keys: set[tuple[str, str]]) -> dict[tuple[str, str], ChargingTransaction]:
        hashed = {(station_id, start_hash(self._vault, key)): (station_id, key) for station_id, key in keys}
        return {hashed[row[0], row[1]]: self._transaction(row) for row in await self._rows(_STARTS, hashed)}

    def _transaction(self, row: asyncpg.Record) -> ChargingTransaction:
        return decode_transaction(self._vault, row["state"], row["holder"])

    async def _events(self, keys: set[tuple[str, str, str]]) -> dict[tuple[str, str, str], StoredAnswer]:
        return {(row[0], row[1], row[2]): self._answer(row) for row in await self._rows(_EVENTS, keys)}

    def _answer(self, row: asyncpg.Record) -> StoredAnswer:
        key = (row[0], row[1], row[2])
        payload = self._vault.open(row["payload"], place(EVENT_PAYLOAD, *key))
        answer = b"" if row["answer"] is None else self._vault.open(row["answer"], place(EVENT_ANSWER, *key))
        return StoredAnswer(payload, answer)

    async def _readings(self, keys: set[tuple[str, str]]) -> defaultdict[tuple[str, str], list[Reading]]:
        found: defaultdict[tuple[str, str], list[Reading]] = defaultdict(list)
        for row in await self._rows(_READINGS, keys):
            found[row[0], row[1]] += decode_readings(row["readings"])
        return found
