"""How each kind of row becomes columns, and the one statement that stores many of them.

All rows of a kind travel as one array a column through `INSERT ... SELECT FROM unnest(...) ON CONFLICT`, so a commit is
a few statements whatever the number of chargers. Rows that are written again are sorted by key (two writers never lock
in opposite orders) and the last of a key wins; of rows that are written once the first wins, as if each came alone.
Every statement may be repeated: the second time changes nothing. What tables/ marks as sealed is sealed here.
Must not know: connections, transactions, keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import JSON, Column, Table
from sqlalchemy.dialects.postgresql import dialect

from actors.domain.command import Command
from actors.domain.moment import believable
from actors.domain.records import BusinessEvent, Notice, Progress, ReportedVariable, Row, StoredEvent, StoredReading
from actors.domain.station import Station
from actors.domain.transaction import ChargingTransaction, gap_report
from cluster.store.holders import sealed_holder, start_hash, token_hash, without_holder
from cluster.store.sealed import (
    COMMAND_PAYLOAD,
    COMMAND_RESPONSE,
    EVENT_ANSWER,
    EVENT_PAYLOAD,
    NOTICE_PAYLOAD,
    READING_PAYLOAD,
    VARIABLE_VALUE,
    words,
)
from cluster.store.tables import chargers, ways_out
from cluster.vault.vault import Vault, place

R = TypeVar("R", bound=Row)
Values = tuple[object, ...]

_encode = msgspec.json.Encoder().encode


class Write(NamedTuple):
    """How one kind of row is stored: its statement, its key (to sort and to find repeats) and its values by column."""

    statement: str
    key: Callable[[Row], Any]
    values: Callable[[Row, Vault], Values]
    rewrites: bool

    def arrays(self, rows: Sequence[Row], vault: Vault) -> list[Sequence[object]]:
        """Return one array a column. Raises one of UNSTORABLE when a value fits no column."""
        if self.rewrites:
            last = {self.key(row): row for row in rows}
            chosen = [last[key] for key in sorted(last)]
        else:
            first: dict[object, Row] = {}
            for row in rows:
                first.setdefault(self.key(row), row)
            chosen = list(first.values())
        return list(zip(*(self.values(row, vault) for row in chosen), strict=True))


UNSTORABLE: Final = (ValueError, TypeError, OverflowError, RecursionError)
"""What encoding a row may raise: broken text, a number beyond 64 bits, too deep nesting."""


def _text(value: object) -> str:
    return _encode(value).decode()


def _station(row: Station, _vault: Vault) -> Values:
    return (
        row.station_id,
        row.vendor_name,
        row.model,
        row.serial_number,
        row.firmware_version,
        row.ocpp_version,
        row.registration,
        row.admission,
        row.validation,
        row.password_digest,
        row.site_id,
        row.boot_reason,
        row.booted_at,
        row.conn_epoch,
        row.gateway_id,
        row.connected_at,
        row.disconnected_at,
        row.last_seen_at,
        row.next_transaction_id,
        _text(row.connectors),
        _text(row.violations),
    )


def _transaction(row: ChargingTransaction, vault: Vault) -> Values:
    started_at = row.started_at
    return (
        row.id,
        row.station_id,
        row.transaction_id,
        None if row.start_key is None else start_hash(vault, row.start_key),
        row.created_at,
        started_at if started_at is not None and believable(started_at, row.created_at) else row.created_at,
        row.evse_id,
        row.connector_id,
        sealed_holder(vault, row),
        None if row.id_token is None else token_hash(vault, row.id_token),
        started_at,
        row.ended_at,
        row.meter.energy_wh,
        row.charging_state,
        row.stopped_reason,
        row.ended_at is not None and gap_report(row).complete,
        _text(without_holder(row)),
    )


def _progress(row: Progress, _vault: Vault) -> Values:
    transaction = row.transaction
    return (
        transaction.id,
        transaction.ended_at,
        transaction.meter.energy_wh,
        transaction.charging_state,
        transaction.stopped_reason,
        transaction.ended_at is not None and gap_report(transaction).complete,
        _text(without_holder(transaction)),
    )


def _event(row: StoredEvent, vault: Vault) -> Values:
    key = (row.station_id, row.transaction_id, row.event_key)
    return (
        row.station_id,
        row.transaction_id,
        row.event_key,
        row.seq_no,
        row.event_type,
        row.timestamp,
        row.received_at,
        row.offline,
        vault.seal(row.payload, place(EVENT_PAYLOAD, *key)),
        row.readings,
        vault.seal(row.answer, place(EVENT_ANSWER, *key)) if row.answer else None,
    )


def _reading(row: StoredReading, vault: Vault) -> Values:
    key = (row.station_id, row.at, row.evse_id, row.digest)
    return (*key, row.received_at, vault.seal(row.payload, place(READING_PAYLOAD, *words(*key))))


def _notice(row: Notice, vault: Vault) -> Values:
    key = (row.station_id, row.at, row.kind, row.digest)
    return (*key, row.received_at, vault.seal(row.payload, place(NOTICE_PAYLOAD, *words(*key))))


_VARIABLE_KEY: Final = attrgetter(*chargers.variables.primary_key.columns.keys())


def _variable(row: ReportedVariable, vault: Vault) -> Values:
    key = _VARIABLE_KEY(row)
    value = None if row.value is None else vault.seal(row.value.encode(), place(VARIABLE_VALUE, *words(*key)))
    return (*key, value, row.mutability, row.reported_at)


def _command(row: Command, vault: Vault) -> Values:
    return (
        row.id,
        row.station_id,
        row.action,
        vault.seal(_encode(row.payload), place(COMMAND_PAYLOAD, row.id)),
        row.created_at,
        row.deadline,
        row.if_offline,
        row.requested_by,
        row.status,
        row.sent_at,
        row.finished_at,
        None if row.response is None else vault.seal(_encode(row.response), place(COMMAND_RESPONSE, row.id)),
        row.error,
        row.transaction,
        row.energy_limit_wh,
    )


def _business_event(row: BusinessEvent, _vault: Vault) -> Values:
    return (event_id(row), row.kind, row.station_id, row.at, _text(row.data))


def event_id(row: BusinessEvent) -> str:
    """Name a business event by its content, so that a repeated write or publication is known as the same event."""
    return blake2b(_encode((row.kind, row.station_id, row.at, row.data)), digest_size=16).hexdigest()


def _insert(
    table: Table,
    values: Callable[[R, Vault], Values],
    key: Callable[[R], object],
    conflict: Sequence[str],
    *,
    generated: frozenset[str] = frozenset(),
    kept: frozenset[str] | None = None,
) -> Write:
    """Build the statement of a table.

    `conflict` names the unique columns; `generated` columns are left to the database; on a conflict all columns but
    those and `kept` are written again, or none when `kept` is None.
    """
    columns = [column for column in table.columns if column.name not in generated]
    names = ", ".join(f'"{column.name}"' for column in columns)
    selected = ", ".join(f'"{column.name}"{_cast(column)}' for column in columns)
    arrays = ", ".join(f"${place}::{_array_type(column)}[]" for place, column in enumerate(columns, 1))
    target = ", ".join(f'"{name}"' for name in conflict)
    action = "NOTHING"
    if kept is not None:
        written = [column.name for column in columns if column.name not in kept.union(conflict)]
        action = "UPDATE SET " + ", ".join(f'"{name}" = excluded."{name}"' for name in written)
        action += ', "updated_at" = now()' if "updated_at" in generated else ""
    statement = (
        f'INSERT INTO "{table.name}" ({names}) SELECT {selected} FROM unnest({arrays}) AS rows ({names}) '  # noqa: S608
        f"ON CONFLICT ({target}) DO {action}"
    )
    return Write(statement, key, values, rewrites=kept is not None)  # type: ignore[arg-type]


def _update(
    table: Table, values: Callable[[R, Vault], Values], key: Callable[[R], object], names: Sequence[str]
) -> Write:
    """Build the statement that changes columns of rows that are there; the first of `names` is the table's key."""
    columns = [table.c[name] for name in names]
    arrays = ", ".join(f"${place}::{_array_type(column)}[]" for place, column in enumerate(columns, 1))
    written = ", ".join(f'"{column.name}" = rows."{column.name}"{_cast(column)}' for column in columns[1:])
    statement = (
        f'UPDATE "{table.name}" SET {written}, "updated_at" = now() '  # noqa: S608
        f'FROM unnest({arrays}) AS rows ({", ".join(names)}) WHERE "{table.name}"."{names[0]}" = rows."{names[0]}"'
    )
    return Write(statement, key, values, rewrites=True)  # type: ignore[arg-type]


