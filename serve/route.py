"""How an operation is served: first its guard, then its endpoint.

FastAPI looks through every request for bodies, queries, headers and dependencies, and goes over an answer three times.
A plain GET has none of them: parts of its path and who asks are all that its endpoint takes. It is served without the
search, which takes longer than the endpoint (benchmarks/README.md); FastAPI still describes it.
Must not know: which operations there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, get_type_hints

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from serve.context import Context
from serve.hal import HalResponse

Plain = Callable[[Request, Context], Awaitable[Response]]

_ASKING: Final = "asking"
_GIVEN_BACK: Final = "return"


class Guarded(APIRoute):
    """A route that nobody passes whom the guard of the application does not let in."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._serve = plain(self)
        self._begins, self._has_parts, _ = self.path.partition("{")

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what serves a request in the way of FastAPI, after the guard."""
        serve = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.asking = await _let_in(request)
            try:
                return await serve(request)
            finally:
                del request.state.asking  # it knows the request: a circle that only the garbage collector could end

        return guarded

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a request is for this route; of most it is seen at once that they are not."""
        path = scope["path"]
        may_be = self._begins in path if self._has_parts else path.endswith(self._begins)
        return super().matches(scope) if may_be else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose address is this route's."""
        if self._serve is None or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        response = await self._serve(request, await _let_in(request))
        await response(scope, receive, send)


def operations(prefix: str = "", *tags: str) -> APIRouter:
    """Return a router for operations of an application."""
    return APIRouter(
        prefix=prefix,
        tags=list(tags),
        route_class=Guarded,
        default_response_class=HalResponse,
        generate_unique_id_function=lambda route: to_camel(route.name),
    )


def plain(route: APIRoute) -> Plain | None:
    """Return what serves a plain GET, None for every other operation."""
    endpoint = route.endpoint
    taken = get_type_hints(endpoint, include_extras=True)
    taken.pop(_GIVEN_BACK, None)
    parts = set(taken) - {_ASKING}
    is_plain = parts == set(route.param_convertors) and all(taken[part] is str for part in parts)
    if route.methods != {"GET"} or not is_plain or route.dependencies or route.response_model is None:
        return None
    model: TypeAdapter[object] = TypeAdapter(route.response_model)

    async def serve(request: Request, asking: Context) -> Response:
        answer = await endpoint(**request.path_params, asking=asking)
        content = model.dump_json(model.validate_python(answer), by_alias=True)
        return Response(content, media_type=HalResponse.media_type)

    return serve


async def _let_in(request: Request) -> Context:
    context: Context = await request.app.state.guard(request)
    return context
