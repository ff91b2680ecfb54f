"""What a station has to say, in words of no protocol version; a dialect makes CALLs of it.

Must not know: JSON, versions, queues.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class IdToken:
    """A token as 2.x has it; 1.6 knows only the text."""

    text: str
    type: str = "ISO14443"


@dataclass
class Transaction:
    """One transaction; `csms_id` is the number a 1.6 CSMS gave it."""

    id: str
    evse_id: int
    started_at: datetime
    id_token: IdToken
    next_sample_at: datetime
    charging_state: str = "EVConnected"
    remote_start_id: int | None = None
    next_seq_no: int = 0
    csms_id: int | None = None

    def take_seq_no(self) -> int:
        """Return the seqNo of the next event."""
        self.next_seq_no += 1
        return self.next_seq_no - 1


@dataclass(frozen=True)
class Sample:
    """What the meter shows: register in Wh, power in W, current in A per used phase, voltage in V, SoC in percent."""

    at: datetime
    context: str
    energy_wh: float
    power_w: float
    current_a: float
    voltage_v: float
    phases: int
    soc_percent: float | None


@dataclass(frozen=True)
class Booted:
    """The station has started."""

    reason: str


@dataclass(frozen=True)
class Alive:
    """Nothing happened for a heartbeat interval."""


@dataclass(frozen=True)
class StatusChanged:
    """A connector has a new status, in the dialect's own words; EVSE 0 is the station itself."""

    at: datetime
    evse_id: int
    status: str


@dataclass(frozen=True)
class TokenPresented:
    """Somebody wants to charge."""

    evse_id: int
    id_token: IdToken


@dataclass(frozen=True)
class TransactionChanged:
    """A transaction event: `kind` is Started, Updated or Ended, the rest in words of 2.x."""

    kind: str
    at: datetime
    trigger: str
    seq_no: int
    transaction: Transaction
    charging_state: str
    offline: bool
    sample: Sample | None = None
    id_token: IdToken | None = None
    stopped_reason: str | None = None


@dataclass(frozen=True)
class Metered:
    """A reading that was asked for, outside the rhythm of a transaction."""

    evse_id: int
    sample: Sample
    transaction: Transaction | None = None


@dataclass(frozen=True)
class Reported:
    """One part of a device-model report (2.x)."""

    request_id: int
    seq_no: int
    at: datetime
    rows: tuple[Row, ...]
    more: bool


@dataclass(frozen=True)
class Row:
    """One variable in a report; a write-only one has no value."""

    component: str
    variable: str
    instance: str | None
    value: str | None
    mutability: str
    data_type: str
    unit: str | None


@dataclass(frozen=True)
class Reply:
    """What a CSMS answered, of interest to the station; `status` is a registration or an authorization status."""

    status: str = "Accepted"
    interval_s: int = 0
    csms_id: int | None = None


Fact = Booted | Alive | StatusChanged | TokenPresented | TransactionChanged | Metered | Reported
