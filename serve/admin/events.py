"""Live events as staff see them."""

from __future__ import annotations

from fastapi import Response
from starlette.websockets import WebSocket

from cluster.bus.subscription import EventFilter
from cluster.identity.caller import Caller
from cluster.services import ApiServices
from serve import access
from serve.context import Asking
from serve.live.asking import ANSWERS, Wish, Wished, checked
from serve.live.handshake import Opened, serve_socket
from serve.live.sse import EventStream
from serve.route import operations

router = operations("", "events")


@router.get("/events", response_class=Response, responses=ANSWERS)
async def watch_events(asking: Asking, wished: Wished) -> EventStream:
    """Return events as they happen; the same address speaks WebSocket."""
    services = asking.services
    opened = await _listen(services, asking.caller, wished)
    services.attendance.join(opened.subscription, asking.token)
    return EventStream(opened.subscription, services.settings.live)


async def socket(websocket: WebSocket) -> None:
    """Serve the same as a WebSocket."""
    await serve_socket(websocket, _listen)


async def _listen(services: ApiServices, caller: Caller, wish: Wish) -> Opened:
    wanted, after = wish
    subscription = await services.live.subscribe(wanted, lambda event: access.staff_sees(caller, event.kind), after)
    return Opened(subscription, _granted)


async def _granted(wanted: EventFilter) -> EventFilter:
    return checked(wanted)
