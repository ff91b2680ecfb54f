"""Reading fields of a CSMS's order; what is missing or of a wrong type is refused by name.

Must not know: which message it is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from actors.ocpp.frames import Json

T = TypeVar("T")


class Refused(Exception):
    """An order that must be answered with CALLERROR; `code` is the 2.x word for it."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


def optional(payload: Json, key: str, kind: type[T]) -> T | None:
    """Return the field or None; raises Refused when it is not a `kind`."""
    value = payload.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused("TypeConstraintViolation", f"{key} must be of type {kind.__name__}")
    return value


def required(payload: Json, key: str, kind: type[T]) -> T:
    """Return the field; raises Refused when it is missing or not a `kind`."""
    value = optional(payload, key, kind)
    if value is None:
        raise Refused("OccurrenceConstraintViolation", f"{key} is missing")
    return value


def number(payload: Json, key: str) -> float:
    """Return a required number."""
    value = payload.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("TypeConstraintViolation", f"{key} must be a number")
    return float(value)


def instant(payload: Json, key: str) -> datetime | None:
    """Return an optional date-time; one without a zone is UTC."""
    value = optional(payload, key, str)
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise Refused("PropertyConstraintViolation", f"{key} is not an RFC 3339 date-time") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def objects(payload: Json, key: str) -> list[Json]:
    """Return a required list of objects."""
    items = required(payload, key, list)
    for item in items:
        if not isinstance(item, dict):
            raise Refused("TypeConstraintViolation", f"{key} must hold objects")
    return items


def rfc3339(at: datetime) -> str:
    """Write an instant in UTC with milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
