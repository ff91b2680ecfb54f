"""Four eyes over HTTP, with the deed that needs them: the erasure of a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from cluster.identity.people import User
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform

APPROVALS = "/admin/v1/approvals"
ERASURE = "/admin/v1/people/pia/erasure"


@pytest.fixture
def platform(platform: MemoryPlatform) -> MemoryPlatform:
    """Return a platform that knows Pia."""
    known = User("pia", "local", "pia", "pia", "pia@example.org", "Pia", frozenset(), "active", NOW)
    platform.people.users["pia"] = known
    return platform


class Staff:
    """Somebody's client."""

    def __init__(self, http: httpx.AsyncClient, subject: str, *roles: Any) -> None:
        self._http = http
        self._headers = bearer(*roles, subject=subject)

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(path, headers=self._headers)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self._http.post(path, json=body, headers={**self._headers, **headers})


@pytest.fixture
def sue(anonymous: httpx.AsyncClient) -> Staff:
    return Staff(anonymous, "sue", "support")


@pytest.fixture
def root(anonymous: httpx.AsyncClient) -> Staff:
    return Staff(anonymous, "root", "admin")


async def asked(who: Staff) -> dict[str, Any]:
    """Try the deed, and ask for what its answer names."""
    refused = (await who.post(ERASURE, {})).json()
    where = refused["_links"]["cb:approvals"]["href"]
    answer = await who.post(where, {**refused["approval"], "reason": "she has asked for it"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def decide(who: Staff, approval: dict[str, Any], form: str) -> httpx.Response:
    """Fill in a form as it comes."""
    template = (await who.get(f"{APPROVALS}/{approval['id']}")).json()["_templates"][form]
    body = {one["name"]: one["value"] for one in template["properties"] if "value" in one}
    return await who.post(template["target"], body)


async def test_a_deed_without_an_approval_is_told_what_to_ask_for(sue: Staff, platform: MemoryPlatform) -> None:
    answer = await sue.post(ERASURE, {})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, "urn:cloudbay:problem:approval-needed")
    assert problem["approval"] == {"kind": "person.erase", "target": "person/pia", "payload": {}}
    assert platform.people.users["pia"].status == "active"


async def test_one_asks_another_approves_and_the_deed_is_done_once(
    sue: Staff, root: Staff, platform: MemoryPlatform
) -> None:
    approval = await asked(sue)
    assert (await decide(root, approval, "approve")).json()["state"] == "approved"
    assert (await sue.post(ERASURE, {"approvalId": approval["id"]})).status_code == 204
    pia = platform.people.users["pia"]
    assert (pia.status, pia.login, pia.email) == ("erased", None, None)
    used = (await sue.get(f"{APPROVALS}/{approval['id']}")).json()
    assert (used["state"], used["usedBy"], used["decidedBy"]) == ("used", "sue", "root")
    assert (await sue.post(ERASURE, {"approvalId": approval["id"]})).status_code == 409


async def test_nobody_decides_what_they_have_asked_for(root: Staff, anonymous: httpx.AsyncClient) -> None:
    approval = await asked(root)
    assert approval["_templates"] == {}
    alone = await root.post(f"{APPROVALS}/{approval['id']}/decision", {"verdict": "approved"})
    assert (alone.status_code, alone.json()["type"]) == (403, "urn:cloudbay:problem:may-not-decide")
    other = Staff(anonymous, "ruth", "admin")
    assert (await decide(other, approval, "reject")).json()["state"] == "rejected"
    assert (await root.post(ERASURE, {"approvalId": approval["id"]})).status_code == 409


@pytest.mark.parametrize("role", ["auditor", "operator", "support"])
async def test_only_who_may_decide_has_the_forms(sue: Staff, anonymous: httpx.AsyncClient, role: Any) -> None:
    approval = await asked(sue)
    other = Staff(anonymous, "eve", role)
    assert (await other.get(f"{APPROVALS}/{approval['id']}")).json()["_templates"] == {}
    assert (await other.post(f"{APPROVALS}/{approval['id']}/decision", {"verdict": "approved"})).status_code == 403


async def test_an_approval_is_good_for_what_was_asked_alone(sue: Staff, root: Staff, platform: MemoryPlatform) -> None:
    approval = await asked(sue)
    await decide(root, approval, "approve")
    platform.people.users["bob"] = platform.people.users["pia"]
    other = await sue.post("/admin/v1/people/bob/erasure", {"approvalId": approval["id"]})
    assert (other.status_code, other.json()["type"]) == (409, "urn:cloudbay:problem:conflict")
    assert platform.people.users["bob"].status == "active"


async def test_what_hinders_the_deed_is_told_before_the_approval_is_used_up(
    sue: Staff, root: Staff, platform: MemoryPlatform
) -> None:
    approval = await asked(sue)
    await decide(root, approval, "approve")
    charge = platform.charge("CP-1", await platform.drivers.id_token("pia"))
    assert (await sue.post(ERASURE, {"approvalId": approval["id"]})).status_code == 409
    charge.ended_at = NOW
    assert (await sue.post(ERASURE, {"approvalId": approval["id"]})).status_code == 204


async def test_who_does_not_exist_needs_no_approval_to_be_not_found(sue: Staff) -> None:
    assert (await sue.post("/admin/v1/people/nobody/erasure", {})).status_code == 404


async def test_requests_are_listed_by_what_they_are_and_expire(
    sue: Staff, root: Staff, platform: MemoryPlatform
) -> None:
    approval = await asked(sue)
    for query, found in (("state=open", 1), ("state=approved", 0), ("target=person/pia", 1), ("requestedBy=root", 0)):
        listed = (await root.get(f"{APPROVALS}?{query}")).json()["_embedded"]["cb:approval"]
        assert len(listed) == found, query
    platform.now += timedelta(days=7)
    late = (await root.get(f"{APPROVALS}/{approval['id']}")).json()
    assert (late["state"], late["_templates"]) == ("expired", {})


async def test_a_decision_on_another_state_than_was_seen_is_refused(
    sue: Staff, root: Staff, anonymous: httpx.AsyncClient
) -> None:
    approval = await asked(sue)
    where = f"{APPROVALS}/{approval['id']}"
    tag = (await root.get(where)).headers["etag"]
    await decide(Staff(anonymous, "ruth", "admin"), approval, "reject")
    late = await root.post(f"{where}/decision", {"verdict": "approved"}, **{"If-Match": tag})
    assert late.status_code == 412


async def test_a_request_that_is_repeated_under_its_key_is_one(sue: Staff, platform: MemoryPlatform) -> None:
    body = {"kind": "person.erase", "target": "person/pia", "reason": "asked"}
    answers = [await sue.post(APPROVALS, body, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert len(platform.approvals.kept) == 1
