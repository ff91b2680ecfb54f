"""A request as its endpoint sees it: who asks, what is behind the API, and links and forms that this caller may use.

Must not know: which operations there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request
from pydantic import BaseModel

from cluster.idempotency import Attempt
from cluster.identity.caller import Caller
from cluster.identity.errors import BadToken
from cluster.identity.relation import Standing
from cluster.services import ApiServices
from serve.access import Rule, operation_of
from serve.hal import Link, Template, given, properties

Parts = Mapping[str, object]
"""What to fill into a path."""

EVENTS: Final = "GET /events"
_NOWHERE: Final[Parts] = MappingProxyType({})
_CURIES: Final = "/docs/relations/{rel}"


class Context:
    """What one request needs."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self.request = request
        self.caller = caller
        self.services: ApiServices = request.app.state.services
        self._table: Mapping[str, Rule] = request.app.state.access
        self._permissions: Mapping[str, bool] = request.app.state.permissions(caller.roles, caller.scopes)
        self._prefix: str = request.app.state.prefix

    @property
    def token(self) -> str:
        """What the caller has shown."""
        return str(self.request.state.token)

    def may(self, operation: str, relation: Standing | None = None) -> bool:
        """Tell whether the caller may do an operation, like `GET /stations`, given a relation to its station."""
        if relation is None:
            return self._permissions[operation]
        return self._table[operation].allows(self.caller, relation)

    def demand(self, operation: str, relation: Standing | None = None) -> None:
        """Raise NotAllowed, InsufficientScope or StaleLogin unless the caller may do an operation now."""
        fresh_for = timedelta(seconds=self.services.settings.api.fresh_login_s)
        self._table[operation].demand(self.caller, relation, self.services.clock(), fresh_for)

    def rule(self, operation: str) -> Rule:
        """Return who may do an operation."""
        return self._table[operation]

    def href(self, path: str, at: Parts = _NOWHERE) -> str:
        """Return the address of a path of this application with its parts filled in."""
        return self._prefix + path.format_map({name: _quoted(str(part)) for name, part in at.items()})

    def link(
        self, operation: str, at: Parts = _NOWHERE, *, query: str = "", relation: Standing | None = None
    ) -> Link | None:
        """Return a link to what a GET shows, None if the caller may not; `query` names variables to fill in."""
        if not self.may(operation, relation):
            return None
        href = self.href(operation.partition(" ")[2], at)
        return {"href": f"{href}{{?{query}}}", "templated": True} if query else {"href": href}

    def events(self, **about: str) -> Link | None:
        """Return a link to the live events of a station, site or transaction; None if the caller may see none."""
        link = self.link(EVENTS)
        query = "&".join(f"{name}={_quoted(value)}" for name, value in about.items())
        return None if link is None else {"href": f"{link['href']}?{query}"}

    def template(self, operation: str) -> Link | None:
        """Return a link whose parts are to be filled in, None if the caller may not follow it."""
        if not self.may(operation):
            return None
        return {"href": self._prefix + operation.partition(" ")[2], "templated": True}

    def form(
        self,
        operation: str,
        title: str,
        at: Parts = _NOWHERE,
        *,
        body: type[BaseModel] | None = None,
        relation: Standing | None = None,
        values: Parts = _NOWHERE,
    ) -> Template | None:
        """Return the form of an operation, with `values` filled in; None if the caller may not do it."""
        if not self.may(operation, relation):
            return None
        method, _, path = operation.partition(" ")
        made: Template = {"title": title, "method": method, "target": self.href(path, at)}
        if body is not None:
            made["contentType"] = "application/json"
            made["properties"] = given(properties(body), values)
        return made

    @property
    def again(self) -> bool:
        """Whether what is asked may have been done already, by an attempt of which nobody knows how it ended."""
        attempt: Attempt | None = getattr(self.request.state, "attempt", None)
        return attempt is not None and attempt.again

    def id_of(self, what: str) -> str:
        """Return a new id for something that this request makes; a repeat with its Idempotency-Key has the same."""
        attempt: Attempt | None = getattr(self.request.state, "attempt", None)
        return self.services.new_id() if attempt is None else attempt.id_of(what)

    @property
    def here(self) -> Link:
        """Where this answer is."""
        path, query = _quoted_path(self.request.scope["path"]), self.request.scope["query_string"]
        return {"href": f"{path}?{query.decode('latin-1')}" if query else path}

    @property
    def curies(self) -> list[Link]:
        """Where the relations are explained that begin with `cb:`."""
        return [{"name": "cb", "href": _CURIES, "templated": True}]


async def caller(request: Request) -> Caller:
    """Return who asks. Raises BadToken, Unavailable."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise BadToken("a bearer token is needed; sign in, or get one with `cloudbay token`")
    services: ApiServices = request.app.state.services
    request.state.token = token
    request.state.caller = found = await services.callers.identify(token)
    return found


async def permitted(request: Request) -> Context:
    """Return the context of a request that its caller may make. Raises BadToken, NotAllowed, StaleLogin."""
    context = Context(request, await caller(request))
    context.demand(operation_of(request.scope))
    return context


@lru_cache(maxsize=1024)
def _quoted(part: str) -> str:
    return quote(part, safe="")


@lru_cache(maxsize=1024)
def _quoted_path(path: str) -> str:
    return quote(path, safe="/:@!$&'()*+,;=~")  # RFC 3986 section 3.3


async def asked(request: Request) -> Context:
    """Return the context that the guard has made."""
    context: Context = request.state.asking
    return context


Asking = Annotated[Context, Depends(asked)]
