"""One station's OCPP-J conversation, sans-I/O: at most one outstanding CALL per direction.

Feed it frames with `receive`, ask it for bytes with `call`, `answer`, `refuse`; it never touches a socket or a clock.
The two directions share nothing, so a CALL from the peer is taken while an own CALL waits. The platform holds one per
station, the simulator holds the same class for its side (OCPP 2.1 part 4, 4.1.1 and 4.1.4).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from actors.errors import Conflict, FrameFault
from actors.ocpp.frames import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    Json,
    OcppVersion,
    Send,
    pack_call,
    pack_error,
    pack_result,
    parse,
)


class Outstanding(msgspec.Struct, frozen=True):
    """The CALL this side sent and waits for."""

    message_id: str
    action: str
    deadline: datetime


class CallReceived(msgspec.Struct, frozen=True):
    """The peer asks; reply with `answer` or `refuse`."""

    call: Call


class SendReceived(msgspec.Struct, frozen=True):
    """The peer tells, and wants no reply (2.1, N15.FR.02)."""

    send: Send


class Answered(msgspec.Struct, frozen=True):
    """The outstanding CALL has its result; the slot is free."""

    call: Outstanding
    payload: Json


class Failed(msgspec.Struct, frozen=True):
    """The outstanding CALL was refused by the peer, or timed out; the slot is free."""

    call: Outstanding
    code: str
    description: str


class Repeated(msgspec.Struct, frozen=True):
    """The peer repeated a CALL to the letter: send the same answer again."""

    answer: bytes


class Dropped(msgspec.Struct, frozen=True):
    """A frame to log and forget: a late or unknown answer, or one that may not be answered."""

    reason: str


class Malformed(msgspec.Struct, frozen=True):
    """The frame cannot be read; send `reply`."""

    reply: bytes
    code: str
    reason: str


Event = CallReceived | SendReceived | Answered | Failed | Repeated | Dropped | Malformed


class Connection:
    """The protocol state of one conversation, from either side."""

    __slots__ = (
        "_answers",
        "_answers_kept",
        "_keep_answers",
        "_max_nesting",
        "_pending",
        "outstanding",
        "version",
    )

    def __init__(
        self,
        version: OcppVersion,
        *,
        answers_kept: int = 4,
        keep_answers: timedelta = timedelta(seconds=60),
        max_nesting: int = 64,
    ) -> None:
        self.version = version
        self.outstanding: Outstanding | None = None
        self._answers: dict[str, tuple[bytes, bytes, datetime]] | None = None
        self._answers_kept = answers_kept
        self._keep_answers = keep_answers
        self._max_nesting = max_nesting
        self._pending: tuple[Call, bytes] | None = None

    def receive(self, data: bytes, now: datetime) -> Event:
        """Take one frame and say what it means."""
        try:
            message = parse(data, self.version, self._max_nesting)
        except FrameFault as fault:
            return self._unreadable(fault)
        match message:
            case Call():
                known = self._answers.get(message.message_id) if self._answers else None
                # Some stations use one message id for everything: only a repeat to the letter, and soon, is a repeat.
                if known is not None and known[0] == data and now - known[2] <= self._keep_answers:
                    return Repeated(known[1])
                self._pending = (message, data)
                return CallReceived(message)
            case Send():
                return SendReceived(message)
            case CallResult():
                return self._settle(message.message_id, lambda call: Answered(call, message.payload))
            case CallError():
                return self._settle(message.message_id, lambda call: Failed(call, message.code, message.description))
            case CallResultError():
                return Dropped(f"the peer could not read an answer: {message.code}")

    def _unreadable(self, fault: FrameFault) -> Event:
        if fault.answerable:
            reply = pack_error(fault.message_id, fault.code, fault.description, self.version)
            return Malformed(reply, fault.code, fault.description)
        if self.outstanding is not None and self.outstanding.message_id == fault.message_id:
            return self._settle(fault.message_id, lambda call: Failed(call, fault.code, fault.description))
        return Dropped(fault.description)

    def _settle(self, message_id: str, make: Callable[[Outstanding], Answered | Failed]) -> Event:
        call = self.outstanding
        if call is None or call.message_id != message_id:
            return Dropped("an answer to a call that is not outstanding")
        self.outstanding = None
        return make(call)

    def call(self, message_id: str, action: str, payload: object, deadline: datetime) -> bytes:
        """Return the frame of an own CALL and hold the slot until it is answered or expires.

        Raises Conflict when a CALL is outstanding.
        """
        if self.outstanding is not None:
            raise Conflict(f"{self.outstanding.action} is still outstanding")
        frame = pack_call(message_id, action, payload)
        self.outstanding = Outstanding(message_id, action, deadline)
        return frame

    def answer(self, call: Call, payload: object, now: datetime) -> bytes:
        """Return the CALLRESULT of a received CALL and remember it for a repeat."""
        frame = pack_result(call.message_id, payload)
        # Of calls that overlap, which the standard forbids, only the newest is remembered.
        if self._answers_kept and self._pending is not None and self._pending[0] is call:
            answers = self._answers = self._answers or {}
            answers.pop(call.message_id, None)
            answers[call.message_id] = (self._pending[1], frame, now)
            if len(answers) > self._answers_kept:
                del answers[next(iter(answers))]
        return frame

    def refuse(self, call: Call, code: str, description: str) -> bytes:
        """Return the CALLERROR of a received CALL; not remembered, so that a repeat is tried anew."""
        return pack_error(call.message_id, code, description, self.version)

    def expire(self, now: datetime) -> Failed | None:
        """Free the slot of a CALL whose deadline has passed; an answer after this is late and dropped."""
        call = self.outstanding
        if call is None or now < call.deadline:
            return None
        self.outstanding = None
        return Failed(call, "TimedOut", f"no answer to {call.action}")

    def reset(self, version: OcppVersion) -> Outstanding | None:
        """Start again on a new socket; return the CALL that the old one leaves unanswered."""
        lost, self.outstanding = self.outstanding, None
        self.version = version
        self._answers = self._pending = None
        return lost
