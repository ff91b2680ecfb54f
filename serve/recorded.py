"""Who did what: a request that changes something, or takes much away, is in the audit log before its answer leaves.

Must not know: which operations there are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.errors import CloudBayError
from cluster.audit.entry import Origin, Outcome, Target, make_entry
from cluster.identity.caller import Caller
from cluster.services import ApiServices
from cluster.store.views import masked
from serve.access import Rule, operation_of
from serve.origin import address_of, network_of

log = logging.getLogger(__name__)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Recorded:
    """Records a request when its answer begins. The answer goes on whatever becomes of the record: the deed is done."""

    def __init__(self, app: ASGIApp, services: ApiServices, prefix: str, table: Mapping[str, Rule]) -> None:
        self._app = app
        self._services = services
        self._prefix = prefix
        self._reads = frozenset(operation for operation, rule in table.items() if rule.recorded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; of those that only read, what the table names is recorded."""
        if scope["type"] != "http" or (scope["method"] in _READING and not self._reads):
            await self._app(scope, receive, send)
            return

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start" and self._is_recorded(scope):
                await self._record(Request(scope), message["status"])
            await send(message)

        await self._app(scope, receive, send_recorded)

    def _is_recorded(self, scope: Scope) -> bool:
        return scope["method"] not in _READING or operation_of(scope) in self._reads

    async def _record(self, request: Request, status: int) -> None:
        route = getattr(request.scope.get("route"), "path", None)
        if route is None:  # nothing of ours was asked for
            return
        parts = {name: _recordable(name, str(part)) for name, part in request.path_params.items()}
        kind, own = route.strip("/").partition("/")[0], next(iter(parts.values()), "")
        caller = getattr(request.state, "caller", None)
        origin, services = _origin(request, caller), self._services
        entry = make_entry(
            services.new_id(),
            services.clock(),
            caller,
            f"{request.method} {self._prefix}{route}",
            Target(kind, own),
            origin,
            Outcome(status),
            parts,
        )
        try:
            await services.audit_log.record(entry)
        except CloudBayError:
            log.exception("a request is not in the audit log", extra={"request_id": origin.request_id})


def _recordable(name: str, part: str) -> str:
    """Return what an entry may hold of a part of a path: an id token is a person's, and entries stay."""
    return masked(part) if name == "id_token" else part


def _origin(request: Request, caller: Caller | None) -> Origin:
    """Tell where a request came from; of app users no more than a network: an entry stays when they are erased."""
    address, request_id = address_of(request), request.state.request_id
    if caller is not None and not caller.roles:
        return Origin(network_of(address), None, request_id)
    return Origin(address, request.headers.get("user-agent"), request_id)
