"""What app users do at stations: begin to charge, end it, and look at what they have charged.

Who is what to a station is decided before (`cluster.sharing`). A person charges with an id token of his own that the
platform makes at first use and that nobody is shown. Must not know: SQL, HTTP, OCPP's wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from actors.domain.command import Command
from actors.domain.station import Station
from actors.domain.use import Hindrance, hindrance, occupies
from actors.errors import Conflict, NotFound
from cluster.identity.caller import Caller
from cluster.identity.relation import Exhausted, Holding, Tie, Use, allowance_wh, exhausted
from cluster.store.views import Charge, Page, StationDetail

_LOOK_EVERY_S: Final = 0.25
START: Final = "RequestStartTransaction"
STOP: Final = "RequestStopTransaction"


class ChargeQueries(Protocol):
    """What app users may look at. Everything raises Unavailable, and BadRequest for a bad cursor or value."""

    async def ties_of(self, subject: str, cursor: str | None = None, limit: int = 100) -> Page[Tie]:
        """List what somebody has relations to, in force or not."""

    async def stations_of(
        self, subject: str, now: datetime, cursor: str | None = None, limit: int = 100
    ) -> Page[Station]:
        """List the stations that somebody has a relation to that is in force, by id; without passwords."""

    async def charges(
        self,
        subject: str | None = None,
        station_id: str | None = None,
        began_from: datetime | None = None,
        is_open: bool | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Charge]:
        """List charges of a person, at a station, or both, the newest first."""

    async def charge(self, charge_id: str) -> Charge:
        """Return one charge. Raises NotFound."""

    async def used(self, subject: str, holding: Holding, since: datetime, now: datetime) -> Use:
        """Return what somebody has charged at a holding since then, with starts that may still become charges."""


class Drivers(Protocol):
    """The id tokens that app users charge with."""

    async def id_token(self, subject: str) -> str:
        """Return somebody's id token, registered as one that may charge. Raises Unavailable."""


class StationLookup(Protocol):
    """What is known of stations and of what was asked of them."""

    async def station(self, station_id: str) -> StationDetail:
        """Return one station with what charges at it. Raises NotFound, Unavailable."""

    async def command(self, command_id: str) -> Command:
        """Return one command. Raises NotFound, Unavailable."""


class Commander(Protocol):
    """Who gives commands to stations."""

    async def submit(self, command: Command, wait_s: float = 0.0, again: bool = False) -> Command:
        """Queue a command; return it finished if it finishes in time. `again`: it may have been executed before."""


class Charging:
    """Charges of app users at stations."""

    def __init__(
        self,
        look: ChargeQueries,
        stations: StationLookup,
        chargers: Commander,
        drivers: Drivers,
        clock: Callable[[], datetime],
        start_within: timedelta,
    ) -> None:
        self.look = look
        self._stations = stations
        self._chargers = chargers
        self._drivers = drivers
        self._clock = clock
        self._start_within = start_within

    async def used(self, tie: Tie) -> Use:
        """Return what has been taken of a guest's limits; nothing is looked up where there are none."""
        if not tie.terms.limits:
            return Use()
        return await self.look.used(tie.subject, tie.holding, tie.granted_at, self._clock())

    async def start(
        self,
        caller: Caller,
        tie: Tie,
        station_id: str,
        request_id: str,
        evse_id: int,
        connector_id: int | None = None,
        wait_s: float = 0.0,
        again: bool = False,
    ) -> Command:
        """Ask a station to begin a charge; wait for its transaction up to `wait_s`.

        `tie` is what the caller is to the station; `again` tells that an earlier call with the same `request_id` may
        have been executed. Raises Conflict when it cannot be now, and what `ChargerDirectory.submit` raises.
        """
        waiting_until = asyncio.get_running_loop().time() + wait_s
        command = await self._earlier(request_id) if again else None
        if command is None:
            command = await self._start(caller, tie, station_id, request_id, evse_id, connector_id)
            command = await self._chargers.submit(command, wait_s, again)
        while command.status in ("queued", "sent", "accepted") and command.transaction is None:
            left_s = waiting_until - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await asyncio.sleep(min(left_s, _LOOK_EVERY_S))
            command = await self._stations.command(request_id)
        return command

    async def _start(
        self, caller: Caller, tie: Tie, station_id: str, request_id: str, evse_id: int, connector_id: int | None
    ) -> Command:
        """Return the command that begins a charge. Raises Conflict when it cannot be now."""
        detail, used, now = await self._stations.station(station_id), await self.used(tie), self._clock()
        refusal = may_start(detail, tie, used, now, evse_id, connector_id)
        if refusal is not None:
            raise Conflict(f"EVSE {evse_id} cannot be used now: {refusal}")
        return Command(
            request_id,
            station_id,
            START,
            {
                "evseId": evse_id,
                "idToken": {"idToken": await self._drivers.id_token(caller.subject), "type": "Central"},
            },
            created_at=now,
            deadline=now + self._start_within,
            if_offline="fail",
            requested_by=caller.subject,
            energy_limit_wh=allowance_wh(tie.terms, used),
        )

    async def stop(
        self, caller: Caller, charge: Charge, request_id: str, wait_s: float = 0.0, again: bool = False
    ) -> Command:
        """Ask a station to end a charge; `again` as in `start`.

        Raises Conflict for one that has ended, and what `submit` raises.
        """
        if again and (earlier := await self._earlier(request_id)) is not None and earlier.finished:
            return earlier
        if charge.ended_at is not None:
            raise Conflict("this charge has ended already")
        now = self._clock()
        command = Command(
            request_id,
            charge.station_id,
            STOP,
            {"transactionId": charge.transaction_id},
            created_at=now,
            deadline=now + self._start_within,
            if_offline="fail",
            requested_by=caller.subject,
        )
        return await self._chargers.submit(command, wait_s, again)

    async def _earlier(self, request_id: str) -> Command | None:
        """Return what an earlier call with this id has asked for, if it got that far."""
        try:
            return await self._stations.command(request_id)
        except NotFound:
            return None


def may_start(
    detail: StationDetail, tie: Tie, used: Use, now: datetime, evse_id: int, connector_id: int | None
) -> Hindrance | Exhausted | None:
    """Return why somebody cannot begin a charge at a connector now, or None if he can."""
    charging = {
        charge.evse_id
        for charge in detail.open_transactions
        if charge.evse_id is not None and occupies(charge.id_token, charge.charging_state)
    }
    return exhausted(tie.terms, used, now) or hindrance(detail.station, evse_id, connector_id, charging)
