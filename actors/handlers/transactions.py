"""Block E, transactions: events in any order, repeated, late or offline, become one record (E01-E15, 1.6 4.8-4.10).

An event is answered once its rows are stored. A sanity check that fails is still answered, because a CALLERROR makes
the station repeat and in the end discard the event (E13.FR.01-04, 1.6 3.7.1).
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

import msgspec

from actors.domain.command import Command
from actors.domain.events import TransactionEnded, TransactionRevised, TransactionStarted, TransactionUpdated
from actors.domain.meter import Reading
from actors.domain.moment import CLOCK_TOLERANCE, EPOCH_OF_OCPP
from actors.domain.records import Progress, StoredEvent
from actors.domain.token import Purpose, decide, token_key
from actors.domain.transaction import ChargingTransaction, gap_report
from actors.ocpp.messages import IdTokenInfo, TransactionEvent, TransactionEventResponse
from actors.ports import MAX_OPEN, Needs
from actors.turn import Turn, digest

_answers = msgspec.json.Decoder(TransactionEventResponse)
_encode = msgspec.json.Encoder().encode

_HIGHEST_FOREIGN_ID = 2**30
"""1.6 ids above this, left from another CSMS, do not move our own counter: it must never run out."""


def needs(turn: Turn, event: TransactionEvent) -> Needs:
    """Say what must be fetched before `handle` can run; empty when nothing is missing."""
    facts, station_id = turn.facts, turn.station.station_id
    tokens: tuple[str, ...] = ()
    if event.id_token is not None and token_key(event.id_token.id_token) not in facts.tokens:
        tokens = (token_key(event.id_token.id_token),)
    if _wants_id(event):
        key = _start_key(event)
        if key not in facts.starts:
            return Needs(station_id, tokens, start_key=key)
    wire_id = _wire_id(turn, event)
    if wire_id is None:
        return Needs(station_id, tokens)
    transaction = turn.transaction(wire_id)
    if transaction is None:
        fetched = wire_id in facts.transactions
        return Needs(station_id, tokens, transaction_id=None if fetched else wire_id)
    keys: tuple[str, ...] = ()
    if _may_repeat(transaction, event):
        asked = (_event_key(turn, event), _conflict_key(turn, event))
        keys = tuple(key for key in asked if (wire_id, key) not in facts.events)
    late = transaction.meter.late(turn.readings(event.meter_value)) and wire_id not in facts.readings
    if keys or late:
        return Needs(station_id, tokens, wire_id, event_keys=keys, readings=late)
    return Needs(station_id, tokens)


def handle(turn: Turn, event: TransactionEvent) -> TransactionEventResponse:
    """Store one transaction event and answer it; a repeat gets the stored answer."""
    wire_id = _wire_id(turn, event)
    transaction = None if wire_id is None else turn.transaction(wire_id)
    event_key = _event_key(turn, event)
    if wire_id is not None and transaction is not None:
        repeat = _stored_answer(turn, event, wire_id)
        if repeat is not None:
            return repeat
        if event.seq_no is not None and transaction.has(event.seq_no):
            event_key = _conflict_key(turn, event)
            transaction.conflicts += 1
    known = transaction is not None
    if transaction is None:
        transaction = _new(turn, event, wire_id)
    described = _description(transaction)
    readings = turn.readings(event.meter_value)
    late = transaction.meter.late(readings)
    was_started, was_ended = transaction.started_at is not None, transaction.ended_at is not None
    transaction.apply(event, readings)
    if late:
        transaction.recount([*turn.facts.readings.get(transaction.transaction_id, []), *readings])
    info = _authorize(turn, event, transaction)
    response = TransactionEventResponse(
        id_token_info=info,
        transaction_id=transaction.transaction_id if _wants_id(event) else None,
    )
    turn.save(_stored(turn, event, transaction, event_key, readings, response))
    turn.save(Progress(transaction) if known and _description(transaction) == described else transaction)
    _announce(turn, event, transaction, started=not was_started, ended=not was_ended)
    if transaction.ended_at is None:
        turn.transactions[transaction.transaction_id] = transaction
        if len(turn.transactions) > MAX_OPEN:  # a station that never ends them must not fill memory
            del turn.transactions[next(iter(turn.transactions))]
    else:
        turn.transactions.pop(transaction.transaction_id, None)
    return response


def _description(transaction: ChargingTransaction) -> tuple[object, ...]:
    """Return what rarely changes once it is known."""
    return (transaction.started_at, transaction.evse_id, transaction.connector_id, transaction.id_token)


def _wire_id(turn: Turn, event: TransactionEvent) -> str | None:
    """Return the id the transaction goes by; None for a 1.6 start that is new."""
    wire_id = event.transaction_info.transaction_id
    if _wants_id(event):
        known = turn.facts.starts.get(_start_key(event))
        if known is not None:
            turn.facts.transactions.setdefault(known.transaction_id, known)
            return known.transaction_id
        return None
    if event.seq_no is None and wire_id.lstrip("-").isdigit() and int(wire_id) <= 0:
        return f"unknown-{turn.digest}"  # a stop that never learned its id: kept under its content
    return wire_id or "unknown"


def _wants_id(event: TransactionEvent) -> bool:
    """Tell whether this is a 1.6 start, whose id the platform gives."""
    return event.seq_no is None and not event.transaction_info.transaction_id


def _start_key(event: TransactionEvent) -> str:
    """Name what makes two 1.6 StartTransactions the same one: connector, tag, time and register."""
    evse = event.evse.id if event.evse else 0
    tag = token_key(event.id_token.id_token) if event.id_token else ""
    register = event.meter_value[0].sampled_value[0].value if event.meter_value else None
    return f"{evse}|{tag}|{event.timestamp.isoformat()}|{register}"


def _event_key(turn: Turn, event: TransactionEvent) -> str:
    """Return the key to store this event under."""
    return _conflict_key(turn, event) if event.seq_no is None else str(event.seq_no)


def _conflict_key(turn: Turn, event: TransactionEvent) -> str:
    """Return the key of an event whose number, if it has one, is taken by another."""
    return f"{'' if event.seq_no is None else event.seq_no}#{turn.digest}"


def _may_repeat(transaction: ChargingTransaction, event: TransactionEvent) -> bool:
    if event.seq_no is not None:
        return transaction.has(event.seq_no)
    last = transaction.last_event_at
    return last is not None and (event.timestamp <= last or transaction.ended_at is not None)


def _stored_answer(turn: Turn, event: TransactionEvent, wire_id: str) -> TransactionEventResponse | None:
    if not turn.facts.events:  # nothing was asked for, as almost always: spare the digest
        return None
    for key in (_event_key(turn, event), _conflict_key(turn, event)):
        stored = turn.facts.events.get((wire_id, key))
        if stored is not None and digest(stored.payload, turn.rules.digest_key) == turn.digest:
            return _answers.decode(stored.answer or b"{}")
    return None


def _new(turn: Turn, event: TransactionEvent, wire_id: str | None) -> ChargingTransaction:
    station, start_key = turn.station, None
    if wire_id is None:
        start_key, wire_id = _start_key(event), str(station.next_transaction_id)
        station.next_transaction_id += 1
        turn.save(station)
    elif event.seq_no is None and wire_id.isdigit():
        number = int(wire_id)
        if station.next_transaction_id <= number < _HIGHEST_FOREIGN_ID:
            station.next_transaction_id = number + 1
            turn.save(station)
    return ChargingTransaction(
        id=str(uuid5(NAMESPACE_OID, f"{station.station_id}/{wire_id}")),
        station_id=station.station_id,
        transaction_id=wire_id,
        created_at=turn.now,
        start_key=start_key,
    )


def _authorize(turn: Turn, event: TransactionEvent, transaction: ChargingTransaction) -> IdTokenInfo | None:
    """Validate the token again, as the standard asks (E05.FR.01, 1.6 4.8); the energy is kept whatever comes out."""
    if event.id_token is None:
        return None
    purposes: dict[str, Purpose] = {"Started": "start", "Updated": "go on", "Ended": "stop"}
    return decide(
        event.id_token, turn.facts.tokens, turn.rules.tokens, turn.now, purposes[event.event_type], transaction.id
    )


def _stored(
    turn: Turn,
    event: TransactionEvent,
    transaction: ChargingTransaction,
    event_key: str,
    readings: list[Reading],
    response: TransactionEventResponse,
) -> StoredEvent:
    answer = _encode(response)
    return StoredEvent(
        station_id=turn.station.station_id,
        transaction_id=transaction.transaction_id,
        event_key=event_key,
        seq_no=event.seq_no,
        event_type=event.event_type,
        timestamp=event.timestamp,
        received_at=turn.now,
        offline=event.offline,
        payload=turn.payload,
        readings=_encode(readings) if readings else b"",
        answer=b"" if answer == b"{}" else answer,
    )


def _announce(
    turn: Turn, event: TransactionEvent, transaction: ChargingTransaction, *, started: bool, ended: bool
) -> None:
    now = not event.offline  # what happened then must not look like now
    meter = transaction.meter
    if started and transaction.started_at is not None:
        begun = TransactionStarted(
            transaction.id,
            transaction.transaction_id,
            event.offline,
            transaction.evse_id,
            transaction.connector_id,
            transaction.started_at,
        )
        turn.tell(begun, live=now)
    if transaction.ended_at is not None:
        told = TransactionEnded if ended else TransactionRevised  # a late event completes the record
        over = told(
            transaction.id,
            transaction.transaction_id,
            event.offline,
            transaction.ended_at,
            round(meter.energy_wh, 3),
            gap_report(transaction).complete,
            transaction.stopped_reason,
        )
        turn.tell(over, live=now)
    elif now:
        turn.show(
            TransactionUpdated(
                transaction.id,
                transaction.transaction_id,
                transaction.evse_id,
                transaction.charging_state,
                round(meter.energy_wh, 3),
                meter.power_w,
                meter.soc_percent,
            )
        )


def started_by(event: TransactionEvent, commands: list[Command]) -> Command | None:
    """Return the remote start that this event fulfils: by remoteStartId, or in 1.6 by connector and token."""
    if event.offline:
        return None
    remote_id = event.transaction_info.remote_start_id
    for command in commands:
        if remote_id is not None and command.payload.get("remoteStartId") == remote_id:
            return command
        if event.seq_no is None and event.event_type == "Started" and _same_start(event, command):
            return command
    return None


def _same_start(event: TransactionEvent, command: Command) -> bool:
    """Tell whether a 1.6 start can be the one asked for, and is none that waited in the station's queue."""
    token, evse_id = command.payload.get("idToken"), command.payload.get("evseId")
    if not isinstance(token, dict) or event.id_token is None or event.evse is None:
        return False
    if evse_id is not None and evse_id != event.evse.id:
        return False
    queued = EPOCH_OF_OCPP <= event.timestamp < command.created_at - CLOCK_TOLERANCE
    return not queued and token_key(str(token.get("idToken", ""))) == token_key(event.id_token.id_token)
