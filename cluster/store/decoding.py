"""Rows of the database back into the domain's values; JSON columns are read as text and decoded into their types once.

Must not know: queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import JSON, ColumnElement, Table, Text

from actors.domain.command import Command
from actors.domain.meter import Reading
from actors.domain.station import ConnectorState, Station
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction
from cluster.store import tables


def _columns(table: Table, names: Iterable[str]) -> list[ColumnElement[Any]]:
    found = (table.c[name] for name in names)
    return [c.cast(Text).label(c.name) if isinstance(c.type, JSON) else c for c in found]


STATION_COLUMNS: Final = _columns(tables.stations, Station.__struct_fields__)
COMMAND_COLUMNS: Final = _columns(tables.commands, Command.__struct_fields__)
(TRANSACTION_STATE,) = _columns(tables.transactions, ["state"])

decode_transaction = msgspec.json.Decoder(ChargingTransaction).decode
decode_readings = msgspec.json.Decoder(list[Reading]).decode
decode_connectors = msgspec.json.Decoder(dict[str, ConnectorState]).decode
decode_violations = msgspec.json.Decoder(dict[str, int]).decode
decode_payload = msgspec.json.Decoder(dict[str, object]).decode


class Fields(Protocol):
    """A row whose columns are found by name: asyncpg's Record, SQLAlchemy's RowMapping."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""


def decode_station(row: Fields) -> Station:
    """Return the station of a row with STATION_COLUMNS."""
    values = {name: row[name] for name in Station.__struct_fields__}
    values["connectors"] = decode_connectors(values["connectors"])
    values["violations"] = decode_violations(values["violations"])
    return Station(**values)


def decode_command(row: Fields) -> Command:
    """Return the command of a row with COMMAND_COLUMNS."""
    values = {name: row[name] for name in Command.__struct_fields__}
    values["payload"] = decode_payload(values["payload"])
    values["response"] = None if values["response"] is None else decode_payload(values["response"])
    return Command(**values)


def decode_token(row: Fields) -> KnownToken:
    """Return the token of a row with the fields of KnownToken as columns."""
    values = {name: row[name] for name in KnownToken.__struct_fields__}
    values["open_transactions"] = tuple(values["open_transactions"])
    return KnownToken(**values)
