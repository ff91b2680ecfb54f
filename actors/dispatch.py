"""The command queue of one charger: one CALL at a time, in order, each with a deadline (OCPP 2.1 part 4, 4.1.1)."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from actors.domain.command import Command, CommandStatus
from actors.domain.events import CommandFinished
from actors.domain.station import Station
from actors.errors import BadRequest, Conflict, FrameFault, NotFound, StationOffline, TooMany
from actors.handlers.commands import COMMANDS
from actors.ocpp import schemas
from actors.ocpp.connection import Answered, Connection, Failed, Outstanding
from actors.ocpp.frames import Json, OcppVersion, pack_result_error
from actors.ocpp.v16_commands import for_version, from_result
from actors.turn import Rules, Turn

_START_WAIT = timedelta(minutes=5)
"""How long an accepted remote start may take to become a transaction."""


class CommandQueue:
    """Unfinished commands of one station. Hard state: every command is a row; soft state: `solicited`, `starting`."""

    __slots__ = ("_commands", "solicited", "starting")

    def __init__(self, commands: list[Command]) -> None:
        self._commands = {command.id: command for command in sorted(commands, key=lambda c: c.created_at)}
        self.solicited: set[str] = set()
        """Actions this platform asked the station for; taken even while it is not accepted (B02.FR.09)."""
        self.starting: list[Command] = []
        """Accepted remote starts whose transaction has not come yet."""

    def __len__(self) -> int:
        return len(self._commands)

    def restore(self, connection: Connection, rules: Rules) -> None:
        """Wait again for the answer to what was sent before this charger was loaded from the database."""
        sent = [c for c in self._commands.values() if c.status == "sent" and c.sent_at is not None]
        for command in sent[-1:]:
            deadline = (command.sent_at or command.created_at) + timedelta(seconds=rules.call_timeout_s)
            connection.outstanding = Outstanding(command.id, command.action, deadline)

    def submit(self, turn: Turn, command: Command) -> None:
        """Queue a command, or refuse it with an error that says why."""
        spec = COMMANDS.get(command.action)
        if spec is None:
            raise BadRequest(f"{command.action} is no command; choose one of {', '.join(sorted(COMMANDS))}")
        if command.id in self._commands:
            return  # the caller repeats itself after a lost reply
        if spec.prepare is not None:
            spec.prepare(command)
        _validate(command, turn.version)
        if spec.check is not None:
            spec.check(command, turn.version)
        if command.if_offline == "fail" and not turn.station.connected:
            raise StationOffline(f"station {turn.station.station_id} is not connected")
        if len(self._commands) >= turn.rules.max_queued_commands:
            raise TooMany(f"{len(self._commands)} commands already wait for station {turn.station.station_id}")
        self._commands[command.id] = command
        turn.save(command)

    def cancel(self, turn: Turn, command_id: str) -> Command:
        """Withdraw a command that has not been sent."""
        command = self._commands.get(command_id)
        if command is None:
            raise NotFound(f"station {turn.station.station_id} has no unfinished command {command_id}")
        if command.status != "queued":
            raise Conflict(f"the command is {command.status} already")
        self._finish(turn, command, "cancelled", None)
        return command

    def send_next(self, turn: Turn, connection: Connection) -> None:
        """Send the oldest command that may go now, if the line is free."""
        if not self._commands or connection.outstanding is not None or not turn.station.connected:
            return
        for command in list(self._commands.values()):
            if command.status != "queued" or not self._may_send(turn.station, turn.rules, command):
                continue
            try:
                action, payload = for_version(command.action, command.payload, connection.version)
            except BadRequest as error:
                self._finish(turn, command, "failed", str(error))
                continue
            deadline = turn.now + timedelta(seconds=turn.rules.call_timeout_s)
            turn.frames.append(connection.call(command.id, action, payload, deadline))
            command.move("sent", turn.now)
            turn.save(command)
            self._solicit(command)
            return

    def settle(self, turn: Turn, event: Answered | Failed, version: OcppVersion) -> None:
        """Take the station's answer to a command, or that there is none."""
        command = self._commands.get(event.call.message_id)
        if command is None:
            return
        if isinstance(event, Failed):
            timed_out = event.code == "TimedOut"
            reason = (
                event.description if timed_out else f"the station refused: {event.code} {event.description}".strip()
            )
            self._finish(turn, command, "timed out" if timed_out else "failed", reason)
            return
        spec = COMMANDS[command.action]
        try:
            answer = _read_answer(command, event.payload, version, turn.rules)
        except FrameFault as fault:
            if version is OcppVersion.V21:
                turn.frames.append(pack_result_error(command.id, fault.code, fault.description))
            self._finish(turn, command, "failed", f"the station's answer breaks the standard: {fault.description}")
            return
        command.response = answer
        if spec.answered is not None:
            spec.answered(turn, command, answer)
        status = str(answer.get("status", ""))
        accepted = not spec.success or status in spec.success
        self._finish(turn, command, "accepted" if accepted else "rejected", None if accepted else status)
        if accepted and command.action == "RequestStartTransaction" and command.transaction is None:
            self.starting.append(command)

    def starts(self) -> list[Command]:
        """Return the remote starts that have no transaction yet; some stations start one before they answer."""
        sent = (c for c in self._commands.values() if c.status == "sent" and c.action == "RequestStartTransaction")
        return [*self.starting, *(command for command in sent if command.transaction is None)]

    def started(self, turn: Turn, command: Command, transaction: str) -> None:
        """Note the transaction, by its platform id, that a remote start has led to."""
        command.transaction = transaction
        if command in self.starting:
            self.starting.remove(command)
        turn.save(command)

    def lost(self, turn: Turn, call: Outstanding) -> None:
        """Close a command whose socket went away before its answer."""
        command = self._commands.get(call.message_id)
        if command is not None:
            self._finish(turn, command, "timed out", "the connection was lost before the station answered")

    def expire(self, turn: Turn) -> None:
        """Close commands whose deadline has passed unsent."""
        for command in list(self._commands.values()):
            if command.status == "queued" and turn.now >= command.deadline:
                self._finish(turn, command, "expired", "the deadline passed before it could be sent")
        self.starting = [c for c in self.starting if c.finished_at and turn.now - c.finished_at < _START_WAIT]

    @property
    def waiting(self) -> bool:
        """Whether a command waits for its turn, its answer, its deadline or its transaction."""
        return bool(self._commands or self.starting)

    def _finish(self, turn: Turn, command: Command, status: CommandStatus, error: str | None) -> None:
        command.move(status, turn.now, error)
        self._commands.pop(command.id, None)
        turn.save(command)
        turn.finished.append(command)
        turn.tell(CommandFinished(command.id, command.action, command.status))

    def _may_send(self, station: Station, rules: Rules, command: Command) -> bool:
        if station.registration == "Rejected":
            # B03.FR.03; asking for a new boot is the one tolerated exception.
            return command.action == "TriggerMessage" and command.payload.get("requestedMessage") == "BootNotification"
        accepted = station.registration == "Accepted" or (station.registration is None and rules.accept_boot)
        return accepted or COMMANDS[command.action].while_pending

    def _solicit(self, command: Command) -> None:
        if command.action == "TriggerMessage":
            self.solicited.add(str(command.payload.get("requestedMessage")))
        elif command.action == "GetBaseReport":
            self.solicited.add("NotifyReport")


def _validate(command: Command, version: OcppVersion) -> None:
    """Check the payload against the 2.x schema of the station's version (2.0.1 where it speaks 1.6)."""
    try:
        payload = msgspec.json.decode(msgspec.json.encode(command.payload), type=dict)
        schema = OcppVersion.V201 if version is OcppVersion.V16 else version
        schemas.check(schema, command.action, payload, strict=True)
    except FrameFault as fault:
        raise BadRequest(f"payload of {command.action}: {fault.description}") from None


def _read_answer(command: Command, payload: Json, version: OcppVersion, rules: Rules) -> Json:
    if version is not OcppVersion.V16:
        schemas.check(version, command.action, payload, answer=True, strict=rules.strict)
        return payload
    action16, _ = for_version(command.action, command.payload, version)
    schemas.check(version, action16, payload, answer=True, strict=rules.strict)
    return from_result(command.action, payload, command.payload)
