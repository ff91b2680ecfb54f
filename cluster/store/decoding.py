"""Rows of the database back into the domain's values.

Must not know: queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from actors.domain.command import Command
from actors.domain.meter import Reading
from actors.domain.station import ConnectorState, Station
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction

STATION_COLUMNS: Final = Station.__struct_fields__
COMMAND_COLUMNS: Final = Command.__struct_fields__

decode_transaction = msgspec.json.Decoder(ChargingTransaction).decode
decode_readings = msgspec.json.Decoder(list[Reading]).decode
decode_connectors = msgspec.json.Decoder(dict[str, ConnectorState]).decode
decode_violations = msgspec.json.Decoder(dict[str, int]).decode
decode_payload = msgspec.json.Decoder(dict[str, object]).decode


def decode_station(row: Mapping[str, Any]) -> Station:
    """Return the station of a row with STATION_COLUMNS."""
    values = {name: row[name] for name in STATION_COLUMNS}
    values["connectors"] = decode_connectors(values["connectors"])
    values["violations"] = decode_violations(values["violations"])
    return Station(**values)


def decode_command(row: Mapping[str, Any]) -> Command:
    """Return the command of a row with COMMAND_COLUMNS."""
    values = {name: row[name] for name in COMMAND_COLUMNS}
    values["payload"] = decode_payload(values["payload"])
    values["response"] = None if values["response"] is None else decode_payload(values["response"])
    return Command(**values)


def decode_token(row: Mapping[str, Any]) -> KnownToken:
    """Return the token of a row with the fields of KnownToken as columns."""
    values = {name: row[name] for name in KnownToken.__struct_fields__}
    values["open_transactions"] = tuple(values["open_transactions"])
    return KnownToken(**values)
