"""Who may do what: one table of every operation of the two applications; what is not in it, nobody may do.

An operation is a method and a path inside its application. Staff do what their roles allow; machines, besides, only
what their scopes name. App users have no roles: their relation to a station decides, and who has none does not learn
whether the station exists. What is dangerous asks a person for a fresh login (RFC 9470), and what makes logins, keys
and clients is for people alone. Must not know: what the operations do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, get_args

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from actors.errors import CloudBayError
from cluster.identity.caller import Caller, Role
from cluster.identity.relation import Standing


class NotAllowed(CloudBayError):
    """The caller is known, and may not do this."""

    http_status = 403
    title = "Not allowed"


class InsufficientScope(NotAllowed):
    """The caller is a machine whose scopes do not name this (RFC 6750 section 3.1)."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the scope {scope} is needed")
        self.scope = scope


class StaleLogin(CloudBayError):
    """The caller may do this, and must prove anew who they are before (RFC 9470)."""

    http_status = 401
    title = "Log in again"

    def __init__(self, max_age: timedelta) -> None:
        self.max_age_s = int(max_age.total_seconds())
        super().__init__(f"this needs a login that is not older than {self.max_age_s} s; log in again")


class Rule(NamedTuple):
    """Who may do an operation: staff with one of `roles`, or app users with one of `relations` to what it is about."""

    scope: str
    """What a machine's key must name; empty where any key will do."""
    roles: frozenset[Role] = frozenset()
    relations: frozenset[Standing] | None = None
    """None where an operation is about what is the caller's own: everybody who has signed in may."""
    fresh: bool = False
    """Whether a person must have logged in lately; a machine has no login, its scope was given to it with one."""
    people_only: bool = False
    """Whether no machine may, whatever its scopes."""
    recorded: bool = False
    """Whether the audit log tells of it though it only reads: much is taken away at once, or what people said."""

    def allows(self, caller: Caller, relation: Standing | None = None) -> bool:
        """Tell whether a caller may, who is this to what it is about; a login may still have to be a fresh one."""
        in_scope = caller.scopes is None or (self._in(caller.scopes) and not self.people_only)
        return in_scope and self._admits(caller, relation)

    def demand(self, caller: Caller, relation: Standing | None, now: datetime, fresh_for: timedelta) -> None:
        """Raise NotAllowed, InsufficientScope or StaleLogin unless a caller may now."""
        if not self._admits(caller, relation):
            raise NotAllowed(self._who_may())
        if caller.scopes is not None:
            if self.people_only:
                raise NotAllowed("this is for people, no machine may do it")
            if not self._in(caller.scopes):
                raise InsufficientScope(self.scope)
        elif self.fresh and (caller.logged_in_at is None or now - caller.logged_in_at > fresh_for):
            raise StaleLogin(fresh_for)

    def _who_may(self) -> str:
        """Say what is missing; the table is public, `x-roles` of the description has it too."""
        if self.roles:
            return f"none of your roles allows it; {' or '.join(sorted(self.roles))} does"
        return "what you are to it does not allow it"

    def _in(self, scopes: frozenset[str]) -> bool:
        return not self.scope or self.scope in scopes

    def _admits(self, caller: Caller, relation: Standing | None) -> bool:
        if self.roles:
            return not self.roles.isdisjoint(caller.roles)
        return self.relations is None or relation in self.relations


_STAFF: Final[frozenset[Role]] = frozenset(get_args(Role))


def _staff(scope: str, *roles: Role, fresh: bool = False, people_only: bool = False, recorded: bool = False) -> Rule:
    admitted: frozenset[Role] = frozenset(roles) | {"admin"} if roles else _STAFF
    return Rule(scope, admitted, fresh=fresh, people_only=people_only, recorded=recorded)


_ANY_SCOPE: Final = ""
"""A root shows only where its reader may go from there."""
_ROTATION: Final = "POST /webhooks/{webhook_id}/secret"
"""Of the secret that signs what a webhook sends."""
_WEBHOOKS: Final = (
    "GET /webhooks",
    "POST /webhooks",
    "GET /webhooks/{webhook_id}",
    "PATCH /webhooks/{webhook_id}",
    "DELETE /webhooks/{webhook_id}",
    _ROTATION,
    "POST /webhooks/{webhook_id}/replay",
    "GET /webhooks/{webhook_id}/deliveries",
    "GET /webhooks/{webhook_id}/deliveries/{delivery_id}",
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
)
"""The same in both applications; in each they are about what is the caller's own."""

