"""People over HTTP: added, changed, locked, their passwords and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from cluster.identity.people import User
from tests.serve.signing_in import PASSWORD, SignedIn
from tests.serve.walker import enter

PEOPLE = "/admin/v1/people"


async def test_somebody_is_added_with_a_password_for_one_use(here: SignedIn, root: User) -> None:
    asked = {"login": "Ann", "name": "Ann Example", "email": "ann@example.org", "roles": ["support"]}
    answer = await here.http.post(PEOPLE, json=asked)
    made = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (made["login"], made["name"], made["roles"], made["status"]) == ("ann", "Ann Example", ["support"], "active")
    proof = await here.identity.issuer.login.attempt("ann", made["oneTimePassword"], "192.0.2.1")
    assert (proof.user_id, proof.must_change) == (made["subject"], True)
    shown = await here.http.get(answer.headers["location"])
    assert not {"oneTimePassword", "passwordHash"} & set(shown.json())
    again = await here.http.post(PEOPLE, json={"login": "ANN"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:cloudbay:problem:conflict")


async def test_a_repeat_under_its_key_shows_the_same_password_and_adds_nobody(here: SignedIn, root: User) -> None:
    key = {"Idempotency-Key": '"a-key"'}
    first, again = [await here.http.post(PEOPLE, json={"login": "ann"}, headers=key) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"


async def test_people_are_found_by_login_role_and_status(here: SignedIn, root: User) -> None:
    for login, role in (("ann", "support"), ("bob", "auditor")):
        here.forward(seconds=1)
        await here.http.post(PEOPLE, json={"login": login, "roles": [role]})
    bob = await found(here, login="BOB")
    await here.http.patch(bob["_links"]["self"]["href"], json={"status": "disabled"})
    for query, logins in [
        ({}, ["root", "ann", "bob"]),
        ({"role": "support"}, ["ann"]),
        ({"status": "disabled"}, ["bob"]),
        ({"login": "ann", "status": "active"}, ["ann"]),
        ({"login": "an"}, []),
    ]:
        assert [one["login"] for one in await listed(here, **query)] == logins


async def test_the_list_goes_by_pages_that_keep_the_filter(here: SignedIn, root: User) -> None:
    for number in range(3):
        here.forward(seconds=1)
        await here.http.post(PEOPLE, json={"login": f"user{number}", "roles": ["auditor"]})
    page = (await here.http.get(PEOPLE, params={"role": "auditor", "limit": 2})).json()
    rest = (await here.http.get(page["_links"]["next"]["href"])).json()
    assert [one["login"] for one in rest["_embedded"]["cb:user"]] == ["user2"]


async def test_a_client_that_knows_only_the_root_locks_and_unlocks_somebody(here: SignedIn, root: User) -> None:
    users = await (await enter(here.http, "/admin/v1/")).follow("cb:users")
    made = await users.submit("create", login="ann", roles=["operator"])
    locked = await made.submit("lock")
    assert (locked["status"], locked.offers("lock"), locked.offers("unlock")) == ("disabled", False, True)
    unlocked = await locked.submit("unlock")
    assert (unlocked["status"], unlocked.offers("unlock")) == ("active", False)
    reset = await unlocked.submit("reset-password")
    assert reset["oneTimePassword"] != made["oneTimePassword"]


async def test_two_admins_do_not_overwrite_each_other(here: SignedIn, root: User) -> None:
    """RFC 9110 section 13.1.1; that the person has logged in meanwhile is no change of theirs."""
    ann = await here.person("ann", "operator")
    seen = (await here.http.get(f"{PEOPLE}/{ann.id}")).headers["etag"]
    await here.identity.issuer.login.attempt("ann", PASSWORD, "192.0.2.9")
    first = await change(here, ann, {"roles": ["support"]}, {"If-Match": seen})
    assert (first.status_code, first.json()["roles"]) == (200, ["support"])
    for tag in (seen, '"nonsense"', '"9999999999999999999-0"'):
        second = await change(here, ann, {"roles": ["operator"]}, {"If-Match": tag})
        assert (second.status_code, second.json()["type"]) == (412, "urn:cloudbay:problem:changed")
    third = await change(here, ann, {"name": None}, {"If-Match": first.headers["etag"]})
    assert (third.json()["name"], third.json()["roles"]) == (None, ["support"])


async def test_a_login_makes_another_answer(here: SignedIn, root: User) -> None:
    """RFC 9110 section 13.1.2: what a client has is not called unchanged when it is not."""
    ann = await here.person("ann")
    seen = {"If-None-Match": (await here.http.get(f"{PEOPLE}/{ann.id}")).headers["etag"]}
    assert (await here.http.get(f"{PEOPLE}/{ann.id}", headers=seen)).status_code == 304
    here.forward(seconds=5)
    await here.identity.issuer.login.attempt("ann", PASSWORD, "192.0.2.9")
    assert (await here.http.get(f"{PEOPLE}/{ann.id}", headers=seen)).status_code == 200


@pytest.mark.parametrize("asked", [{"roles": []}, {"roles": ["operator"]}, {"status": "disabled"}])
async def test_an_admin_cannot_shut_out_themselves(here: SignedIn, root: User, asked: Mapping[str, object]) -> None:
    await here.person("another", "admin")
    answer = await change(here, root, asked)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:cloudbay:problem:conflict")
    assert "another admin can" in answer.json()["detail"]
    shown = (await here.http.get(f"{PEOPLE}/{root.id}")).json()
    assert set(shown["_templates"]) == {"change"}
    more = await change(here, root, {"roles": ["admin", "support"]})
    assert more.json()["roles"] == ["admin", "support"]


async def test_an_admin_does_not_reset_the_own_password(here: SignedIn, root: User) -> None:
    """With a browser left open, one could otherwise take the account over."""
    assert (await here.http.post(f"{PEOPLE}/{root.id}/password")).status_code == 409
    assert (await here.identity.issuer.login.attempt("root", PASSWORD, "192.0.2.1")).user_id == root.id


async def test_a_reset_password_ends_the_old_one_and_the_sessions(here: SignedIn, root: User) -> None:
    ann = await here.person("ann", "support")
    headers = await here.token(ann)
    answer = await here.http.post(f"{PEOPLE}/{ann.id}/password")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    await here.identity.ended.look()
    assert (await here.http.get("/admin/v1/", headers=headers)).status_code == 401
    with pytest.raises(Exception, match="wrong"):
        await here.identity.issuer.login.attempt("ann", PASSWORD, "192.0.2.1")


async def test_sessions_are_seen_and_ended_one_or_all(here: SignedIn, root: User) -> None:
    ann = await here.person("ann", "support")
    sessions = [await here.session(ann) for _ in range(3)]
    tokens = [await here.token(ann, session) for session in sessions]
    where = f"{PEOPLE}/{ann.id}/sessions"
    page = (await here.http.get(where)).json()
    assert {one["id"] for one in page["_embedded"]["cb:session"]} == {session.id for session in sessions}
    assert {(one["address"], one["userAgent"]) for one in page["_embedded"]["cb:session"]} == {
        ("192.0.2.7", "Browser/1")
    }
    end = next(one for one in page["_embedded"]["cb:session"] if one["id"] == sessions[0].id)["_templates"]["end"]
    assert (await here.http.request(end["method"], end["target"])).status_code == 204
    assert (await here.http.request(end["method"], end["target"])).status_code == 404
    assert await statuses(here, tokens) == [401, 200, 200]
    assert (await here.http.delete(where)).status_code == 204
    assert await statuses(here, tokens) == [401, 401, 401]
    ended = (await here.http.get(where)).json()["_embedded"]["cb:session"]
    assert [one["_templates"] for one in ended] == [{}, {}, {}]


async def test_nobody_has_no_sessions(here: SignedIn, root: User) -> None:
    for method in ("GET", "DELETE"):
        assert (await here.http.request(method, f"{PEOPLE}/nobody/sessions")).status_code == 404


async def test_the_roles_of_somebody_of_an_outside_issuer_are_not_ours(here: SignedIn, root: User) -> None:
    known = await here.identity.people.seen("https://idp.example", "42", "Olga", "olga@example.org")
    shown = (await here.http.get(f"{PEOPLE}/{known}")).json()
    assert (shown["login"], shown["issuer"]) == (None, "https://idp.example")
    assert set(shown["_templates"]) == {"change", "lock"}
    for asked in ({"roles": ["admin"]},):
        assert (await here.http.patch(f"{PEOPLE}/{known}", json=asked)).status_code == 409
    assert (await here.http.post(f"{PEOPLE}/{known}/password")).status_code == 409
    assert (await here.http.patch(f"{PEOPLE}/{known}", json={"status": "disabled"})).status_code == 200


@pytest.mark.parametrize(
    "asked", [{}, {"login": ""}, {"login": "a b"}, {"login": "ann", "roles": ["king"]}, {"login": "ann", "email": "x"}]
)
async def test_what_nobody_can_be_is_refused(here: SignedIn, root: User, asked: dict[str, object]) -> None:
    answer = await here.http.post(PEOPLE, json=asked)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cloudbay:problem:invalid-request")


async def change(
    here: SignedIn, user: User, asked: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> httpx.Response:
    return await here.http.patch(f"{PEOPLE}/{user.id}", json=asked, headers=headers)


async def listed(here: SignedIn, **query: str) -> list[dict[str, Any]]:
    answer = await here.http.get(PEOPLE, params=query)
    items: list[dict[str, Any]] = answer.json()["_embedded"]["cb:user"]
    return items


async def found(here: SignedIn, **query: str) -> dict[str, Any]:
    (one,) = await listed(here, **query)
    return one


async def statuses(here: SignedIn, tokens: list[Mapping[str, str]]) -> list[int]:
    """Tell how requests with these tokens go, once it is known what has ended."""
    await here.identity.ended.look()
    return [(await here.http.get("/admin/v1/", headers=token)).status_code for token in tokens]
