"""Block G, availability: heartbeats and the state of connectors (G01, G02)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.domain.events import ConnectorStatusChanged
from actors.domain.moment import believable, wire_time
from actors.domain.records import Progress
from actors.domain.station import ConnectorState, connector_key
from actors.ocpp.messages import Empty, Heartbeat, HeartbeatResponse, StatusNotification
from actors.turn import Turn

# 1.6 has no charging state of its own; the connector's finer status says it.
_CHARGING_STATES: Final = {"Charging": "Charging", "SuspendedEV": "SuspendedEV", "SuspendedEVSE": "SuspendedEVSE"}


def heartbeat(turn: Turn, _request: Heartbeat) -> HeartbeatResponse:
    """Answer with the platform's clock."""
    return HeartbeatResponse(wire_time(turn.now))


def status(turn: Turn, request: StatusNotification) -> Empty:
    """Remember a connector's state; an older report than the known one changes nothing."""
    stamp = request.timestamp
    at = stamp if stamp is not None and believable(stamp, turn.now) else turn.now
    if not set_status(turn, request.evse_id, request.connector_id, request.connector_status, at, request):
        return Empty()
    charging_state = _CHARGING_STATES.get(request.vendor_status or "")
    if charging_state is not None:
        for transaction in turn.transactions.values():
            if transaction.evse_id == request.evse_id and transaction.charging_state != charging_state:
                transaction.charging_state = charging_state
                turn.save(Progress(transaction))
    return Empty()


def set_status(
    turn: Turn,
    evse_id: int,
    connector_id: int,
    new_status: str,
    at: datetime,
    request: StatusNotification | None = None,
) -> bool:
    """Write a connector's state when it is news; False for a report older than the known one."""
    key = connector_key(evse_id, connector_id)
    known = turn.station.connectors.get(key)
    state = ConnectorState(
        new_status, at, request.vendor_status if request else None, request.error_code if request else None
    )
    if known is not None:
        if at < known.at:
            return False
        same = (known.status, known.vendor_status, known.error_code) == (
            state.status,
            state.vendor_status,
            state.error_code,
        )
        if same:
            return True
    turn.station.connectors[key] = state
    turn.save(turn.station)
    turn.tell(ConnectorStatusChanged(evse_id, connector_id, new_status, at))
    return True
