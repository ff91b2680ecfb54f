"""Sessions as clients meet them: step-up, ending, user info, closed accounts, keys of machines; what is published."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from fastapi import FastAPI

from cluster.identity.caller import Role
from cluster.identity.machine_keys import BadKey
from cluster.identity.people import UserChange
from cluster.identity.services import IdentityServices
from tests.serve.login.conftest import (
    ISSUER,
    PASSWORD,
    ROOT,
    Browser,
    Clock,
    Form,
    another_browser,
    claims_of,
    sent,
)

SUPPORT: frozenset[Role] = frozenset({"support"})


async def test_step_up_asks_again_and_keeps_the_session(browser: Browser, ann: str, clock: Clock) -> None:
    """OpenID Connect Core section 3.1.2.1: max_age and prompt=login; other clients stay logged in."""
    first = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    clock.forward(minutes=10)
    assert "code" in sent(await browser.authorize(max_age="601"))
    for wishes in ({"max_age": "600"}, {"max_age": "0"}, {"prompt": "login"}):
        page = await browser.authorize(**wishes)
        assert page.status_code == 200
        assert Form(page.text).action == "/oauth2/login"
        assert "log in again, to be sure that it is you" in page.text
    assert sent(await browser.authorize(max_age="600", prompt="none"))["error"] == "login_required"
    answer = await browser.token(await browser.log_in("ann", PASSWORD, prompt="login"))
    _, fresh = await claims_of(browser, answer.json()["access_token"])
    assert fresh["auth_time"] == int(clock().timestamp())
    assert (await browser.refresh(first["refresh_token"])).status_code == 200


async def test_sessions_end_by_themselves(browser: Browser, ann: str, clock: Clock) -> None:
    sent(await browser.log_in("ann", PASSWORD))
    for _ in range(29):
        clock.forward(hours=23)
        sent(await browser.authorize())
    clock.forward(hours=25)
    assert (await browser.authorize()).status_code == 200, "a day without use"
    sent(await browser.log_in("ann", PASSWORD))
    for _ in range(31):
        clock.forward(hours=23)
        sent(await browser.authorize())
    clock.forward(hours=23)
    assert (await browser.authorize()).status_code == 200, "thirty days in any case"


async def test_an_ended_session_ends_everything_that_came_from_it(
    browser: Browser, app: FastAPI, ann: str, identity: IdentityServices
) -> None:
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    async with another_browser(app) as http:
        elsewhere = Browser(http)
        others = (await elsewhere.token(await elsewhere.log_in("ann", PASSWORD))).json()
        _, claims = await claims_of(browser, tokens["access_token"])
        listed = (await identity.sessions.page(ann)).items
        assert {session.id for session in listed} >= {claims["sid"]}
        assert {(session.address, session.user_agent) for session in listed} == {("192.0.2.7", "Tests/1")}
        assert await identity.sessions.end(ann, str(claims["sid"])) == 1
        await identity.ended.look()
        assert identity.ended.has(str(claims["sid"]))
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await browser.http.get("/oauth2/userinfo", headers=bearer)).status_code == 401
        assert (await browser.refresh(tokens["refresh_token"])).status_code == 400
        assert (await browser.authorize()).status_code == 200
        assert (await elsewhere.refresh(others["refresh_token"])).status_code == 200


async def test_userinfo_tells_what_the_scopes_allow(browser: Browser, ann: str) -> None:
    """OpenID Connect Core section 5.3."""
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD, scope="openid profile"))).json()
    answer = await browser.http.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.json() == {"sub": ann, "name": "Ann Example", "preferred_username": "ann", "roles": ["operator"]}
    for token in ("nonsense", tokens["id_token"], tokens["refresh_token"]):
        refused = await browser.http.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert (await browser.http.get("/oauth2/userinfo")).status_code == 401


async def test_the_discovery_document_holds_before_a_foreign_reader(browser: Browser) -> None:
    """RFC 8414 and OpenID Connect Discovery by Authlib's rules; https and RS256 are where we differ (decision 0013)."""
    for path, reader in (
        ("openid-configuration", OpenIDProviderMetadata),
        ("oauth-authorization-server", AuthorizationServerMetadata),
    ):
        document = (await browser.http.get(f"/.well-known/{path}")).json()
        assert document["issuer"] == ISSUER
        as_ruled = {key: _https(value) for key, value in document.items()}
        as_ruled["id_token_signing_alg_values_supported"] = [
            "RS256",
            *document["id_token_signing_alg_values_supported"],
        ]
        reader(as_ruled).validate()
        for name in ("authorization", "token", "userinfo", "end_session", "revocation"):
            assert document[f"{name}_endpoint"].startswith(f"{ISSUER}/oauth2/")


async def test_published_keys_hold_no_private_part(browser: Browser) -> None:
    answer: httpx.Response = await browser.http.get("/oauth2/jwks")
    for key in answer.json()["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


def _https(value: object) -> object:
    return value.replace("http://", "https://") if isinstance(value, str) else value


async def test_a_closed_account_gets_no_more_tokens(browser: Browser, ann: str, identity: IdentityServices) -> None:
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    back = sent(await browser.authorize())
    await identity.people.change(ROOT, ann, UserChange(status="disabled"))
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await browser.token(back["code"])).json()["error"] == "invalid_grant"
    page = await browser.log_in("ann", PASSWORD)
    assert Form(page.text).alert.startswith("The login name or the password is wrong")


async def test_a_login_that_crosses_the_closing_of_its_account_gets_no_tokens(
    browser: Browser, ann: str, identity: IdentityServices
) -> None:
    """Its session begins after the others were ended."""
    await identity.people.change(ROOT, ann, UserChange(status="disabled"))
    _, secret = await identity.sessions.begin(ann, None, None, None)
    browser.http.cookies.set("cloudbay_session", secret)
    assert (await browser.token(await browser.authorize())).json()["error"] == "invalid_grant"


async def test_roles_taken_away_are_gone_at_once(browser: Browser, ann: str, identity: IdentityServices) -> None:
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    none: frozenset[Role] = frozenset()
    await identity.people.change(ROOT, ann, UserChange(roles=none))
    await identity.ended.look()
    _, claims = await claims_of(browser, tokens["access_token"])
    assert identity.ended.has(str(claims["sid"]))
    again = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    _, claims = await claims_of(browser, again["access_token"])
    assert "roles" not in claims


async def test_keys_of_machines_are_shown_once_limited_and_ended(identity: IdentityServices, clock: Clock) -> None:
    made = await identity.machine_keys.make(ROOT, "meter", SUPPORT, frozenset({"stations:read"}), timedelta(days=1))
    assert made.text.startswith(f"cb_{made.key.id}_")
    found = await identity.machine_keys.read(made.text)
    assert (found.id, found.scopes) == (made.key.id, frozenset({"stations:read"}))
    assert (await identity.machine_keys.page()).items[0].last_used_at == clock()
    for wrong in (made.text[:-1] + "!", made.text[:-1], f"cb_{'0' * 16}_{made.text[20:]}", "cb_", ""):
        with pytest.raises(BadKey):
            await identity.machine_keys.read(wrong)
    another = await identity.machine_keys.make(ROOT, "x", SUPPORT, frozenset({"stations:read"}), timedelta(days=3))
    clock.forward(days=1)
    with pytest.raises(BadKey):
        await identity.machine_keys.read(made.text)
    await identity.machine_keys.revoke(another.key.id)
    with pytest.raises(BadKey):
        await identity.machine_keys.read(another.text)
