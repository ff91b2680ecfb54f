"""One's own account, in both applications: who one is, one's sessions, one's password."""

from __future__ import annotations

import pytest

from cluster.identity.people import User
from tests.serve.conftest import bearer
from tests.serve.signing_in import PASSWORD, SignedIn
from tests.serve.walker import enter

BOTH = pytest.mark.parametrize("prefix", ["/admin/v1", "/app/v1"])
NEW = "another horse battery"


@BOTH
async def test_a_person_learns_who_they_are_here(here: SignedIn, prefix: str) -> None:
    ann = await here.person("ann", "support")
    session = await here.session(ann)
    here.http.headers.update(await here.token(ann, session))
    account = await (await enter(here.http, f"{prefix}/")).follow("cb:account")
    assert {name: account[name] for name in ("subject", "login", "name", "email", "roles", "scopes")} == {
        "subject": ann.id, "login": "ann", "name": "Ann", "email": "ann@example.org", "roles": ["support"],
        "scopes": None,
    }  # fmt: skip
    assert (account["sessionId"], account["loggedInAt"]) == (session.id, "2026-05-04T12:00:00Z")
    assert account["_links"]["cb:logout"]["href"] == f"{here.identity.issuer.url}/oauth2/logout"
    assert account.offers("change-password")


@BOTH
async def test_the_operator_of_the_machine_has_no_password_here(here: SignedIn, prefix: str) -> None:
    """`cloudbay token` speaks for nobody of the table of people."""
    here.http.headers.update(bearer("admin"))
    account = await (await enter(here.http, f"{prefix}/")).follow("cb:account")
    assert (account["subject"], account["login"], account["issuer"]) == ("ann", None, "cloudbay")
    assert not account.leads_to("cb:logout")
    assert not account.offers("change-password")
    assert (await account.follow("cb:sessions")).items("cb:session") == []
    answer = await here.http.put(f"{prefix}/account/password", json={"present": "x", "new": NEW})
    assert answer.status_code == 409


async def test_a_machine_learns_what_it_is_limited_to(here: SignedIn, root: User) -> None:
    asked = {"name": "Line 2", "roles": ["production"], "scopes": ["account:read", "stations:write"], "days": 1}
    made = (await here.http.post("/admin/v1/machine-keys", json=asked)).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    account = (await here.http.get("/admin/v1/account", headers=headers)).json()
    assert (account["subject"], account["scopes"]) == (f"key:{made['id']}", ["account:read", "stations:write"])
    assert set(account["_links"]) == {"self", "curies"}
    assert account["_templates"] == {}
    for method, path in (("GET", "/sessions"), ("DELETE", "/sessions"), ("PUT", "/password")):
        refused = await here.http.request(method, f"/admin/v1/account{path}", headers=headers, json={})
        assert (refused.status_code, refused.json()["detail"]) == (403, "this is for people, no machine may do it")


@BOTH
async def test_sessions_are_ones_own_and_can_be_ended(here: SignedIn, prefix: str) -> None:
    ann, bob = await here.person("ann", "support"), await here.person("bob", "support")
    first, second = await here.session(ann), await here.session(ann)
    foreign = await here.session(bob)
    here.http.headers.update(await here.token(ann, second))
    sessions = await (await (await enter(here.http, f"{prefix}/")).follow("cb:account")).follow("cb:sessions")
    shown = {one["id"]: one["current"] for one in sessions.items("cb:session")}
    assert shown == {first.id: False, second.id: True}
    assert (await here.http.delete(f"{prefix}/account/sessions/{foreign.id}")).status_code == 404
    assert (await here.http.delete(f"{prefix}/account/sessions/{first.id}")).status_code == 204
    left = {one["id"]: one.offers("end") for one in (await sessions.again()).items("cb:session")}
    assert left == {first.id: False, second.id: True}
    assert (await here.http.delete(f"{prefix}/account/sessions")).status_code == 204
    await here.identity.ended.look()
    assert (await here.http.get(f"{prefix}/account")).status_code == 401, "this one too"
    assert (await here.http.get(f"{prefix}/account", headers=await here.token(bob, foreign))).status_code == 200


@BOTH
async def test_a_password_is_changed_with_the_present_one_and_ends_the_other_sessions(
    here: SignedIn, prefix: str
) -> None:
    ann = await here.person("ann", "support")
    this, other = await here.session(ann), await here.session(ann)
    here.http.headers.update(await here.token(ann, this))
    elsewhere = await here.token(ann, other)
    where = f"{prefix}/account/password"
    wrong = await here.http.put(where, json={"present": "wrong horse battery", "new": NEW})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:cloudbay:problem:wrong-password")
    weak = await here.http.put(where, json={"present": PASSWORD, "new": "short"})
    assert (weak.status_code, weak.json()["type"]) == (422, "urn:cloudbay:problem:weak-password")
    assert PASSWORD not in wrong.text + weak.text
    changed = await here.http.put(where, json={"present": PASSWORD, "new": NEW})
    assert changed.status_code == 204
    await here.identity.ended.look()
    assert (await here.http.get(f"{prefix}/account")).status_code == 200
    assert (await here.http.get(f"{prefix}/account", headers=elsewhere)).status_code == 401
    assert (await here.identity.issuer.login.attempt("ann", NEW, "192.0.2.1")).user_id == ann.id


async def test_guesses_at_the_present_password_are_slowed_as_those_of_a_login_are(here: SignedIn) -> None:
    """Whoever finds a browser open has no more tries than whoever has found the login page."""
    ann = await here.person("ann")
    here.http.headers.update(await here.token(ann))
    guesses = [
        await here.http.put("/app/v1/account/password", json={"present": f"guess {number}", "new": NEW})
        for number in range(7)
    ]
    assert [answer.status_code for answer in guesses] == [422] * 6 + [429]
    assert int(guesses[-1].headers["retry-after"]) >= 1
