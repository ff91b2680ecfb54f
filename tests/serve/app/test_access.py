"""Who may do what in the app: the whole matrix, and that nobody learns of what is not his."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.identity.caller import Caller
from serve.access import APP
from serve.app import application
from tests.serve.app.conftest import shared_platform
from tests.serve.conftest import bearer

CHARGE: Final = "00000000-0000-0000-0000-000000000001"
FOREIGN_CHARGE: Final = "00000000-0000-0000-0000-000000000002"
_PARTS: Final = {
    "station_id": "CP-1", "charge_id": CHARGE, "request_id": "request-1", "kind": "station", "name": "CP-1",
    "subject": "gil", "offer_id": "offer-1", "session_id": "x", "webhook_id": "x", "delivery_id": "1",
}  # fmt: skip
STANDING: Final = {
    "owner": "olga", "co-owner": "cora", "guest": "gil", "driver": "gus", "expired guest": "eve", "stranger": "sam",
}  # fmt: skip
SEES_THE_STATION: Final = {"owner", "co-owner", "guest", "driver"}

# Written a second time, for somebody who reads the table wrongly. What is not here is anybody's own.
_CHARGE_OPERATIONS: Final = {"owner", "co-owner", "driver"}
_PEOPLE_OPERATIONS: Final = {"owner", "co-owner"}
ABOUT: Final[Mapping[str, set[str]]] = {
    "GET /stations/{station_id}": SEES_THE_STATION,
    "GET /stations/{station_id}/charges": SEES_THE_STATION,
    "POST /stations/{station_id}/charges": SEES_THE_STATION,
    "GET /charge-requests/{request_id}": {"driver"},
    "GET /charges/{charge_id}": _CHARGE_OPERATIONS,
    "POST /charges/{charge_id}/stop": _CHARGE_OPERATIONS,
    "GET /charges/{charge_id}/curve": _CHARGE_OPERATIONS,
    "GET /charges/{charge_id}/receipt": _CHARGE_OPERATIONS,
    "GET /holdings/{kind}/{name}/people": _PEOPLE_OPERATIONS,
    "POST /holdings/{kind}/{name}/people": _PEOPLE_OPERATIONS,
    "PUT /holdings/{kind}/{name}/people/{subject}/terms": _PEOPLE_OPERATIONS,
    "DELETE /holdings/{kind}/{name}/people/{subject}": _PEOPLE_OPERATIONS,
    "DELETE /holdings/{kind}/{name}/invitations/{offer_id}": _PEOPLE_OPERATIONS,
}
OWN: Final = {
    "GET /", "GET /events", "GET /stations", "GET /charges", "GET /relations", "DELETE /relations/{kind}/{name}",
    "GET /invitations", "POST /invitations", "POST /invitations/{offer_id}/acceptance",
    "DELETE /invitations/{offer_id}",
    "GET /account", "PUT /account/password", "GET /account/sessions", "DELETE /account/sessions",
    "DELETE /account/sessions/{session_id}",
    "GET /webhooks", "POST /webhooks", "GET /webhooks/{webhook_id}", "PATCH /webhooks/{webhook_id}",
    "DELETE /webhooks/{webhook_id}", "POST /webhooks/{webhook_id}/secret", "POST /webhooks/{webhook_id}/replay",
    "GET /webhooks/{webhook_id}/deliveries", "GET /webhooks/{webhook_id}/deliveries/{delivery_id}",
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/replay", "GET /account/data", "DELETE /account",
}  # fmt: skip


def address(operation: str, parts: Mapping[str, str] = _PARTS) -> tuple[str, str]:
    method, _, path = operation.partition(" ")
    return method, application.PREFIX + path.format(**parts)


@cache
def app() -> FastAPI:
    """Return the app, which is dear to build; each test puts a platform of its own behind it."""
    return application.build(shared_platform().services_of_tests())


async def sent(operation: str, headers: Mapping[str, str]) -> httpx.Response:
    """Send a request to a platform where nothing has happened yet."""
    app().state.services = shared_platform().services_of_tests()
    method, path = address(operation)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://api") as client:
        return await client.request(method, path.removeprefix(application.PREFIX), json={}, headers=headers)


def test_every_operation_is_named_here() -> None:
    assert set(APP) == set(ABOUT) | OWN
    assert all(not rule.roles for rule in APP.values()), "staff have no more to say here than anybody"


@pytest.mark.parametrize("standing", sorted(STANDING))
@pytest.mark.parametrize("operation", sorted(ABOUT))
async def test_a_standing_may_what_the_table_says(operation: str, standing: str) -> None:
    answer = await sent(operation, bearer(subject=STANDING[standing]))
    if standing in ABOUT[operation]:
        assert answer.status_code not in (401, 403, 404), answer.text
    elif standing in SEES_THE_STATION and ABOUT[operation] == _PEOPLE_OPERATIONS:
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:cloudbay:problem:not-allowed"
    else:
        assert answer.status_code == 404, "it does not exist for who is nothing to it"


@pytest.mark.parametrize("standing", sorted(STANDING))
@pytest.mark.parametrize("operation", sorted(OWN))
async def test_what_is_ones_own_is_anybodys(operation: str, standing: str) -> None:
    answer = await sent(operation, bearer(subject=STANDING[standing]))
    assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize("operation", sorted(APP))
async def test_nothing_is_told_or_done_without_a_token(operation: str) -> None:
    answer = await sent(operation, {})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="cloudbay"')


@pytest.mark.parametrize("operation", sorted(ABOUT))
async def test_staff_are_strangers_here(operation: str) -> None:
    staff = bearer("admin", "operator", "support", subject="sid")
    assert (await sent(operation, staff)).status_code == 404


def test_a_machine_may_only_what_its_scopes_name() -> None:
    machine = Caller("key:1", "cloudbay", scopes=frozenset({"charges:read"}))
    allowed = {operation for operation, rule in APP.items() if rule.allows(machine, "owner")}
    assert allowed == {
        "GET /", "GET /stations/{station_id}/charges", "GET /charges", "GET /charges/{charge_id}",
        "GET /charges/{charge_id}/curve", "GET /charges/{charge_id}/receipt",
    }  # fmt: skip


@cache
def worlds() -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    """Return clients of two platforms: one with what is foreign to all people here, and one without."""
    apps = [application.build(shared_platform(foreign=foreign).services_of_tests()) for foreign in (True, False)]
    first, second = (httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") for app in apps)
    return first, second


FOREIGN: Final[dict[str, st.SearchStrategy[str]]] = {
    "station_id": st.just("CP-9"),
    "charge_id": st.just(FOREIGN_CHARGE),
    "request_id": st.just("request-9"),
    "kind": st.sampled_from(["station", "site"]),
    "name": st.sampled_from(["CP-9", "AWAY"]),
    "subject": st.sampled_from(["fay", "fred", "sam"]),
    "offer_id": st.sampled_from(["away-station", "away-site"]),
    "webhook_id": st.just("away-webhook"),
    "delivery_id": st.just("1"),
    "session_id": st.just("away-session"),
}
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
BODIES: Final = st.one_of(
    st.just({}),
    st.builds(dict, evseId=st.integers(0, 3)),
    st.builds(dict, relation=st.sampled_from(["owner", "guest"]), subject=st.sampled_from(["sam", "fay"])),
    st.builds(dict, since=st.just("2026-05-04T12:00:00Z"), until=st.just("2026-05-05T12:00:00Z")),
    st.builds(dict, charges=st.integers(0, 3), validUntil=st.just("2020-01-01T00:00:00Z")),
    JSON,
)


@settings(max_examples=300)
@given(
    operation=st.sampled_from(sorted(APP)),
    parts=st.fixed_dictionaries(FOREIGN),
    subject=st.sampled_from(["sam", "eve", "gil", "olga"]),
    body=BODIES,
    query=st.fixed_dictionaries(
        {},
        optional={
            "station": st.sampled_from(["CP-9", "CP-1"]),
            "site": st.just("AWAY"),
            "transaction": st.just(FOREIGN_CHARGE),
        },
    ),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "Prefer": st.just("wait=1"),
            "Accept": st.just("text/html"),
            "If-None-Match": st.just("*"),
            "Idempotency-Key": st.uuids().map(str),
        },
    ),
)
async def test_nobody_learns_whether_what_is_foreign_exists(
    operation: str, parts: dict[str, str], subject: str, body: Any, query: dict[str, str], headers: dict[str, str]
) -> None:
    """The same request on two platforms, of which one has the foreign station, gets the same answer."""
    method, path = address(operation, parts)
    headers = {**bearer(subject=subject), **headers}
    with_it, without = [
        await client.request(method, path.removeprefix(application.PREFIX), json=body, params=query, headers=headers)
        for client in worlds()
    ]
    assert _told(with_it) == _told(without)


def _told(answer: httpx.Response) -> tuple[object, ...]:
    """Return all that an answer says but its own id."""
    own = answer.headers["x-request-id"]
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "x-request-id")
    return answer.status_code, headers, answer.text.replace(own, "")