ADMIN: Final[Mapping[str, Rule]] = {
    "GET /": _staff(_ANY_SCOPE),
    "GET /status": _staff("status:read"),
    "GET /events": _staff("events:read"),
    "GET /stations": _staff("stations:read"),
    "POST /stations": _staff("stations:write", "operator", "production"),
    "GET /stations/{station_id}": _staff("stations:read"),
    "GET /stations/{station_id}/configuration": _staff("stations:read"),
    "PATCH /stations/{station_id}/configuration": _staff("stations:write", "operator", "production"),
    "POST /stations/{station_id}/password": _staff("stations:write", "production", fresh=True),
    "GET /stations/{station_id}/owner": _staff("people:read"),
    "PUT /stations/{station_id}/owner": _staff("people:write", "operator", "support"),
    "DELETE /stations/{station_id}/owner": _staff("people:write", "operator", "support"),
    "POST /stations/{station_id}/claim-code": _staff("people:write", "production"),
    "GET /stations/{station_id}/variables": _staff("stations:read"),
    "GET /stations/{station_id}/notices": _staff("stations:read"),
    "GET /stations/{station_id}/log": _staff("frames:read", "support", recorded=True),
    "GET /stations/{station_id}/log.jsonl": _staff("frames:read", "support", recorded=True),
    "GET /stations/{station_id}/commands": _staff("commands:read"),
    "POST /stations/{station_id}/commands": _staff("commands:write", "operator", "support"),
    "GET /stations/{station_id}/commands/{command_id}": _staff("commands:read"),
    "DELETE /stations/{station_id}/commands/{command_id}": _staff("commands:write", "operator", "support"),
    "GET /sites/{site_id}/owner": _staff("people:read"),
    "PUT /sites/{site_id}/owner": _staff("people:write", "operator", "support"),
    "DELETE /sites/{site_id}/owner": _staff("people:write", "operator", "support"),
    "GET /transactions": _staff("transactions:read"),
    "GET /transactions/{transaction_id}": _staff("transactions:read"),
    "GET /transactions/{transaction_id}/meter-values": _staff("transactions:read"),
    "GET /tokens": _staff("tokens:read"),
    "POST /tokens": _staff("tokens:write", "operator", "support"),
    "DELETE /tokens/{id_token}": _staff("tokens:write", "operator", "support"),
    "GET /hosts": _staff("hosts:read"),
    "PUT /hosts": _staff("hosts:write", "operator"),
    "GET /restart": _staff("hosts:read"),
    "POST /restart": _staff("hosts:write", "operator", fresh=True),
    "GET /placements": _staff("hosts:read"),
    "PUT /placements/{kind}/{name}": _staff("hosts:write", "operator"),
    "DELETE /placements/{kind}/{name}": _staff("hosts:write", "operator"),
    "GET /people": _staff("users:read", "support", "auditor"),
    "POST /people": _staff("users:write", "admin", fresh=True, people_only=True),
    "GET /people/{subject}": _staff("users:read", "support", "auditor"),
    "PATCH /people/{subject}": _staff("users:write", "admin", fresh=True, people_only=True),
    "POST /people/{subject}/password": _staff("users:write", "admin", fresh=True, people_only=True),
    "POST /people/{subject}/erasure": _staff("people:erase", "support", fresh=True, people_only=True),
    "GET /people/{subject}/sessions": _staff("users:read", "support", "auditor"),
    "DELETE /people/{subject}/sessions": _staff("sessions:end", "support"),
    "DELETE /people/{subject}/sessions/{session_id}": _staff("sessions:end", "support"),
    "GET /machine-keys": _staff("keys:read", "auditor"),
    "POST /machine-keys": _staff("keys:write", "admin", fresh=True, people_only=True),
    "GET /machine-keys/{key_id}": _staff("keys:read", "auditor"),
    "DELETE /machine-keys/{key_id}": _staff("keys:revoke", "admin"),
    "GET /clients": _staff("clients:read", "auditor"),
    "POST /clients": _staff("clients:write", "admin", fresh=True, people_only=True),
    "GET /clients/{client_id}": _staff("clients:read", "auditor"),
    "POST /clients/{client_id}/secret": _staff("clients:write", "admin", fresh=True, people_only=True),
    "DELETE /clients/{client_id}": _staff("clients:write", "admin", fresh=True, people_only=True),
    "GET /account": _staff("account:read"),
    "PUT /account/password": _staff("account:write", people_only=True),
    "GET /account/sessions": _staff("account:read", people_only=True),
    "DELETE /account/sessions": _staff("account:write", people_only=True),
    "DELETE /account/sessions/{session_id}": _staff("account:write", people_only=True),
    "GET /audit-entries": _staff("audit:read", "auditor"),
    "GET /audit-entries.jsonl": _staff("audit:read", "auditor", recorded=True),
    "GET /audit-entries/head": _staff("audit:read", "auditor"),
    "GET /audit-entries/verification": _staff("audit:read", "auditor"),
    "GET /audit-entries/{seq}": _staff("audit:read", "auditor"),
    "GET /approvals": _staff("approvals:read"),
    "POST /approvals": _staff("approvals:write", "operator", "production", "firmware", "support"),
    "GET /approvals/{approval_id}": _staff("approvals:read"),
    "POST /approvals/{approval_id}/decision": _staff(
        "approvals:write", "operator", "production", "firmware", "support", fresh=True, people_only=True
    ),
    **{
        operation: _staff("webhooks:read") if operation.startswith("GET ") else _staff("webhooks:write", "operator")
        for operation in _WEBHOOKS
    },
    _ROTATION: _staff("webhooks:write", "operator", fresh=True),
}


