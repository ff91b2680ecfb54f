"""Keys of machines and clients over HTTP: made, shown once, ended."""

from __future__ import annotations

from typing import Any, get_args

import httpx
import pytest

from cluster.identity.caller import Role
from cluster.identity.people import User
from serve.access import ADMIN, APP, SCOPES
from tests.serve.signing_in import SignedIn
from tests.serve.walker import enter

KEYS = "/admin/v1/machine-keys"
CLIENTS = "/admin/v1/clients"
ASKED = {"name": "Line 2", "roles": ["production"], "scopes": ["stations:read", "stations:write"], "days": 90}
MACHINE = {"kind": "machine", "id": "reports", "name": "Reports", "roles": ["auditor"], "scopes": ["stations:read"]}
APPLICATION = {
    "kind": "application",
    "id": "portal",
    "name": "Portal",
    "redirectUris": ["https://portal.example.org/login"],
    "logoutUris": ["https://portal.example.org/bye"],
}


async def test_a_key_is_shown_once_and_works_within_roles_and_scopes(here: SignedIn, root: User) -> None:
    answer = await here.http.post(KEYS, json=ASKED)
    made = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (made["createdBy"], made["expiresAt"], made["state"]) == (root.id, "2026-08-02T12:00:00Z", "active")
    shown = (await here.http.get(answer.headers["location"])).text
    listed = (await here.http.get(KEYS)).text
    secret = made["key"].removeprefix(f"cb_{made['id']}_")  # it may hold a `_` itself
    assert secret not in shown + listed
    assert "secret" not in shown + listed
    machine = bearing(made["key"])
    assert (await here.http.get("/admin/v1/stations", headers=machine)).status_code == 200
    assert (await here.http.get("/admin/v1/hosts", headers=machine)).status_code == 403


async def test_a_revoked_key_is_refused_at_once_and_stays_in_the_list(here: SignedIn, root: User) -> None:
    keys = await (await enter(here.http, "/admin/v1/")).follow("cb:machine-keys")
    offered = {one["name"]: one.get("options") for one in keys["_templates"]["create"]["properties"]}
    assert offered == {
        "name": None, "roles": {"inline": list(get_args(Role))}, "scopes": {"inline": sorted(SCOPES)}, "days": None,
    }  # fmt: skip
    made = await keys.submit("create", **ASKED)
    assert made.offers("revoke")
    assert (await here.http.delete(f"{KEYS}/{made['id']}")).status_code == 204
    refused = await here.http.get("/admin/v1/stations", headers=bearing(made["key"]))
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:cloudbay:problem:bad-key")
    (item,) = (await keys.again()).items("cb:machine-key")
    ended = await item.follow("self")
    assert (ended["state"], ended.offers("revoke")) == ("revoked", False)


async def test_a_key_ends_by_itself(here: SignedIn, root: User) -> None:
    made = (await here.http.post(KEYS, json={**ASKED, "days": 1})).json()
    here.forward(days=1)
    assert (await here.http.get("/admin/v1/stations", headers=bearing(made["key"]))).status_code == 401
    assert (await here.http.get(f"{KEYS}/{made['id']}")).json()["state"] == "expired"


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"scopes": ["everything"]}, {"days": 0}, {"days": 367}, {"roles": ["x"]}]
)
async def test_a_key_that_cannot_be_is_refused(here: SignedIn, root: User, wrong: dict[str, Any]) -> None:
    assert (await here.http.post(KEYS, json={**ASKED, **wrong})).status_code == 422
    assert (await here.http.get(KEYS)).json()["_embedded"]["cb:machine-key"] == []


def test_a_key_can_be_limited_to_what_the_app_has_too_and_never_make_logins() -> None:
    assert {"charges:read", "charges:write"} <= SCOPES
    for rule in [*ADMIN.values(), *APP.values()]:
        assert (rule.scope in SCOPES) or rule.people_only or rule is ADMIN["GET /"] or rule is APP["GET /"]
    assert SCOPES.isdisjoint({"users:write", "keys:write", "clients:write", "account:write"})