_POSTGRESQL = dialect()  # type: ignore[no-untyped-call]


def _array_type(column: Column[object]) -> str:
    return "text" if isinstance(column.type, JSON) else column.type.compile(_POSTGRESQL)


def _cast(column: Column[object]) -> str:
    return f"::{column.type.compile(_POSTGRESQL)}" if isinstance(column.type, JSON) else ""


WRITES: Final[dict[type[Row], Write]] = {
    Station: _insert(chargers.stations, _station, attrgetter("station_id"), ["station_id"], kept=frozenset()),
    ChargingTransaction: _insert(
        chargers.transactions,
        _transaction,
        attrgetter("id"),
        ["id"],
        generated=frozenset({"updated_at"}),
        kept=frozenset({"station_id", "transaction_id", "created_at"}),
    ),
    Progress: _update(
        chargers.transactions,
        _progress,
        attrgetter("transaction.id"),
        ["id", "ended_at", "energy_wh", "charging_state", "stopped_reason", "complete", "state"],
    ),
    StoredEvent: _insert(
        chargers.transaction_events,
        _event,
        attrgetter("station_id", "transaction_id", "event_key"),
        ["station_id", "transaction_id", "event_key"],
    ),
    StoredReading: _insert(
        chargers.station_readings,
        _reading,
        attrgetter("station_id", "at", "evse_id", "digest"),
        ["station_id", "at", "evse_id", "digest"],
    ),
    Notice: _insert(
        chargers.notices,
        _notice,
        attrgetter("station_id", "at", "kind", "digest"),
        ["station_id", "at", "kind", "digest"],
    ),
    ReportedVariable: _insert(
        chargers.variables,
        _variable,
        _VARIABLE_KEY,
        chargers.variables.primary_key.columns.keys(),
        kept=frozenset(),
    ),
    Command: _insert(
        chargers.commands,
        _command,
        attrgetter("id"),
        ["id"],
        kept=frozenset({"station_id", "action", "payload", "created_at"}),
    ),
    BusinessEvent: _insert(ways_out.outbox, _business_event, event_id, ["event_id"], generated=frozenset({"id"})),
}
"""In the order of writing."""
