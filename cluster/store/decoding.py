"""Rows of the database back into the domain's values; JSON columns are read as text and decoded into their types once.

What was sealed is opened; all that opens raises SealBroken and KeyMissing. Must not know: queries.
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
from cluster.store.sealed import COMMAND_PAYLOAD, COMMAND_RESPONSE, TOKEN, TOKEN_GROUP
from cluster.store.tables import chargers
from cluster.vault.vault import Vault, place


def _columns(table: Table, names: Iterable[str]) -> list[ColumnElement[Any]]:
    found = (table.c[name] for name in names)
    return [c.cast(Text).label(c.name) if isinstance(c.type, JSON) else c for c in found]


STATION_COLUMNS: Final = _columns(chargers.stations, Station.__struct_fields__)
COMMAND_COLUMNS: Final = _columns(chargers.commands, Command.__struct_fields__)
(TRANSACTION_STATE,) = _columns(chargers.transactions, ["state"])

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


def decode_command(vault: Vault, row: Fields) -> Command:
    """Return the command of a row with COMMAND_COLUMNS."""
    values = {name: row[name] for name in Command.__struct_fields__}
    command_id, response = values["id"], values["response"]
    values["payload"] = decode_payload(vault.open(values["payload"], place(COMMAND_PAYLOAD, command_id)))
    if response is not None:
        values["response"] = decode_payload(vault.open(response, place(COMMAND_RESPONSE, command_id)))
    return Command(**values)


def decode_token(vault: Vault, row: Fields) -> KnownToken:
    """Return the token of a row of id_tokens; `open_transactions` are its own affair."""
    values = {name: row[name] for name in KnownToken.__struct_fields__ if name != "open_transactions"}
    key, group = row["token_key"].hex(), values["group_id"]
    values["id_token"] = vault.open(values["id_token"], place(TOKEN, key)).decode()
    if group is not None:
        values["group_id"] = vault.open(group, place(TOKEN_GROUP, key)).decode()
    return KnownToken(**values)