async def test_a_key_for_the_app_does_there_what_it_is_limited_to(here: SignedIn, root: User) -> None:
    made = (await here.http.post(KEYS, json={"name": "Bot", "scopes": ["charges:read"], "days": 1})).json()
    machine = bearing(made["key"])
    assert (await here.http.get("/app/v1/charges", headers=machine)).status_code == 200
    assert (await here.http.get("/app/v1/stations", headers=machine)).status_code == 403


async def test_a_machine_is_registered_and_logs_in_with_the_secret_that_was_shown(here: SignedIn, root: User) -> None:
    answer = await here.http.post(CLIENTS, json=MACHINE)
    made = answer.json()
    assert (answer.status_code, answer.headers["cache-control"], made["public"]) == (201, "no-store", False)
    assert "secret" not in (await here.http.get(answer.headers["location"])).json()
    assert "secret" not in (await here.http.get(CLIENTS)).json()["_embedded"]["cb:client"][0]
    token = await logged_in(here, "reports", made["secret"])
    stations = await here.http.get("/admin/v1/stations", headers=bearing(token.json()["access_token"]))
    assert stations.status_code == 200
    again = await here.http.post(CLIENTS, json={**MACHINE, "name": "Another"})
    assert again.status_code == 409
    assert (await logged_in(here, "reports", made["secret"])).status_code == 200, "nobody takes an id over"


@pytest.mark.parametrize("wrong", [{"scopes": ["users:write"]}, {"scopes": []}, {"roles": ["king"]}, {"id": "a b"}])
async def test_a_machine_that_cannot_be_is_refused(here: SignedIn, root: User, wrong: dict[str, Any]) -> None:
    assert (await here.http.post(CLIENTS, json={**MACHINE, **wrong})).status_code == 422


async def test_a_rotated_secret_voids_the_old_one(here: SignedIn, root: User) -> None:
    clients = await (await enter(here.http, "/admin/v1/")).follow("cb:clients")
    made = await clients.submit("register-machine", **{k: v for k, v in MACHINE.items() if k != "kind"})
    rotated = await made.submit("rotate-secret")
    assert (await logged_in(here, "reports", made["secret"])).status_code == 401
    assert (await logged_in(here, "reports", rotated["secret"])).status_code == 200


async def test_an_application_is_public_and_its_addresses_are_checked(here: SignedIn, root: User) -> None:
    clients = await (await enter(here.http, "/admin/v1/")).follow("cb:clients")
    made = await clients.submit("register-application", **{k: v for k, v in APPLICATION.items() if k != "kind"})
    assert (made["public"], made["secret"], made.offers("rotate-secret")) == (True, None, False)
    assert (await here.http.post(f"{CLIENTS}/portal/secret")).status_code == 409
    for uri in ("http://portal.example.org/", "javascript:alert(1)", "https://*.example.org/"):
        wrong = {**APPLICATION, "id": "other", "redirectUris": [uri]}
        assert (await here.http.post(CLIENTS, json=wrong)).status_code == 422


async def test_a_removed_client_cannot_log_in(here: SignedIn, root: User) -> None:
    made = (await here.http.post(CLIENTS, json=MACHINE)).json()
    assert (await here.http.delete(f"{CLIENTS}/reports")).status_code == 204
    assert (await logged_in(here, "reports", made["secret"])).status_code == 401
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/secret")):
        assert (await here.http.request(method, f"{CLIENTS}/reports{path}")).status_code == 404


async def test_the_issuer_names_the_scopes_of_both_applications(here: SignedIn) -> None:
    """RFC 8414 section 2, scopes_supported."""
    document = (await here.http.get("/.well-known/openid-configuration")).json()
    assert set(document["scopes_supported"]) == SCOPES | {"openid", "profile", "email"}


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def logged_in(here: SignedIn, client_id: str, secret: str) -> httpx.Response:
    asked = {"grant_type": "client_credentials"}
    return await here.http.post("/oauth2/token", data=asked, auth=(client_id, secret))
