"""Who asks in the app, and what he is to what he asks about; for who is nothing to it, it does not exist.

Each part of a path that names something has a look-up here, so that no operation can forget it.
Must not know: what the operations do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Request

from actors.domain.command import Command
from actors.errors import NotFound
from cluster.charging import START
from cluster.identity.caller import Caller
from cluster.identity.relation import Holding, HoldingKind, Standing, Tie
from cluster.services import ApiServices
from cluster.store.views import Charge
from serve.access import operation_of
from serve.context import Context, asked, caller


class About(NamedTuple):
    """What a request is about, as far as it was looked up, and what its caller is to it."""

    standing: Standing | None = None
    tie: Tie | None = None
    charge: Charge | None = None
    request: Command | None = None


class AppContext(Context):
    """What one request of an app user needs."""

    def __init__(self, request: Request, asking: Caller, about: About) -> None:
        super().__init__(request, asking)
        self.about = about

    @property
    def tie(self) -> Tie:
        """What the caller is to the station or site of this request; only where its path names one."""
        assert self.about.tie is not None  # noqa: S101 - `allowed` lets nobody in without
        return self.about.tie

    @property
    def charge(self) -> Charge:
        """The charge of this request; only where its path names one."""
        assert self.about.charge is not None  # noqa: S101 - `allowed` lets nobody in without
        return self.about.charge

    @property
    def charge_request(self) -> Command:
        """The charge request of this request; only where its path names one."""
        assert self.about.request is not None  # noqa: S101 - `allowed` lets nobody in without
        return self.about.request


async def _holding(services: ApiServices, asking: Caller, holding: Holding) -> About:
    tie = (await services.sharing.at(asking.subject, [holding])).get(holding)
    if tie is None:
        raise NotFound(f"there is no {holding.kind} {holding.name}")
    return About(tie.relation, tie)


async def _charge(services: ApiServices, asking: Caller, charge_id: str) -> About:
    """Find a charge of the caller's own, or at a station that has been the caller's since before it began."""
    charge = await services.charging.look.charge(charge_id)
    station = Holding("station", charge.station_id)
    tie = (await services.sharing.at(asking.subject, [station])).get(station)
    if charge.subject == asking.subject:
        return About("driver", tie, charge)
    if tie is None or tie.relation == "guest" or charge.began_at < tie.granted_at:
        raise NotFound(f"there is no charge {charge_id}")
    return About(tie.relation, tie, charge)


async def _charge_request(services: ApiServices, asking: Caller, request_id: str) -> About:
    unknown = NotFound(f"there is no charge request {request_id}")
    try:
        command = await services.queries.command(request_id)
    except NotFound:
        raise unknown from None
    if command.requested_by != asking.subject or command.action != START:
        raise unknown
    return About("driver", request=command)


_LOOKUPS: Final[Mapping[str, Callable[[ApiServices, Caller, str], Awaitable[About]]]] = {
    "station_id": lambda services, asking, name: _holding(services, asking, Holding("station", name)),
    "charge_id": _charge,
    "request_id": _charge_request,
}
_KINDS: Final[Mapping[str, HoldingKind]] = {"station": "station", "site": "site"}


async def allowed(request: Request) -> AppContext:
    """Return the context of a request that its caller may make.

    Raises BadToken; NotFound for what its caller is nothing to, as for what does not exist; NotAllowed, StaleLogin.
    """
    context = AppContext(request, await caller(request), About())
    operation = operation_of(request.scope)
    if context.rule(operation).relations is not None:
        context.about = await _look_up(context.services, context.caller, request.path_params)
    context.demand(operation, context.about.standing)
    return context


async def _look_up(services: ApiServices, asking: Caller, parts: Mapping[str, str]) -> About:
    kind, name = _KINDS.get(parts.get("kind", "")), parts.get("name")
    if kind is not None and name is not None:
        return await _holding(services, asking, Holding(kind, name))
    for part, look_up in _LOOKUPS.items():
        if part in parts:
            return await look_up(services, asking, parts[part])
    raise NotFound("there is no such holding")


Asking = Annotated[AppContext, Depends(asked)]