def _person(
    scope: str, *relations: Standing, fresh: bool = False, people_only: bool = False, recorded: bool = False
) -> Rule:
    admitted = frozenset(relations) or None
    return Rule(scope, relations=admitted, fresh=fresh, people_only=people_only, recorded=recorded)


APP: Final[Mapping[str, Rule]] = {
    "GET /": _person(_ANY_SCOPE),
    "GET /events": _person("events:read"),
    "GET /stations": _person("stations:read"),
    "GET /stations/{station_id}": _person("stations:read", "owner", "co-owner", "guest"),
    "GET /stations/{station_id}/charges": _person("charges:read", "owner", "co-owner", "guest"),
    "POST /stations/{station_id}/charges": _person("charges:write", "owner", "co-owner", "guest"),
    "GET /charge-requests/{request_id}": _person("charges:read", "driver"),
    "GET /charges": _person("charges:read"),
    "GET /charges/{charge_id}": _person("charges:read", "driver", "owner", "co-owner"),
    "POST /charges/{charge_id}/stop": _person("charges:write", "driver", "owner", "co-owner"),
    "GET /charges/{charge_id}/curve": _person("charges:read", "driver", "owner", "co-owner"),
    "GET /charges/{charge_id}/receipt": _person("charges:read", "driver", "owner", "co-owner"),
    "GET /holdings/{kind}/{name}/people": _person("people:read", "owner", "co-owner"),
    "POST /holdings/{kind}/{name}/people": _person("people:write", "owner", "co-owner"),
    "PUT /holdings/{kind}/{name}/people/{subject}/terms": _person("people:write", "owner", "co-owner"),
    "DELETE /holdings/{kind}/{name}/people/{subject}": _person("people:write", "owner", "co-owner"),
    "DELETE /holdings/{kind}/{name}/invitations/{offer_id}": _person("people:write", "owner", "co-owner"),
    "GET /relations": _person("people:read"),
    "DELETE /relations/{kind}/{name}": _person("people:write"),
    "GET /invitations": _person("people:read"),
    "POST /invitations": _person("people:write"),
    "POST /invitations/{offer_id}/acceptance": _person("people:write"),
    "DELETE /invitations/{offer_id}": _person("people:write"),
    "GET /account": _person("account:read"),
    "PUT /account/password": _person("account:write", people_only=True),
    "GET /account/sessions": _person("account:read", people_only=True),
    "DELETE /account/sessions": _person("account:write", people_only=True),
    "DELETE /account/sessions/{session_id}": _person("account:write", people_only=True),
    "GET /account/data": _person("account:read", recorded=True),
    "DELETE /account": _person("account:erase", fresh=True, people_only=True),
    **{
        operation: _person("webhooks:read" if operation.startswith("GET ") else "webhooks:write")
        for operation in _WEBHOOKS
    },
    _ROTATION: _person("webhooks:write", fresh=True),
}


