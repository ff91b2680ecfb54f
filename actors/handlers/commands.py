"""What the platform may ask of a station: the one table of commands, and what their answers mean.

To add a command: a row here (and, for 1.6 stations, a translator in `actors/ocpp/v16_commands.py`), and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.domain.command import Command
from actors.domain.records import ReportedVariable
from actors.errors import BadRequest
from actors.ocpp.frames import Json, OcppVersion
from actors.ocpp.v16_keys import variable_of
from actors.turn import Turn, remote_start_id


class Spec(msgspec.Struct, frozen=True):
    """How one command is prepared, judged and used. `success` is empty where the answer has no status."""

    success: frozenset[str] = frozenset({"Accepted", "Scheduled"})
    prepare: Callable[[Command], None] | None = None
    """Completes the payload before it is validated."""
    check: Callable[[Command, OcppVersion], None] | None = None
    """Raises BadRequest for a valid payload that the standard forbids all the same."""
    answered: Callable[[Turn, Command, Json], None] | None = None
    """Takes what the answer tells into the station's state."""
    while_pending: bool = True
    """May be sent before the station is accepted (B02.FR.01, 1.6 4.2)."""


def _give_remote_start_id(command: Command) -> None:
    command.payload.setdefault("remoteStartId", remote_start_id(command.id))


def _name_the_connector(command: Command, version: OcppVersion) -> None:
    """Ask for the status of one connector (F06.FR.13); 1.6 may be asked for that of all."""
    payload = command.payload
    evse = payload.get("evse")
    named = isinstance(evse, dict) and "connectorId" in evse
    if payload["requestedMessage"] == "StatusNotification" and not named and version is not OcppVersion.V16:
        raise BadRequest("payload of TriggerMessage: a StatusNotification is asked of one connector; give its evse")


def _keep_variables(turn: Turn, _command: Command, answer: Json) -> None:
    results: Any = answer.get("getVariableResult", [])
    for result in results:
        if result.get("attributeStatus") != "Accepted":
            continue
        component, variable = result["component"], result["variable"]
        turn.rows.append(
            ReportedVariable(
                station_id=turn.station.station_id,
                component=component["name"],
                component_instance=component.get("instance", ""),
                evse_id=component.get("evse", {}).get("id", 0),
                variable=variable["name"],
                variable_instance=variable.get("instance", ""),
                attribute=result.get("attributeType", "Actual"),
                value=result.get("attributeValue"),
                mutability="",
                reported_at=turn.now,
            )
        )


def _keep_inventory(turn: Turn, _command: Command, answer: Json) -> None:
    """Keep the configuration keys of a 1.6 station, which come with its answer; later versions report afterwards."""
    told: Any = answer.get("customData", {})
    for entry in told.get("configurationKey", []):
        component, variable, instance = variable_of(entry["key"])
        turn.rows.append(
            ReportedVariable(
                station_id=turn.station.station_id,
                component=component,
                component_instance="",
                evse_id=0,
                variable=variable,
                variable_instance=instance,
                attribute="Actual",
                value=entry.get("value"),
                mutability="ReadOnly" if entry["readonly"] else "ReadWrite",
                reported_at=turn.now,
            )
        )


_ANY: Final[frozenset[str]] = frozenset()

COMMANDS: Final[dict[str, Spec]] = {
    # B provisioning
    "GetVariables": Spec(success=_ANY, answered=_keep_variables),
    "SetVariables": Spec(success=_ANY),
    "GetBaseReport": Spec(answered=_keep_inventory),
    "Reset": Spec(),
    # E, F remote control
    "RequestStartTransaction": Spec(prepare=_give_remote_start_id, while_pending=False),
    "RequestStopTransaction": Spec(while_pending=False),
    "TriggerMessage": Spec(check=_name_the_connector),
    "UnlockConnector": Spec(success=frozenset({"Unlocked"})),
    # G availability
    "ChangeAvailability": Spec(),
    # K smart charging
    "SetChargingProfile": Spec(),
    "ClearChargingProfile": Spec(),
    "GetCompositeSchedule": Spec(),
    # P data transfer
    "DataTransfer": Spec(),
}
