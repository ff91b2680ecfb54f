"""Who may do what: the whole matrix of the admin application, generated from its one table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import httpx
import pytest
from fastapi import FastAPI

from cluster.identity.caller import ROLES, Caller, Role
from serve.access import ADMIN, Rule, check
from serve.admin import application
from serve.application import Description, build
from tests.serve.conftest import bearer, furnished_platform
from tests.serve.fakes import MemoryPlatform

_PARTS = {
    "station_id": "CP-1", "command_id": "x", "transaction_id": "x", "id_token": "AA", "kind": "site", "name": "DEPOT",
    "site_id": "DEPOT", "subject": "x", "session_id": "x", "key_id": "x", "client_id": "x",
    "seq": "1", "approval_id": "x", "webhook_id": "x", "delivery_id": "1",
}  # fmt: skip
MATRIX = [(operation, role) for operation in sorted(ADMIN) for role in sorted(ROLES)]

# What somebody who reads the table wrongly would give away: who may do what is written here a second time.
CHANGING: dict[str, set[str]] = {
    "POST /stations": {"admin", "operator", "production"},
    "PATCH /stations/{station_id}/configuration": {"admin", "operator", "production"},
    "POST /stations/{station_id}/password": {"admin", "production"},
    "POST /stations/{station_id}/commands": {"admin", "operator", "support"},
    "DELETE /stations/{station_id}/commands/{command_id}": {"admin", "operator", "support"},
    "PUT /stations/{station_id}/owner": {"admin", "operator", "support"},
    "DELETE /stations/{station_id}/owner": {"admin", "operator", "support"},
    "POST /stations/{station_id}/claim-code": {"admin", "production"},
    "PUT /sites/{site_id}/owner": {"admin", "operator", "support"},
    "DELETE /sites/{site_id}/owner": {"admin", "operator", "support"},
    "POST /tokens": {"admin", "operator", "support"},
    "DELETE /tokens/{id_token}": {"admin", "operator", "support"},
    "PUT /hosts": {"admin", "operator"},
    "POST /restart": {"admin", "operator"},
    "PUT /placements/{kind}/{name}": {"admin", "operator"},
    "DELETE /placements/{kind}/{name}": {"admin", "operator"},
    "POST /people": {"admin"},
    "PATCH /people/{subject}": {"admin"},
    "POST /people/{subject}/password": {"admin"},
    "DELETE /people/{subject}/sessions": {"admin", "support"},
    "DELETE /people/{subject}/sessions/{session_id}": {"admin", "support"},
    "POST /machine-keys": {"admin"},
    "DELETE /machine-keys/{key_id}": {"admin"},
    "POST /clients": {"admin"},
    "POST /clients/{client_id}/secret": {"admin"},
    "DELETE /clients/{client_id}": {"admin"},
    "PUT /account/password": set(ROLES),
    "DELETE /account/sessions": set(ROLES),
    "DELETE /account/sessions/{session_id}": set(ROLES),
    "POST /approvals": {"admin", "operator", "production", "firmware", "support"},
    "POST /approvals/{approval_id}/decision": {"admin", "operator", "production", "firmware", "support"},
    "POST /people/{subject}/erasure": {"admin", "support"},
    "POST /webhooks": {"admin", "operator"},
    "PATCH /webhooks/{webhook_id}": {"admin", "operator"},
    "DELETE /webhooks/{webhook_id}": {"admin", "operator"},
    "POST /webhooks/{webhook_id}/secret": {"admin", "operator"},
    "POST /webhooks/{webhook_id}/replay": {"admin", "operator"},
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/replay": {"admin", "operator"},
}
SECRET: dict[str, set[str]] = {
    "GET /stations/{station_id}/log": {"admin", "support"},
    "GET /stations/{station_id}/log.jsonl": {"admin", "support"},
    "GET /people": {"admin", "support", "auditor"},
    "GET /people/{subject}": {"admin", "support", "auditor"},
    "GET /people/{subject}/sessions": {"admin", "support", "auditor"},
    "GET /machine-keys": {"admin", "auditor"},
    "GET /machine-keys/{key_id}": {"admin", "auditor"},
    "GET /clients": {"admin", "auditor"},
    "GET /clients/{client_id}": {"admin", "auditor"},
    **{operation: {"admin", "auditor"} for operation in ADMIN if operation.startswith("GET /audit-entries")},
}


def expected(operation: str) -> set[str]:
    return {**CHANGING, **SECRET}.get(operation, set(ROLES))


@cache
def app() -> FastAPI:
    """Return the application, which is dear to build; each test puts a platform of its own behind it."""
    return application.build(furnished_platform().services_of_tests())


async def sent(operation: str, headers: Mapping[str, str]) -> httpx.Response:
    """Send a request to a platform where nothing has happened yet."""
    app().state.services = furnished_platform().services_of_tests()
    method, path = address(operation)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://api") as client:
        return await client.request(method, path, json={}, headers=headers)


def address(operation: str) -> tuple[str, str]:
    method, _, path = operation.partition(" ")
    return method, path.format(**_PARTS)


def test_whatever_changes_something_is_named_here() -> None:
    assert {operation for operation in ADMIN if not operation.startswith("GET ")} == set(CHANGING)


@pytest.mark.parametrize(("operation", "role"), MATRIX)
async def test_a_role_may_what_the_table_says(operation: str, role: Role) -> None:
    answer = await sent(operation, bearer(role))
    if role in expected(operation):
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:cloudbay:problem:not-allowed"


@pytest.mark.parametrize("operation", sorted(ADMIN))
async def test_nothing_is_told_or_done_without_a_token(operation: str) -> None:
    """RFC 6750 section 3.1: a realm and no error."""
    answer = await sent(operation, {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="cloudbay"'
    assert answer.json()["type"] == "urn:cloudbay:problem:bad-token"


@pytest.mark.parametrize("operation", sorted(ADMIN))
async def test_an_app_user_may_nothing_here(operation: str) -> None:
    assert (await sent(operation, bearer())).status_code == 403


def test_a_machine_may_only_what_its_scopes_name() -> None:
    machine = Caller("key:1", "cloudbay", frozenset({"operator"}), frozenset({"hosts:read"}))
    allowed = {operation for operation, rule in ADMIN.items() if rule.allows(machine)}
    assert allowed == {"GET /", "GET /hosts", "GET /restart", "GET /placements"}


def test_an_application_with_an_operation_that_has_no_rule_does_not_start(platform: MemoryPlatform) -> None:
    app = application.build(platform.services_of_tests())
    lacking = {operation: rule for operation, rule in ADMIN.items() if operation != "PUT /hosts"}
    with pytest.raises(ValueError, match=r"without a rule: \['PUT /hosts'\]"):
        check(app, lacking)
    with pytest.raises(ValueError, match=r"rules of none: \['GET /nothing'\]"):
        check(app, {**ADMIN, "GET /nothing": Rule("x")})
    with pytest.raises(ValueError, match="rules of none"):
        build(platform.services_of_tests(), Description("/x", "X", "", [], ADMIN))
