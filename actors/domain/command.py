"""A command to a station: persisted, with a deadline and a status that only moves forward."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from actors.errors import Conflict
from actors.ocpp.frames import Json

CommandStatus = Literal["queued", "sent", "accepted", "rejected", "failed", "timed out", "expired", "cancelled"]
IfOffline = Literal["wait", "fail"]

TRANSITIONS: Final[dict[CommandStatus, frozenset[CommandStatus]]] = {
    "queued": frozenset({"sent", "failed", "expired", "cancelled"}),
    "sent": frozenset({"accepted", "rejected", "failed", "timed out"}),
    "accepted": frozenset(),
    "rejected": frozenset(),
    "failed": frozenset(),
    "timed out": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
}


class Command(msgspec.Struct):
    """One command in 2.x words. `id` is also the message id of its CALL, so that an answer finds it after a restart."""

    id: str
    station_id: str
    action: str
    payload: Json
    created_at: datetime
    deadline: datetime
    if_offline: IfOffline = "wait"
    requested_by: str = ""
    status: CommandStatus = "queued"
    sent_at: datetime | None = None
    finished_at: datetime | None = None
    response: Json | None = None
    """The station's answer in 2.x words."""
    error: str | None = None
    """Why it did not succeed, for a person."""
    transaction: str | None = None
    """The platform id of the transaction that a remote start led to."""
    energy_limit_wh: float | None = None
    """What the transaction of a remote start may take; the platform ends it there."""

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return not TRANSITIONS[self.status]

    def move(self, status: CommandStatus, now: datetime, error: str | None = None) -> None:
        """Move to `status`. Raises Conflict when the present status does not lead there."""
        if status not in TRANSITIONS[self.status]:
            raise Conflict(f"the command is {self.status} and cannot become {status}")
        self.status, self.error = status, error
        if status == "sent":
            self.sent_at = now
        else:
            self.finished_at = now
