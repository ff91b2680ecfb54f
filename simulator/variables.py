"""The device model of a virtual station: 2.x variables, and the 1.6 keys that mean the same.

Must not know: messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from simulator.facts import Row

Name = tuple[str, str, str | None]
"""Component, variable, instance."""


@dataclass(frozen=True)
class Definition:
    """A variable the station has; `key16` is its 1.6 configuration key, `most` the highest integer allowed."""

    component: str
    variable: str
    value: str
    data_type: str = "integer"
    unit: str | None = None
    mutability: str = "ReadWrite"
    instance: str | None = None
    key16: str | None = None
    most: int = 1_000_000
    reboot: bool = False

    @property
    def name(self) -> Name:
        """Return the key of the variable."""
        return self.component, self.variable, self.instance


_RO: Final = "ReadOnly"
HEARTBEAT_INTERVAL: Final = ("OCPPCommCtrlr", "HeartbeatInterval", None)
SAMPLE_INTERVAL: Final = ("SampledDataCtrlr", "TxUpdatedInterval", None)
MESSAGE_ATTEMPTS: Final = ("OCPPCommCtrlr", "MessageAttempts", "TransactionEvent")
MESSAGE_ATTEMPT_INTERVAL: Final = ("OCPPCommCtrlr", "MessageAttemptInterval", "TransactionEvent")
CONNECTION_TIMEOUT: Final = ("TxCtrlr", "EVConnectionTimeOut", None)
STOP_ON_INVALID: Final = ("TxCtrlr", "StopTxOnInvalidId", None)
OFFLINE_UNKNOWN: Final = ("AuthCtrlr", "OfflineTxForUnknownIdEnabled", None)
AUTHORIZE_REMOTE: Final = ("AuthCtrlr", "AuthorizeRemoteStart", None)
BASIC_AUTH_PASSWORD: Final = ("SecurityCtrlr", "BasicAuthPassword", None)
WAIT_MINIMUM: Final = ("OCPPCommCtrlr", "RetryBackOffWaitMinimum", None)
RANDOM_RANGE: Final = ("OCPPCommCtrlr", "RetryBackOffRandomRange", None)
REPEAT_TIMES: Final = ("OCPPCommCtrlr", "RetryBackOffRepeatTimes", None)

_RETRY_KEY_16: Final = "TransactionMessageRetryInterval"

_DEFINITIONS: Final = (
    Definition(*HEARTBEAT_INTERVAL[:2], "300", unit="s", key16="HeartbeatInterval"),
    Definition(*SAMPLE_INTERVAL[:2], "60", unit="s", key16="MeterValueSampleInterval"),
    Definition(*MESSAGE_ATTEMPTS[:2], "3", instance="TransactionEvent", key16="TransactionMessageAttempts"),
    Definition(*MESSAGE_ATTEMPT_INTERVAL[:2], "10", "integer", "s", "ReadWrite", "TransactionEvent", _RETRY_KEY_16),
    Definition(*CONNECTION_TIMEOUT[:2], "120", unit="s", key16="ConnectionTimeOut"),
    Definition(*STOP_ON_INVALID[:2], "true", "boolean", key16="StopTransactionOnInvalidId"),
    Definition(*OFFLINE_UNKNOWN[:2], "true", "boolean", key16="AllowOfflineTxForUnknownId"),
    Definition(*AUTHORIZE_REMOTE[:2], "false", "boolean", key16="AuthorizeRemoteTxRequests"),
    Definition(*BASIC_AUTH_PASSWORD[:2], "", "string", mutability="WriteOnly", key16="AuthorizationKey"),
    Definition(*WAIT_MINIMUM[:2], "2", unit="s"),
    Definition(*RANDOM_RANGE[:2], "3", unit="s"),
    Definition(*REPEAT_TIMES[:2], "4"),
    Definition("OCPPCommCtrlr", "WebSocketPingInterval", "30", unit="s", key16="WebSocketPingInterval", reboot=True),
    Definition("DeviceDataCtrlr", "ItemsPerMessage", "20", mutability=_RO, instance="GetVariables"),
    Definition("DeviceDataCtrlr", "ItemsPerMessage", "20", mutability=_RO, instance="SetVariables"),
    Definition("TxCtrlr", "TxStartPoint", "PowerPathClosed", "MemberList", mutability=_RO),
    Definition("TxCtrlr", "TxStopPoint", "PowerPathClosed", "MemberList", mutability=_RO),
    Definition("SmartChargingCtrlr", "Enabled", "true", "boolean", mutability=_RO),
    Definition("SmartChargingCtrlr", "ProfileStackLevel", "9", mutability=_RO, key16="ChargeProfileMaxStackLevel"),
    Definition("SmartChargingCtrlr", "RateUnit", "A,W", "MemberList", mutability=_RO),
    Definition("SmartChargingCtrlr", "PeriodsPerSchedule", "1024", mutability=_RO, key16="ChargingScheduleMaxPeriods"),
    Definition("SmartChargingCtrlr", "Entries", "100", mutability=_RO, instance="ChargingProfiles"),
)
_KEYS_16: Final = {
    "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
    "MaxChargingProfilesInstalled": "100",
    "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
    "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage,SoC",
}
"""Read-only 1.6 keys without a 2.x twin of the same shape; NumberOfConnectors is added per station."""


@dataclass
class Variables:
    """The values one station holds; `fixed` are read-only variables of its own (model, EVSE count)."""

    connectors: int = 1
    fixed: tuple[Definition, ...] = ()
    _values: dict[Name, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._definitions = {d.name: d for d in (*_DEFINITIONS, *self.fixed)}
        self._components = {d.component for d in self._definitions.values()}
        self._keys = {d.key16: d.name for d in self._definitions.values() if d.key16 is not None}

    def text(self, name: Name) -> str:
        """Return a value the station itself needs."""
        return self._values.get(name, self._definitions[name].value)

    def number(self, name: Name) -> int:
        """Return an integer value."""
        return int(self.text(name))

    def flag(self, name: Name) -> bool:
        """Return a boolean value."""
        return self.text(name).lower() == "true"

    def put(self, name: Name, value: str) -> None:
        """Set a value from inside, unchecked."""
        self._values[name] = value

    def get(self, name: Name) -> tuple[str, str | None]:
        """Return the 2.x GetVariables status and the value."""
        definition = self._definitions.get(name)
        if definition is None:
            return ("UnknownVariable" if name[0] in self._components else "UnknownComponent"), None
        if definition.mutability == "WriteOnly":
            return "Rejected", None
        return "Accepted", self.text(name)

    def set(self, name: Name, value: str) -> str:
        """Change a value as a CSMS asks; return the 2.x SetVariables status."""
        definition = self._definitions.get(name)
        if definition is None:
            return "UnknownVariable" if name[0] in self._components else "UnknownComponent"
        if definition.mutability == _RO or not _fits(definition, value):
            return "Rejected"
        self._values[name] = value
        return "RebootRequired" if definition.reboot else "Accepted"

    def rows(self) -> list[Row]:
        """Return everything for a report."""
        return [
            Row(
                d.component,
                d.variable,
                d.instance,
                None if d.mutability == "WriteOnly" else self.text(d.name),
                d.mutability,
                d.data_type,
                d.unit,
            )
            for d in self._definitions.values()
        ]

    def name_of(self, key16: str) -> Name | None:
        """Return the variable behind a 1.6 key."""
        return self._keys.get(key16)

    def keys16(self) -> dict[str, tuple[str | None, bool]]:
        """Return every 1.6 key with its value and whether it is read-only."""
        keys: dict[str, tuple[str | None, bool]] = {}
        for key, name in self._keys.items():
            keys[key] = self.get(name)[1], self._definitions[name].mutability == _RO
        keys.update({key: (value, True) for key, value in _KEYS_16.items()})
        keys["NumberOfConnectors"] = str(self.connectors), True
        return keys


def _fits(definition: Definition, value: str) -> bool:
    match definition.data_type:
        case "integer":
            return value.isdecimal() and int(value) <= definition.most
        case "boolean":
            return value.lower() in ("true", "false")
    return len(value) <= 64 if definition.variable == "BasicAuthPassword" else True
