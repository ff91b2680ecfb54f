"""What is dangerous asks for a fresh login, and says so in a way that clients understand (RFC 9470)."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.identity.caller import ROLES, Caller
from cluster.identity.people import User
from cluster.identity.relation import Standing
from serve.access import ADMIN, APP, NotAllowed, Rule, StaleLogin
from serve.admin.application import PREFIX
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW
from tests.serve.login.conftest import Form
from tests.serve.signing_in import PASSWORD, SignedIn

# What somebody who takes a `fresh` out of the table by mistake would give away: it is written here a second time.
DANGEROUS = {
    "POST /people", "PATCH /people/{subject}", "POST /people/{subject}/password", "POST /machine-keys",
    "POST /people/{subject}/erasure",
    "POST /clients", "POST /clients/{client_id}/secret", "DELETE /clients/{client_id}",
    "POST /stations/{station_id}/password", "POST /restart",
    "POST /approvals/{approval_id}/decision", "POST /webhooks/{webhook_id}/secret",
}  # fmt: skip
_PARTS = {"subject": "x", "client_id": "x", "station_id": "CP-1", "approval_id": "x", "webhook_id": "x"}
VERIFIER = "v" * 43
FIVE_MINUTES = timedelta(minutes=5)


def test_what_is_dangerous_is_named_here() -> None:
    assert {operation for operation, rule in ADMIN.items() if rule.fresh} == DANGEROUS
    assert {operation for operation, rule in APP.items() if rule.fresh} == {
        "DELETE /account", "POST /webhooks/{webhook_id}/secret",
    }  # fmt: skip


@pytest.mark.parametrize("operation", sorted(DANGEROUS))
async def test_a_login_that_is_too_old_is_told_what_would_do(here: SignedIn, root: User, operation: str) -> None:
    """RFC 9470 section 3; five minutes to the second."""
    here.forward(minutes=5)
    assert (await asked(here, operation)).status_code not in (401, 403)
    here.forward(seconds=1)
    refused = await asked(here, operation)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:cloudbay:problem:stale-login")
    challenge = refused.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="cloudbay", error="insufficient_user_authentication", max_age="300"')


async def test_a_key_for_repeats_is_not_used_up_by_a_stale_login(here: SignedIn, root: User) -> None:
    """The request that is sent again with a fresh login is the first one that counts."""
    headers = {"Idempotency-Key": '"one"'}
    here.forward(minutes=10)
    assert (await here.http.post("/admin/v1/people", json={"login": "ann"}, headers=headers)).status_code == 401
    here.http.headers.update(await here.token(root))
    assert (await here.http.post("/admin/v1/people", json={"login": "ann"}, headers=headers)).status_code == 201


async def test_what_is_not_dangerous_goes_on_with_an_old_login(here: SignedIn, root: User) -> None:
    here.forward(hours=20)
    for path in ("/people", f"/people/{root.id}", "/machine-keys", "/account"):
        assert (await here.http.get(f"/admin/v1{path}")).status_code == 200
    assert (await here.http.delete("/admin/v1/machine-keys/x")).status_code == 404, "to take away is no danger"


async def test_who_may_not_at_all_is_not_sent_to_log_in_for_nothing(here: SignedIn) -> None:
    ann = await here.person("ann", "auditor")
    here.http.headers.update(await here.token(ann))
    here.forward(hours=1)
    assert (await here.http.post("/admin/v1/people", json={"login": "x"})).status_code == 403


async def test_a_token_of_cloudbay_token_is_fresh_as_long_as_it_is_new(here: SignedIn) -> None:
    """Whoever can make one can make another one."""
    here.http.headers.update(bearer("operator"))
    assert (await here.http.post("/admin/v1/restart")).status_code == 202
    here.platform.now = datetime.now(UTC) + timedelta(minutes=6)
    assert (await here.http.post("/admin/v1/restart")).status_code == 401


def test_who_has_an_issuer_that_tells_no_login_has_none_that_is_fresh() -> None:
    caller = Caller("olga", "https://idp.example", frozenset({"admin"}), logged_in_at=None)
    with pytest.raises(StaleLogin):
        ADMIN["POST /people"].demand(caller, None, NOW, FIVE_MINUTES)


CALLERS = st.builds(
    Caller,
    st.just("somebody"),
    st.just("local"),
    st.frozensets(st.sampled_from(sorted(ROLES))),
    st.none() | st.frozensets(st.sampled_from(sorted({rule.scope for rule in [*ADMIN.values(), *APP.values()]}))),
    st.none() | st.timedeltas(timedelta(0), timedelta(minutes=10)).map(lambda ago: NOW - ago),
)
STANDINGS = st.sampled_from(["owner", "co-owner", "guest", "driver", None])


@given(st.sampled_from([*ADMIN.values(), *APP.values()]), CALLERS, STANDINGS, st.booleans())
def test_what_is_offered_can_be_done_at_once_or_after_a_login(
    rule: Rule, caller: Caller, standing: Standing | None, has_all: bool
) -> None:
    """Links and forms go by `allows`, requests by `demand`."""
    if has_all:  # by chance, hardly anybody has just the role and the scope
        scopes = None if caller.scopes is None else caller.scopes | {rule.scope}
        caller = msgspec.structs.replace(caller, roles=caller.roles | rule.roles, scopes=scopes)
    try:
        rule.demand(caller, standing, NOW, FIVE_MINUTES)
    except NotAllowed:
        assert not rule.allows(caller, standing)
    except StaleLogin:
        assert rule.allows(caller, standing)
        assert rule.fresh
        assert caller.scopes is None
        assert caller.logged_in_at is None or NOW - caller.logged_in_at > FIVE_MINUTES
    else:
        assert rule.allows(caller, standing)
        is_old = caller.logged_in_at is None or NOW - caller.logged_in_at > FIVE_MINUTES
        assert not (rule.fresh and caller.scopes is None and is_old)


async def test_a_machine_needs_its_scope_and_no_login(here: SignedIn, root: User) -> None:
    """It cannot log in again; whoever gave it the scope had to."""
    keys = [
        (await here.http.post("/admin/v1/machine-keys", json=asked)).json()["key"]
        for asked in (
            {"name": "ops", "roles": ["operator"], "scopes": ["hosts:write"], "days": 9},
            {"name": "all", "roles": ["admin"], "scopes": ["users:read"], "days": 9},
        )
    ]
    here.forward(days=1)
    ops, every = ({"Authorization": f"Bearer {key}"} for key in keys)
    assert (await here.http.post("/admin/v1/restart", headers=ops)).status_code == 202
    lacking = await here.http.post("/admin/v1/restart", headers=every)
    assert lacking.status_code == 403
    challenge = lacking.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="cloudbay", error="insufficient_scope", scope="hosts:write"')
    for operation in ("POST /people", "POST /machine-keys", "POST /clients"):
        refused = await asked(here, operation, every)
        assert refused.status_code == 403
        assert "www-authenticate" not in refused.headers, "no scope would help"


async def test_the_embedded_issuer_gives_the_fresh_login_that_was_asked_for(here: SignedIn) -> None:
    """RFC 9470 section 4: max_age of the challenge goes to /authorize; auth_time comes back in the access token."""
    await here.person("root", "admin")
    redirect = "https://portal.example/cb"
    await here.identity.clients.register_application("portal", "Portal", frozenset({redirect}))
    await log_in(here, redirect, {})
    here.forward(minutes=6)
    still = await exchanged(here, redirect, code_of(await authorized(here, redirect, {})))
    refused = await here.http.post("/admin/v1/people", json={"login": "ann"}, headers=still)
    max_age = re.search(r'max_age="(\d+)"', refused.headers["www-authenticate"])
    assert max_age is not None
    fresh = await exchanged(here, redirect, await log_in(here, redirect, {"max_age": max_age[1]}))
    assert (await here.http.post("/admin/v1/people", json={"login": "ann"}, headers=fresh)).status_code == 201


async def asked(here: SignedIn, operation: str, headers: dict[str, str] | None = None) -> httpx.Response:
    method, _, path = operation.partition(" ")
    return await here.http.request(method, PREFIX + path.format(**_PARTS), json={}, headers=headers)


async def authorized(here: SignedIn, redirect: str, wishes: dict[str, str]) -> httpx.Response:
    """Open the authorization endpoint as the application asks."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code", "client_id": "portal", "redirect_uri": redirect, "scope": "openid",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    return await here.http.get("/oauth2/authorize", params=query | wishes)


async def log_in(here: SignedIn, redirect: str, wishes: dict[str, str]) -> str:
    """Log in on the page and return the code; fails when no page asks for it."""
    page = await authorized(here, redirect, wishes)
    assert page.status_code == 200, "the person is asked"
    form = Form(page.text)
    typed = form.values | {"login": "root", "password": PASSWORD}
    own = {"Origin": here.identity.issuer.url, "Sec-Fetch-Site": "same-origin"}
    return code_of(await here.http.post(form.action, data=typed, headers=own))


def code_of(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


async def exchanged(here: SignedIn, redirect: str, code: str) -> dict[str, str]:
    given = {
        "grant_type": "authorization_code", "client_id": "portal", "code": code, "redirect_uri": redirect,
        "code_verifier": VERIFIER,
    }  # fmt: skip
    answer = await here.http.post("/oauth2/token", data=given)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
