"""Live events as app users see them: of what is theirs, for as long as it is."""

from __future__ import annotations

from functools import partial

from fastapi import Response
from starlette.websockets import WebSocket

from cluster.bus.subscription import EventFilter
from cluster.identity.caller import Caller
from cluster.onlookers import Onlooker
from cluster.services import ApiServices
from serve import access
from serve.app.asking import Asking
from serve.live.asking import ANSWERS, Wish, Wished, checked
from serve.live.handshake import Opened, serve_socket
from serve.live.sse import EventStream
from serve.route import operations

router = operations("", "events")


@router.get("/events", response_class=Response, responses={**ANSWERS, 404: {}})
async def watch_events(asking: Asking, wished: Wished) -> EventStream:
    """Return events as they happen; the same address speaks WebSocket. 404 for what is not the caller's."""
    services = asking.services
    opened = await _listen(services, asking.caller, wished)
    services.attendance.join(opened.subscription, asking.token)
    return EventStream(opened.subscription, services.settings.live)


async def socket(websocket: WebSocket) -> None:
    """Serve the same as a WebSocket."""
    await serve_socket(websocket, _listen)


async def _listen(services: ApiServices, caller: Caller, wish: Wish) -> Opened:
    onlookers, (wanted, after) = services.onlookers, wish
    onlooker = await onlookers.admit(caller.subject, access.app_user_sees, wanted)
    subscription = await services.live.subscribe(wanted, onlooker.allows, after, onlooker.reach, onlooker.screen)
    onlookers.join(onlooker, subscription)
    return Opened(subscription, partial(_granted, services, onlooker))


async def _granted(services: ApiServices, onlooker: Onlooker, wanted: EventFilter) -> EventFilter:
    return await services.onlookers.refilter(onlooker, checked(wanted))
