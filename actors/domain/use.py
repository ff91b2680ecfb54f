"""May a connector be used now: the one holding that decides from what its station has last said."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from actors.domain.station import Station, connector_key

Hindrance = Literal["unknown", "offline", "not accepted", "faulted", "unavailable", "reserved", "in use"]
"""Why nobody can begin to charge."""

_HINDERING: Final[dict[str, Hindrance]] = {
    "Faulted": "faulted", "Unavailable": "unavailable", "Reserved": "reserved",
}  # fmt: skip
_WAITING: Final = ("EVConnected", "Idle", None)
_WHOLE: Final = 0


def hindrance(station: Station, evse_id: int, connector_id: int | None, charging: Collection[int]) -> Hindrance | None:
    """Return why a charge cannot begin at a connector now, or None if it can.

    Without a `connector_id` any of the EVSE's will do. `charging` are the EVSEs where somebody charges. A connector
    that is Occupied while nobody does has a cable in it and waits for just this.
    """
    connectors = _connectors(station, evse_id)
    if connector_id is not None:
        connectors = [key for key in connectors if key == connector_key(evse_id, connector_id)]
    if not connectors:
        return "unknown"
    if not station.connected:
        return "offline"
    if station.registration in ("Pending", "Rejected"):
        return "not accepted"
    wholes = (connector_key(_WHOLE, _WHOLE), connector_key(evse_id, _WHOLE))
    for whole in wholes:
        if (found := _HINDERING.get(_status(station, whole))) is not None:
            return found
    if evse_id in charging:
        return "in use"
    each = [_HINDERING.get(_status(station, key)) for key in connectors]
    return None if None in each else each[0]


def occupies(id_token: str | None, charging_state: str | None) -> bool:
    """Tell whether an open transaction is somebody's charge.

    A 2.x station may open one when a cable is plugged in (TxStartPoint EVConnected); until it names a token, nobody has
    been authorized, and it waits to be started.
    """
    return id_token is not None or charging_state not in _WAITING


def connectors_of(station: Station) -> list[tuple[int, int]]:
    """Return the connectors that a station has told of, as (evse, connector), in order."""
    known = [(int(evse), int(connector)) for evse, _, connector in (key.partition("/") for key in station.connectors)]
    return sorted(pair for pair in known if _WHOLE not in pair)


def _connectors(station: Station, evse_id: int) -> list[str]:
    return [connector_key(evse, connector) for evse, connector in connectors_of(station) if evse == evse_id]


def _status(station: Station, key: str) -> str:
    state = station.connectors.get(key)
    return "" if state is None else state.status
