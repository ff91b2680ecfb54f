"""The one exception tree: each class knows its OCPP error code and its HTTP status.

The text of an error is written for its reader (a station's engineer, an API user) and never carries internals.
"""

from __future__ import annotations

from typing import ClassVar


class CloudBayError(Exception):
    """Base of everything this project raises on purpose."""

    ocpp_code: ClassVar[str] = "InternalError"
    http_status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retry_after_s: int | None = None
    """When the same request may go better, where that is known."""


class BadRequest(CloudBayError):
    """The input cannot be right, whatever the state."""

    ocpp_code = "FormatViolation"
    http_status = 422
    title = "Bad request"


class NotFound(CloudBayError):
    """What the request names does not exist."""

    ocpp_code = "PropertyConstraintViolation"
    http_status = 404
    title = "Not found"


class Conflict(CloudBayError):
    """The request is well formed but does not fit the present state."""

    ocpp_code = "GenericError"
    http_status = 409
    title = "Conflict"


class Changed(CloudBayError):
    """What the request would change is no longer what its sender has seen (RFC 9110 section 13.1.1)."""

    ocpp_code = "GenericError"
    http_status = 412
    title = "Changed meanwhile"


class StationOffline(Conflict):
    """The station is not connected and the caller chose not to wait."""

    title = "Station offline"


class TooMany(CloudBayError):
    """A bounded queue is full."""

    ocpp_code = "GenericError"
    http_status = 429
    title = "Too many requests"


class Unavailable(CloudBayError):
    """A part of the platform cannot answer now; the same request may succeed later."""

    ocpp_code = "InternalError"
    http_status = 503
    title = "Temporarily unavailable"
    retry_after_s = 1


class Moved(Unavailable):
    """The charger is held by another host now."""

    title = "Charger moved"


class Fenced(Unavailable):
    """This host has been replaced: its epoch is no longer the one in the database."""

    title = "Host replaced"


class FrameFault(CloudBayError):
    """A frame or payload from a station is not what OCPP asks for.

    `ocpp_code` is the 2.x word; `actors.ocpp.frames` turns it into the version's own spelling.
    """

    title = "Bad OCPP frame"

    def __init__(self, code: str, description: str, message_id: str = "-1", *, answerable: bool = True) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.message_id = message_id
        self.answerable = answerable
