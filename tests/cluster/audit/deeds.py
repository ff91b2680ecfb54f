"""Entries of the audit log for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cluster.audit.entry import Entry, Origin, Outcome, Target, make_entry
from cluster.identity.caller import Caller

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ANN = Caller("ann", "https://id.example", frozenset({"operator", "admin"}), logged_in_at=NOON, session_id="s-1")


def deed(number: int, caller: Caller | None = ANN, station_id: str = "CP-1", action: str = "station.change") -> Entry:
    """Return the entry of the nth deed; one a second."""
    return make_entry(
        f"deed-{number}",
        NOON + timedelta(seconds=number),
        caller,
        action,
        Target("station", station_id),
        Origin("192.0.2.7", "curl/8", f"req-{number}"),
        Outcome(200),
        {"number": number},
    )
