"""Items of a gateway's batch as steps of rounds, and what came of them as results.

Must not know: who runs the rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from actors.charger import Charger, Refusal
from actors.errors import CloudBayError, Fenced, FrameFault, Moved
from actors.ocpp.frames import Call, OcppVersion, pack_error, parse
from actors.turn import Turn
from cluster.batch import Admitted, Answers, Connect, Disconnect, Frame, Item, NotOwner, Refused, Result
from cluster.rounds import Step

_RETRY_LATER = "the message could not be stored; send it again"


class NotAdmitted(CloudBayError):
    """A connection is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def rounds_of(items: Sequence[Item]) -> list[list[int]]:
    """Split a batch into rounds of indexes in which each station occurs once, in its order."""
    rounds: list[list[int]] = []
    counts: dict[str, int] = {}
    for i, item in enumerate(items):
        turn = counts.get(item.station_id, 0)
        counts[item.station_id] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(i)
    return rounds


def step_of(item: Item) -> Step:
    """Return what an item asks of its charger."""
    match item:
        case Frame():
            return Step(
                item.station_id, lambda charger, now: charger.receive(item.conn_epoch, item.data, now), item.data
            )
        case Disconnect():
            return disconnect(item.station_id, item.conn_epoch)
        case Connect():
            return Step(item.station_id, lambda charger, now: _connect(charger, item, now))


def _connect(charger: Charger, item: Connect, now: datetime) -> Turn:
    turn, refusal = charger.connect(now, item.gateway_id, OcppVersion(item.subprotocol), item.password_digest)
    if refusal is not None:
        raise NotAdmitted(refusal)
    return turn


def disconnect(station_id: str, conn_epoch: int) -> Step:
    """Return the step that notes the end of a socket."""
    return Step(station_id, lambda charger, now: charger.disconnect(conn_epoch, now))


def tick(station_id: str) -> Step:
    """Return the step that lets time pass."""
    return Step(station_id, lambda charger, now: charger.tick(now))


def result_of(item: Item, step: Step) -> Result:
    """Return what the gateway is told of an item whose step has been run."""
    if isinstance(step.error, Fenced | Moved):
        return NotOwner()
    if isinstance(item, Connect):
        if isinstance(step.error, NotAdmitted):
            return Refused(step.error.refusal.status, step.error.refusal.reason)
        if step.error is not None or step.turn is None:
            return Refused(503, "try again")
        return Admitted(step.turn.station.conn_epoch)
    if step.error is None:
        return Answers(step.turn.frames if step.turn else [])
    unanswered = _call_id(item, step.turn)
    if unanswered is None:
        return Answers([])
    return Answers([pack_error(unanswered, "InternalError", _RETRY_LATER, step.version)])


def _call_id(item: Item, turn: Turn | None) -> str | None:
    """Return the id of the CALL that a failed turn leaves without an answer; None when it was none."""
    if turn is not None:
        return turn.call.message_id if turn.call is not None else None
    if not isinstance(item, Frame):
        return None
    try:
        message = parse(item.data, OcppVersion.V201)  # its charger could not be woken: nobody has read it
    except FrameFault:
        return None
    return message.message_id if isinstance(message, Call) else None
