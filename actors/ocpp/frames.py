"""OCPP-J frames: bytes in, messages out, and back (OCPP-J 1.6 section 4, OCPP 2.1 part 4 section 4).

Must not know: what an action means, or which calls are outstanding.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec
import orjson

from actors.errors import FrameFault

Json = dict[str, object]


class OcppVersion(StrEnum):
    """The WebSocket subprotocols this platform speaks."""

    V16 = "ocpp1.6"
    V201 = "ocpp2.0.1"
    V21 = "ocpp2.1"


class Call(msgspec.Struct, frozen=True):
    """A request: `[2, messageId, action, payload]`."""

    message_id: str
    action: str
    payload: Json


class CallResult(msgspec.Struct, frozen=True):
    """An answer: `[3, messageId, payload]`."""

    message_id: str
    payload: Json


class CallError(msgspec.Struct, frozen=True):
    """A refusal of a CALL: `[4, messageId, code, description, details]`."""

    message_id: str
    code: str
    description: str
    details: Json


class CallResultError(msgspec.Struct, frozen=True):
    """A refusal of a CALLRESULT, 2.1 only: `[5, messageId, code, description, details]`."""

    message_id: str
    code: str
    description: str
    details: Json


class Send(msgspec.Struct, frozen=True):
    """A message without answer, 2.1 only: `[6, messageId, action, payload]`."""

    message_id: str
    action: str
    payload: Json


Message = Call | CallResult | CallError | CallResultError | Send

# 1.6 keeps two misspelt codes on purpose (OCPP-J 1.6 errata 5.1, 5.2) and lacks three codes of 2.x.
_CODES_16: Final = {
    "FormatViolation": "FormationViolation",
    "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
    "MessageTypeNotSupported": "ProtocolError",
    "RpcFrameworkError": "FormationViolation",
}


def error_code(code: str, version: OcppVersion) -> str:
    """Spell a 2.x error code the way `version` does."""
    return _CODES_16.get(code, code) if version is OcppVersion.V16 else code


# A backslash that is itself escaped begins no \\u0000.
_ESCAPES: Final = re.compile(rb"\\\\|\\u0000")


def parse(data: bytes, version: OcppVersion, max_nesting: int = 64) -> Message:
    """Read one frame.

    Raises FrameFault with the OCPP 2.x code; `answerable` tells whether a CALLERROR may be sent for it
    (only a CALL may be answered with one: 2.1 part 4, 4.2.3).
    """
    if data.count(b"[") + data.count(b"{") > max_nesting and _depth(data) > max_nesting:
        raise FrameFault("RpcFrameworkError", f"the frame is nested deeper than {max_nesting} levels")
    if b"\\u0000" in data:
        # PostgreSQL stores no NUL in text, and no field of OCPP can mean one.
        data = _ESCAPES.sub(lambda escape: b"\\ufffd" if escape[0] == b"\\u0000" else escape[0], data)
    try:
        frame = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise FrameFault("RpcFrameworkError", f"the frame is not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(frame, list) or len(frame) < 2:
        raise FrameFault("RpcFrameworkError", "a frame is a JSON array of a message type, a message id and more")
    return _message(frame, version)


def _message(frame: list[object], version: OcppVersion) -> Message:
    kind, message_id = frame[0], frame[1]
    if not isinstance(message_id, str) or not message_id:
        raise FrameFault("RpcFrameworkError", "the message id must be a non-empty string", answerable=kind == 2)
    match kind:
        case 2 | 6 if kind == 2 or version is OcppVersion.V21:
            if len(frame) < 3 or not isinstance(frame[2], str):
                raise FrameFault(
                    "RpcFrameworkError", "a CALL is [2, messageId, action, payload]", message_id, answerable=kind == 2
                )
            payload = _object(frame[3] if len(frame) > 3 else None, message_id, answerable=kind == 2)
            return Call(message_id, frame[2], payload) if kind == 2 else Send(message_id, frame[2], payload)
        case 3:
            return CallResult(message_id, _object(frame[2] if len(frame) > 2 else None, message_id, answerable=False))
        case 4 | 5 if kind == 4 or version is OcppVersion.V21:
            fields = [*frame[2:5], "", "", None][: max(3, len(frame[2:5]))]
            details = fields[2] if isinstance(fields[2], dict) else {}
            make = CallError if kind == 4 else CallResultError
            return make(message_id, str(fields[0] or "GenericError"), str(fields[1] or ""), details)
    raise FrameFault("MessageTypeNotSupported", f"message type {str(kind)[:20]} is not supported", message_id)


def _object(payload: object, message_id: str, *, answerable: bool) -> Json:
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise FrameFault("FormatViolation", "the payload must be a JSON object", message_id, answerable=answerable)
    return payload


def _depth(data: bytes) -> int:
    """Count the deepest nesting; brackets inside strings do not count."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


_encoder = msgspec.json.Encoder()


def pack_call(message_id: str, action: str, payload: object) -> bytes:
    """Write a CALL; `payload` is anything msgspec encodes, already in wire words."""
    return _encoder.encode((2, message_id, action, payload))


def pack_result(message_id: str, payload: object) -> bytes:
    """Write a CALLRESULT."""
    return _encoder.encode((3, message_id, payload))


def pack_error(message_id: str, code: str, description: str, version: OcppVersion) -> bytes:
    """Write a CALLERROR with the version's spelling of a 2.x `code`; descriptions hold at most 255 characters."""
    return _encoder.encode((4, message_id, error_code(code, version), description[:255], {}))


def pack_result_error(message_id: str, code: str, description: str) -> bytes:
    """Write a CALLRESULTERROR (2.1 only)."""
    return _encoder.encode((5, message_id, code, description[:255], {}))
