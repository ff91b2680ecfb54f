"""Block J, meter values outside transaction events (J01; 1.6 4.7)."""

from __future__ import annotations

from actors.domain import events
from actors.domain.records import StoredReading
from actors.handlers import transactions
from actors.ocpp.frames import OcppVersion
from actors.ocpp.messages import EVSE, Empty, MeterValues, Transaction, TransactionEvent
from actors.ports import Needs
from actors.turn import Turn


def needs(turn: Turn, request: MeterValues) -> Needs:
    """Ask for what the transaction needs, when the values belong to one."""
    event = _as_event(turn, request)
    return Needs(turn.station.station_id) if event is None else transactions.needs(turn, event)


def handle(turn: Turn, request: MeterValues) -> Empty:
    """Store readings; answered even when they make no sense (J01.FR.18)."""
    event = _as_event(turn, request)
    if event is not None:
        transactions.handle(turn, event)
        return Empty()
    turn.save(
        StoredReading(
            station_id=turn.station.station_id,
            evse_id=request.evse_id,
            at=request.meter_value[-1].timestamp,
            received_at=turn.now,
            digest=turn.digest,
            payload=turn.payload,
        )
    )
    for last in turn.readings(request.meter_value)[-1:]:
        turn.show(events.MeterValues(request.evse_id, last.at, last.register_wh, last.power_w, last.soc_percent))
    return Empty()


def _as_event(turn: Turn, request: MeterValues) -> TransactionEvent | None:
    """Many 1.6 stations leave the transaction id out: with one open transaction on the connector it is meant."""
    if turn.version is not OcppVersion.V16:
        return None
    open_here = [t for t in turn.transactions.values() if t.evse_id == request.evse_id]
    if len(open_here) != 1:
        return None
    return TransactionEvent(
        event_type="Updated",
        timestamp=request.meter_value[-1].timestamp,
        trigger_reason="MeterValuePeriodic",
        transaction_info=Transaction(open_here[0].transaction_id),
        meter_value=request.meter_value,
        evse=EVSE(request.evse_id, 1),
    )
