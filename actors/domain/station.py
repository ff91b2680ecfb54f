"""A charging station as the platform remembers it: identity, registration, connection, connectors."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final, Literal

import msgspec

Registration = Literal["Accepted", "Pending", "Rejected"]

MAX_VIOLATIONS: Final = 50


class ConnectorState(msgspec.Struct):
    """The last known state of a connector; `vendor_status` is the finer 1.6 word."""

    status: str
    at: datetime
    vendor_status: str | None = None
    error_code: str | None = None


class Station(msgspec.Struct):
    """The hard state of a station, one row of the database. It outlives sockets, hosts and restarts.

    `admission` and `validation` are an admin's choice for this station and override the platform's rules.
    """

    station_id: str
    vendor_name: str = ""
    model: str = ""
    serial_number: str | None = None
    firmware_version: str | None = None
    ocpp_version: str | None = None
    registration: Registration | None = None
    admission: Registration | None = None
    validation: Literal["tolerant", "strict"] | None = None
    password_digest: str | None = None
    site_id: str | None = None
    boot_reason: str | None = None
    booted_at: datetime | None = None
    conn_epoch: int = 0
    gateway_id: str | None = None
    connected_at: datetime | None = None
    disconnected_at: datetime | None = None
    last_seen_at: datetime | None = None
    next_transaction_id: int = 1
    connectors: dict[str, ConnectorState] = {}
    violations: dict[str, int] = {}

    @property
    def connected(self) -> bool:
        """Whether a gateway holds a socket of this station."""
        return self.gateway_id is not None

    def record_violation(self, action: str, keyword: str, path: str) -> bool:
        """Count a forgiven violation; tell whether it is worth writing now (new, or its count has doubled)."""
        key = f"{action} {path} {keyword}"
        if key not in self.violations and len(self.violations) >= MAX_VIOLATIONS:
            return False
        count = self.violations[key] = self.violations.get(key, 0) + 1
        return count & (count - 1) == 0


_DECISIONS: Final = ("admission", "validation", "password_digest", "site_id")


class Configuration(msgspec.Struct, frozen=True):
    """What an admin decides about a station; what is UNSET stays as it is."""

    admission: Registration | msgspec.UnsetType | None = msgspec.UNSET
    validation: Literal["tolerant", "strict"] | msgspec.UnsetType | None = msgspec.UNSET
    password_digest: str | msgspec.UnsetType | None = msgspec.UNSET
    site_id: str | msgspec.UnsetType | None = msgspec.UNSET
    expected: str | None = None
    """The `decided` tag that the station must still have; None takes any."""

    def apply(self, station: Station) -> None:
        """Write the decisions into `station`."""
        for field in _DECISIONS:
            value = getattr(self, field)
            if value is not msgspec.UNSET:
                setattr(station, field, value)

    def registered(self, station: Station) -> bool:
        """Tell whether `station` is decided upon as one that was registered with just this."""
        fresh = Station(station.station_id)
        self.apply(fresh)
        return all(getattr(station, field) == getattr(fresh, field) for field in _DECISIONS)

    def applied(self, station: Station) -> bool:
        """Tell whether these decisions are in force at `station`."""
        return all(getattr(self, field) in (msgspec.UNSET, getattr(station, field)) for field in _DECISIONS)


def decided(station: Station) -> str:
    """Return a tag that is another one whenever a decision about the station is another one, but for its password."""
    decisions = (station.station_id, station.admission, station.validation, station.site_id)
    return hashlib.blake2b(msgspec.json.encode(decisions), digest_size=12).hexdigest()


def connector_key(evse_id: int, connector_id: int) -> str:
    """Name a connector inside its station: `evse/connector`; 0 stands for the whole above it."""
    return f"{evse_id}/{connector_id}"
