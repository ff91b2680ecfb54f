"""Which 1.6 configuration key is meant by a 2.x component and variable.

A key of 1.6 that 2.x does not know, a vendor's own for instance, is the variable of that name of component OCPP16.
Only keys whose values are written alike in both versions are in the table.
"""

from __future__ import annotations

from typing import Any, Final

from actors.errors import BadRequest
from actors.ocpp.frames import Json

COMPONENT_16: Final = "OCPP16"

# (component, variable, instance) -> key (2.0.1 part 2, appendix 3; 1.6 9).
_KEYS: Final[dict[tuple[str, str, str], str]] = {
    ("AlignedDataCtrlr", "Interval", ""): "ClockAlignedDataInterval",
    ("AlignedDataCtrlr", "Measurands", ""): "MeterValuesAlignedData",
    ("AlignedDataCtrlr", "TxEndedMeasurands", ""): "StopTxnAlignedData",
    ("AuthCacheCtrlr", "Enabled", ""): "AuthorizationCacheEnabled",
    ("AuthCtrlr", "AuthorizeRemoteStart", ""): "AuthorizeRemoteTxRequests",
    ("AuthCtrlr", "LocalAuthorizeOffline", ""): "LocalAuthorizeOffline",
    ("AuthCtrlr", "LocalPreAuthorize", ""): "LocalPreAuthorize",
    ("AuthCtrlr", "OfflineTxForUnknownIdEnabled", ""): "AllowOfflineTxForUnknownId",
    ("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables"): "GetConfigurationMaxKeys",
    ("LocalAuthListCtrlr", "Enabled", ""): "LocalAuthListEnabled",
    ("LocalAuthListCtrlr", "ItemsPerMessage", ""): "SendLocalListMaxLength",
    ("OCPPCommCtrlr", "HeartbeatInterval", ""): "HeartbeatInterval",
    ("OCPPCommCtrlr", "MessageAttemptInterval", "TransactionEvent"): "TransactionMessageRetryInterval",
    ("OCPPCommCtrlr", "MessageAttempts", "TransactionEvent"): "TransactionMessageAttempts",
    ("OCPPCommCtrlr", "ResetRetries", ""): "ResetRetries",
    ("OCPPCommCtrlr", "UnlockOnEVSideDisconnect", ""): "UnlockConnectorOnEVSideDisconnect",
    ("OCPPCommCtrlr", "WebSocketPingInterval", ""): "WebSocketPingInterval",
    ("ReservationCtrlr", "NonEvseSpecific", ""): "ReserveConnectorZeroSupported",
    ("SampledDataCtrlr", "TxEndedMeasurands", ""): "StopTxnSampledData",
    ("SampledDataCtrlr", "TxUpdatedInterval", ""): "MeterValueSampleInterval",
    ("SampledDataCtrlr", "TxUpdatedMeasurands", ""): "MeterValuesSampledData",
    ("SecurityCtrlr", "OrganizationName", ""): "CpoName",
    ("SecurityCtrlr", "SecurityProfile", ""): "SecurityProfile",
    ("SmartChargingCtrlr", "PeriodsPerSchedule", ""): "ChargingScheduleMaxPeriods",
    ("SmartChargingCtrlr", "Phases3to1", ""): "ConnectorSwitch3to1PhaseSupported",
    ("SmartChargingCtrlr", "ProfileStackLevel", ""): "ChargeProfileMaxStackLevel",
    ("TxCtrlr", "EVConnectionTimeOut", ""): "ConnectionTimeOut",
    ("TxCtrlr", "MaxEnergyOnInvalidId", ""): "MaxEnergyOnInvalidId",
    ("TxCtrlr", "StopTxOnEVSideDisconnect", ""): "StopTransactionOnEVSideDisconnect",
    ("TxCtrlr", "StopTxOnInvalidId", ""): "StopTransactionOnInvalidId",
}

_VARIABLES: Final = {key.lower(): variable for variable, key in _KEYS.items()}


def variable_of(key: str) -> tuple[str, str, str]:
    """Return component, variable and instance of a 1.6 key; keys go without regard to case (1.6, 9)."""
    return _VARIABLES.get(key.lower(), (COMPONENT_16, key, ""))


def key_of(data: Json) -> str:
    """Return the 1.6 key of a GetVariableData or SetVariableData. Raises BadRequest when there is none."""
    component: Any = data["component"]
    variable: Any = data["variable"]
    attribute = data.get("attributeType", "Actual")
    if attribute != "Actual":
        raise BadRequest(f"attributeType {attribute}: OCPP 1.6 has only the Actual value of a key")
    if "evse" in component or "instance" in component:
        raise BadRequest(f"component {component['name']}: OCPP 1.6 has one value of a key for the whole station")
    name, instance = variable["name"], variable.get("instance", "")
    if component["name"] == COMPONENT_16 and not instance:
        return str(name)
    key = _KEYS.get((component["name"], name, instance))
    if key is None:
        words = f"{component['name']}.{name}" + (f"[{instance}]" if instance else "")
        raise BadRequest(
            f"OCPP 1.6 has no key for {words}; name a key of 1.6 as a variable of component {COMPONENT_16}"
        )
    return key
