"""An exchange of the frame log as one envelope: what came and what went out for it.

Frames hold id tokens, and whatever else a station says. Must not know: SQL, OCPP.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntFlag
from typing import Final

from actors.ports import Exchange
from cluster.vault.vault import Vault

_LENGTH_BYTES: Final = 4


class Holds(IntFlag):
    """Which frames a row of the log has."""

    RECEIVED = 1
    SENT = 2


def sealed_exchange(vault: Vault, exchange: Exchange, seq: int) -> tuple[int, bytes]:
    """Return what an exchange holds, and its envelope."""
    received, sent = exchange.received, exchange.sent
    holds = (received is not None) + 2 * (sent is not None)
    received = received or b""
    frames = len(received).to_bytes(_LENGTH_BYTES, "big") + received + (sent or b"")
    return holds, vault.seal(frames, _place(exchange.station_id, exchange.at, seq))


def opened_frame(vault: Vault, station_id: str, at: datetime, seq: int, sealed: bytes, which: Holds) -> bytes:
    """Return one frame of a stored exchange. Raises SealBroken, KeyMissing."""
    frames = vault.open(sealed, _place(station_id, at, seq))
    end = _LENGTH_BYTES + int.from_bytes(frames[:_LENGTH_BYTES], "big")
    return frames[_LENGTH_BYTES:end] if which is Holds.RECEIVED else frames[end:]


def _place(station_id: str, at: datetime, seq: int) -> str:
    return f"ocpp_frames.exchange\0{station_id}\0{at.timestamp()}\0{seq}"
