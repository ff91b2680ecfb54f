"""What a CSMS may order a station to do, in 2.x words; both dialects end here.

Must not know: JSON, how an order is spelt in a version.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from simulator import variables as names
from simulator.evse import Evse
from simulator.facts import Alive, Booted, Fact, IdToken, Metered, Reported
from simulator.profiles import TX, ChargingProfile, Outlet
from simulator.station import Restart, VirtualStation

_ROWS_PER_REPORT: Final = 10


def request_start(
    station: VirtualStation,
    evse_id: int | None,
    id_token: IdToken,
    remote_start_id: int | None,
    profile: ChargingProfile | None,
) -> bool:
    """Start a transaction as soon as there is a car; False when no EVSE is free (F01, F02)."""
    evse = _free_evse(station, evse_id)
    if evse is None or (profile is not None and profile.purpose != TX):
        return False
    evse.remote_start_id, evse.remote_profile = remote_start_id, profile
    if station.variables.flag(names.AUTHORIZE_REMOTE):
        station.ask_about(evse, id_token, "RemoteStart")
    else:
        station.charging.authorize(evse, id_token, "RemoteStart")
    return True


def _free_evse(station: VirtualStation, evse_id: int | None) -> Evse | None:
    evses = station.charging.evses
    wanted = list(evses.values()) if evse_id is None else [evses[evse_id]] if evse_id in evses else []
    free = [evse for evse in wanted if evse.transaction is None and evse.operative and evse.authorized is None]
    return next((evse for evse in free if evse.car is not None), free[0] if free else None)


def request_stop(station: VirtualStation, transaction_id: str | int) -> bool:
    """Stop the transaction with this id (a number is the id a 1.6 CSMS gave it)."""
    for evse in station.charging.evses.values():
        if evse.transaction is not None and transaction_id in (evse.transaction.id, evse.transaction.csms_id):
            station.charging.end_transaction(evse, "RemoteStop", "Remote")
            return True
    return False


def reset(station: VirtualStation, *, when_idle: bool, evse_id: int | None, reason: str) -> str:
    """Reboot the station, or end what one EVSE does; returns Accepted, Scheduled or Rejected (B11, B12)."""
    evses = station.charging.evses
    if evse_id is not None and evse_id not in evses:
        return "Rejected"
    if when_idle and station.charging.transactions():
        station.reset_when_idle = True
        return "Scheduled"
    for evse in evses.values() if evse_id is None else [evses[evse_id]]:
        station.charging.end_transaction(evse, "ResetCommand", reason)
    if evse_id is None:
        station.restart_now(Restart.REBOOT)
    return "Accepted"


def change_availability(station: VirtualStation, evse_id: int, *, operative: bool) -> str:
    """Set an EVSE (0: all) in or out of service; Scheduled while a transaction goes on (G03)."""
    evses = station.charging.evses
    if evse_id != 0 and evse_id not in evses:
        return "Rejected"
    chosen = list(evses.values()) if evse_id == 0 else [evses[evse_id]]
    for evse in chosen:
        evse.wanted_operative = operative
    return "Scheduled" if not operative and any(evse.transaction is not None for evse in chosen) else "Accepted"


def unlock(station: VirtualStation, evse_id: int) -> str:
    """Release the cable; a transaction is not stopped by it (F05)."""
    evse = station.charging.evses.get(evse_id)
    if evse is None:
        return "UnknownConnector"
    return "OngoingAuthorizedTransaction" if evse.transaction is not None else "Unlocked"


def trigger(station: VirtualStation, message: str, evse_id: int | None) -> str:
    """Send a message on request, in 2.x words; returns Accepted, Rejected or NotImplemented (F06)."""
    evses = station.charging.evses
    if evse_id is not None and evse_id not in evses:
        return "Rejected"
    chosen = list(evses.values()) if evse_id is None else [evses[evse_id]]
    facts: list[Fact]
    match message:
        case "BootNotification":
            if station.registered:
                return "Rejected"  # F06.FR.17
            facts = [Booted("Triggered")]
        case "Heartbeat":
            facts = [Alive()]
        case "StatusNotification":
            facts = [station.status_of(evse) for evse in chosen]
        case "MeterValues":
            now = station.charging.now
            facts = [Metered(evse.id, evse.sample(now, "Trigger"), evse.transaction) for evse in chosen]
        case "TransactionEvent":
            if not station.charging.trigger_updates(chosen):
                return "Rejected"
            return "Accepted"
        case _:
            return "NotImplemented"
    for fact in facts:
        station.outbox.put(fact, triggered=True)
    return "Accepted"


def report(station: VirtualStation, request_id: int) -> None:
    """Send the whole device model in parts (B07)."""
    rows = station.variables.rows()
    starts = range(0, len(rows), _ROWS_PER_REPORT)
    for seq_no, start in enumerate(starts):
        part = tuple(rows[start : start + _ROWS_PER_REPORT])
        more = start + _ROWS_PER_REPORT < len(rows)
        station.outbox.put(Reported(request_id, seq_no, station.charging.now, part, more), triggered=True)


def set_profile(station: VirtualStation, profile: ChargingProfile) -> str | None:
    """Install a charging profile; returns why it is refused, or None (K01)."""
    evse = station.charging.evses.get(profile.evse_id)
    if profile.evse_id != 0 and evse is None:
        return f"UnknownEvse: there is no EVSE {profile.evse_id}"
    transaction = evse.transaction if evse is not None else None
    return station.charging.profiles.set(profile, transaction.id if transaction is not None else None)


def composite_schedule(
    station: VirtualStation, evse_id: int, duration_s: int, unit: str
) -> tuple[datetime, list[tuple[int, float]]] | None:
    """Return start and (seconds, limit in `unit`) of what an EVSE (0: the station) expects to draw; None if unknown."""
    evses = station.charging.evses
    if (evse_id != 0 and evse_id not in evses) or unit not in ("A", "W"):
        return None
    chosen = list(evses.values()) if evse_id == 0 else [evses[evse_id]]
    now = station.charging.now
    outlets = [
        Outlet(evse.id, evse.usable_feed(), evse.transaction.started_at if evse.transaction else None)
        for evse in chosen
    ]
    periods = station.charging.profiles.composite(outlets, now, duration_s)
    feed = outlets[0].feed
    volts = 1.0 if unit == "W" else feed.volts * feed.phases
    # Rounded down to the one decimal the field holds, so that the reported limit is never above the real one.
    return now, [(start_s, int(limit_w / volts * 10 + 1e-6) / 10) for start_s, limit_w in periods]


def change_password(station: VirtualStation, password: str) -> None:
    """Use a new Basic auth password from the next connection on, which is made at once (A01)."""
    station.variables.put(names.BASIC_AUTH_PASSWORD, password)
    station.restart_now(Restart.RECONNECT)