SCOPES: Final = frozenset(
    rule.scope for table in (ADMIN, APP) for rule in table.values() if rule.scope and not rule.people_only
)
"""What keys of machines and clients that log in themselves can be limited to, in one application or the other."""


_STATION: Final = "GET /stations/{station_id}"
_TRANSACTION: Final = "GET /transactions/{transaction_id}"
_CHARGE: Final = APP["GET /charges/{charge_id}"].relations or frozenset()
_SHOWN_BY: Final[Mapping[str, str]] = {
    "StationRegistered": _STATION,
    "StationConfigured": "GET /stations/{station_id}/configuration",
    "StationConnected": _STATION,
    "StationDisconnected": _STATION,
    "StationBooted": _STATION,
    "ConnectorStatusChanged": _STATION,
    "TransactionStarted": _TRANSACTION,
    "TransactionUpdated": _TRANSACTION,
    "TransactionEnded": _TRANSACTION,
    "TransactionRevised": _TRANSACTION,
    "MeterValues": "GET /transactions/{transaction_id}/meter-values",
    "CommandFinished": "GET /stations/{station_id}/commands/{command_id}",
    "SecurityEvent": "GET /stations/{station_id}/notices",
    "ReportCompleted": "GET /stations/{station_id}/variables",
}
"""The operation by which staff can read what a live event tells; a type that is not here, nobody sees."""

_SHOWN_TO: Final[Mapping[str, frozenset[Standing]]] = {
    "StationConnected": frozenset({"owner", "co-owner", "guest"}),
    "StationDisconnected": frozenset({"owner", "co-owner", "guest"}),
    "ConnectorStatusChanged": frozenset({"owner", "co-owner", "guest"}),
    "StationBooted": frozenset({"owner", "co-owner"}),
    "MeterValues": frozenset({"owner", "co-owner"}),
    "TransactionStarted": _CHARGE,
    "TransactionUpdated": _CHARGE,
    "TransactionEnded": _CHARGE,
    "TransactionRevised": _CHARGE,
}
"""The app users who see a live event, by what they are to its station or charge."""


def staff_sees(caller: Caller, kind: str) -> bool:
    """Tell whether staff may see live events of a type: who may read what they tell of."""
    return kind in _SHOWN_BY and ADMIN[_SHOWN_BY[kind]].allows(caller)


def app_user_sees(kind: str, standing: Standing) -> bool:
    """Tell whether an app user may see live events of a type who is this to what they tell of."""
    return standing in _SHOWN_TO.get(kind, ())


def permissions(table: Mapping[str, Rule], roles: frozenset[Role], scopes: frozenset[str] | None) -> Mapping[str, bool]:
    """Tell of every operation whether a caller with these roles and scopes may, without any relation to a station."""
    caller = Caller("", "", roles, scopes)
    return {operation: rule.allows(caller) for operation, rule in table.items()}


def operation_of(scope: Scope) -> str:
    """Return the operation that a request is for, like `GET /stations`; what has no route has one of no table."""
    return f"{scope['method']} {getattr(scope.get('route'), 'path', '')}"


def check(app: FastAPI, table: Mapping[str, Rule]) -> None:
    """See that the table and the routes of an application name the same operations. Raises ValueError."""
    served = set(_operations(app))
    if served != set(table):
        raise ValueError(
            f"operations without a rule: {sorted(served - set(table))}; rules of none: {sorted(set(table) - served)}"
        )


def _operations(app: FastAPI) -> Iterable[str]:
    for route in iter_route_contexts(app.routes):
        if getattr(route.original_route, "include_in_schema", False):
            for method in route.methods or ():
                yield f"{method} {route.path}"
