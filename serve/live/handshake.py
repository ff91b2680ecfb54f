"""Opens a WebSocket of live events: who asks, whether they may, and what they want, before anything is accepted.

Browsers send no Authorization with a WebSocket. They offer two subprotocols instead, of which the first is spoken and
the second carries the token: `new WebSocket(url, ["cloudbay.events.v1", "bearer." + token])`. Neither an address nor a
log has the token then, and no cookie speaks for anybody, so another site's page cannot listen in its reader's name.
Source: RFC 6455 sections 1.9 and 11.3.4. Must not know: what the caller may see.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, NamedTuple

from starlette.websockets import WebSocket

from actors.errors import CloudBayError
from cluster.bus.subscription import EventFilter, Subscription
from cluster.identity.caller import Caller
from cluster.identity.errors import BadToken
from cluster.services import ApiServices
from serve.access import Rule
from serve.context import EVENTS
from serve.live.asking import Wish, wish_of
from serve.live.socket import EventSocket
from serve.problems import problem_of

SUBPROTOCOL: Final = "cloudbay.events.v1"
_BEARER: Final = "bearer."


class Opened(NamedTuple):
    """What a listener has got, and who says what else it may have."""

    subscription: Subscription
    refilter: Callable[[EventFilter], Awaitable[EventFilter]]


Listen = Callable[[ApiServices, Caller, Wish], Awaitable[Opened]]


async def serve_socket(websocket: WebSocket, listen: Listen) -> None:
    """Serve a WebSocket, or refuse it with a problem."""
    services: ApiServices = websocket.app.state.services
    rule: Rule = websocket.app.state.access[EVENTS]
    token = ""
    try:
        token, subprotocol = _offered(websocket)
        caller = await services.callers.identify(token)
        rule.demand(caller, None, services.clock(), timedelta(seconds=services.settings.api.fresh_login_s))
        opened = await listen(services, caller, wish_of(websocket.query_params))
    except CloudBayError as error:
        await websocket.send_denial_response(problem_of(error, websocket.state.request_id, has_token=bool(token)))
        return
    services.attendance.join(opened.subscription, token)
    await EventSocket(websocket, opened.subscription, services.settings.live, opened.refilter).serve(subprotocol)


def _offered(websocket: WebSocket) -> tuple[str, str | None]:
    """Return the token that a handshake carries, and the subprotocol to answer with. Raises BadToken."""
    offered: list[str] = websocket.scope.get("subprotocols", [])
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip(), subprotocol
    carried = [each.removeprefix(_BEARER) for each in offered if each.startswith(_BEARER)]
    if len(carried) != 1 or subprotocol is None:
        raise BadToken(f"a bearer token is needed, as Authorization or among subprotocols beside {SUBPROTOCOL}")
    return carried[0], subprotocol
