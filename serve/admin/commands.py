"""Commands to a station: give one, wait for its answer if wished, look it up, withdraw it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec
from fastapi import Header, Response

from actors.domain.command import Command
from actors.errors import NotFound
from serve.admin.stations import must_exist
from serve.admin.wire import CommandAsked, CommandOut
from serve.context import Asking, Context
from serve.hal import ListOf, present
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.preferences import preferred_wait_s
from serve.route import operations

router = operations("/stations/{station_id}/commands", "commands")

_ALL = "GET /stations/{station_id}/commands"
_WAIT = "`wait=N`: answer in place if done in N seconds (RFC 7240)."
_ONE = "GET /stations/{station_id}/commands/{command_id}"


@router.get("", response_model=ListOf[CommandOut])
async def list_commands(station_id: str, asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> object:
    """List the station's commands, the newest first."""
    page = await asking.services.queries.commands(station_id, cursor, limit)
    await must_exist(asking.services, station_id, page.items)
    form = asking.form(
        "POST /stations/{station_id}/commands", "Send a command", {"station_id": station_id}, body=CommandAsked
    )
    return listed(asking, "cb:command", page, lambda command: _shown(asking, command), {"command": form})


@router.post(
    "", status_code=202, response_model=CommandOut, responses={200: {"model": CommandOut}}, dependencies=[Once]
)
async def give_command(
    station_id: str,
    asked: CommandAsked,
    asking: Asking,
    response: Response,
    prefer: Annotated[str, Header(alias="Prefer", description=_WAIT)] = "",
) -> dict[str, object]:
    """Queue a command. 202 with its Location; 200 when it has finished within `Prefer: wait=N`."""
    services, now = asking.services, asking.services.clock()
    deadline_s = asked.deadline_s or services.settings.commands.default_deadline_s
    command = Command(
        asking.id_of("command"),
        station_id,
        asked.action,
        asked.payload,
        created_at=now,
        deadline=now + timedelta(seconds=deadline_s),
        if_offline=asked.if_offline,
        requested_by=asking.caller.subject,
    )
    wait_s = preferred_wait_s(prefer)
    command = await services.chargers.submit(command, min(wait_s or 0, services.settings.api.max_wait_s), asking.again)
    if wait_s is not None:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    if command.finished:
        response.status_code = 200
    response.headers["Location"] = asking.href(
        "/stations/{station_id}/commands/{command_id}", {"station_id": station_id, "command_id": command.id}
    )
    return _shown(asking, command)


@router.get("/{command_id}", response_model=CommandOut)
async def get_command(station_id: str, command_id: str, asking: Asking) -> dict[str, object]:
    """Return one command and what became of it."""
    command = await asking.services.queries.command(command_id)
    if command.station_id != station_id:
        raise NotFound(f"station {station_id} has no command {command_id}")
    return _shown(asking, command)


@router.delete("/{command_id}", response_model=CommandOut)
async def cancel_command(station_id: str, command_id: str, asking: Asking) -> dict[str, object]:
    """Withdraw a command that is still queued."""
    return _shown(asking, await asking.services.chargers.cancel(station_id, command_id))


def _shown(asking: Context, command: Command) -> dict[str, object]:
    at = {"station_id": command.station_id, "command_id": command.id}
    links = {"self": asking.link(_ONE, at), "up": asking.link(_ALL, {"station_id": command.station_id})}
    if command.transaction is not None:
        links["cb:transaction"] = asking.link(
            "GET /transactions/{transaction_id}", {"transaction_id": command.transaction}
        )
    cancel = asking.form("DELETE /stations/{station_id}/commands/{command_id}", "Withdraw it", at)
    return {
        **msgspec.structs.asdict(command),
        "links": {"curies": asking.curies, **present(links)},
        "templates": present({"cancel": cancel if command.status == "queued" else None}),
    }
