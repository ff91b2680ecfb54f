"""Commands to a station: give one, wait for its answer if wished, look it up, withdraw it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Request, Response

from actors.domain.command import Command
from actors.errors import NotFound
from serve.auth import Admin, admin, viewer
from serve.pages import Cursor, Limit, PageOut, shown
from serve.services import Services
from serve.stations import must_exist
from serve.wire import CommandAsked, CommandOut

router = APIRouter(prefix="/api/v1/stations/{station_id}/commands", tags=["commands"], dependencies=[Depends(viewer)])


@router.get("", response_model=PageOut[CommandOut])
async def list_commands(
    request: Request, station_id: str, services: Services, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List the station's commands, the newest first."""
    page = await services.queries.commands(station_id, cursor, limit)
    await must_exist(services, station_id, page.items)
    return shown(request, page)


@router.post("", status_code=202, response_model=CommandOut, responses={200: {"model": CommandOut}})
async def give_command(
    station_id: str,
    asked: CommandAsked,
    caller: Admin,
    response: Response,
    services: Services,
    prefer: Annotated[str, Header(description="`wait=N`: answer in place if done in N seconds (RFC 7240).")] = "",
) -> Command:
    """Queue a command. 202 with its Location; 200 when it has finished within `Prefer: wait=N`."""
    now = services.clock()
    deadline_s = asked.deadline_s or services.settings.commands.default_deadline_s
    command = Command(
        services.new_id(),
        station_id,
        asked.action,
        asked.payload,
        created_at=now,
        deadline=now + timedelta(seconds=deadline_s),
        if_offline=asked.if_offline,
        requested_by=caller.subject,
    )
    wait_s = preferred_wait_s(prefer)
    command = await services.chargers.submit(command, min(wait_s or 0, services.settings.api.max_wait_s))
    if wait_s is not None:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    if command.finished:
        response.status_code = 200
    response.headers["Location"] = f"/api/v1/stations/{quote(station_id)}/commands/{command.id}"
    return command


@router.get("/{command_id}", response_model=CommandOut)
async def get_command(station_id: str, command_id: str, services: Services) -> Command:
    """Return one command and what became of it."""
    command = await services.queries.command(command_id)
    if command.station_id != station_id:
        raise NotFound(f"station {station_id} has no command {command_id}")
    return command


@router.delete("/{command_id}", response_model=CommandOut, dependencies=[Depends(admin)])
async def cancel_command(station_id: str, command_id: str, services: Services) -> Command:
    """Withdraw a command that is still queued."""
    return await services.chargers.cancel(station_id, command_id)


def preferred_wait_s(prefer: str) -> int | None:
    """Return the seconds of a Prefer header's `wait`, None without one; what cannot be read is no wish (RFC 7240)."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit() and len(seconds) <= 9:
            return int(seconds)
    return None
