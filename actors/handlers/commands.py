"""What the platform may ask of a station: the one table of commands, and what their answers mean.

To add a command: a row here (and, for 1.6 stations, a translator in `actors/ocpp/v16_commands.py`), and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.domain.command import Command
from actors.domain.records import ReportedVariable
from actors.ocpp.frames import Json
from actors.turn import Turn, remote_start_id


class Spec(msgspec.Struct, frozen=True):
    """How one command is prepared, judged and used. `success` is empty where the answer has no status."""

    success: frozenset[str] = frozenset({"Accepted", "Scheduled"})
    prepare: Callable[[Command], None] | None = None
    """Completes the payload before it is validated."""
    answered: Callable[[Turn, Command, Json], None] | None = None
    """Takes what the answer tells into the station's state."""
    while_pending: bool = True
    """May be sent before the station is accepted (B02.FR.01, 1.6 4.2)."""


def _give_remote_start_id(command: Command) -> None:
    command.payload.setdefault("remoteStartId", remote_start_id(command.id))


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


_ANY: Final[frozenset[str]] = frozenset()

COMMANDS: Final[dict[str, Spec]] = {
    # B provisioning
    "GetVariables": Spec(success=_ANY, answered=_keep_variables),
    "SetVariables": Spec(success=_ANY),
    "GetBaseReport": Spec(),
    "Reset": Spec(),
    # E, F remote control
    "RequestStartTransaction": Spec(prepare=_give_remote_start_id, while_pending=False),
    "RequestStopTransaction": Spec(while_pending=False),
    "TriggerMessage": Spec(),
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
