"""Logging in and what clients get for it: authorization code with PKCE, tokens, refresh, revocation."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet

from cluster.identity.caller import Role
from cluster.identity.machine_keys import BadKey
from cluster.identity.people import UserChange
from cluster.identity.services import IdentityServices
from tests.serve.login.conftest import (
    CALLBACK,
    ISSUER,
    PASSWORD,
    Browser,
    Clock,
    Form,
    another_browser,
    sent,
)

SUPPORT: frozenset[Role] = frozenset({"support"})


async def claims_of(browser: Browser, token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Check a token with the published keys, as any resource server does; return its header and claims."""
    keys = KeySet.import_key_set((await browser.http.get("/oauth2/jwks")).json())
    found = jwt.decode(token, keys, algorithms=["ES256"])
    return dict(found.header), found.claims


async def test_a_person_logs_in_and_the_client_gets_tokens(browser: Browser, ann: str, clock: Clock) -> None:
    """RFC 6749 section 4.1, RFC 7636, RFC 9068 section 2, RFC 9207, OpenID Connect Core section 3.1."""
    back = sent(await browser.log_in("Ann", PASSWORD))
    assert (back["keep"], back["state"], back["iss"]) == ("me", "xyz", ISSUER)
    answer = await browser.token(back["code"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 300, "openid profile email")
    header, claims = await claims_of(browser, body["access_token"])
    now = int(clock().timestamp())
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    expected = {
        "iss": ISSUER, "sub": ann, "client_id": "web", "aud": ["cloudbay-app", "cloudbay-admin"],
        "scope": "openid profile email", "roles": ["operator"], "auth_time": now, "iat": now, "exp": now + 300,
    }  # fmt: skip
    assert claims == expected | {key: claims[key] for key in ("jti", "sid", "grant_id")}
    assert "email" not in claims, "an access token passes through many logs"
    _, identity = await claims_of(browser, body["id_token"])
    assert (identity["aud"], identity["nonce"], identity["sub"]) == ("web", "n-1", ann)
    assert (identity["name"], identity["email"]) == ("Ann Example", "ann@example.org")


async def test_who_is_logged_in_is_not_asked_again_for_another_application(
    browser: Browser, ann: str, identity: IdentityServices
) -> None:
    """Single sign-on over the applications."""
    await identity.clients.register_application("other", "Other", frozenset({"https://other.example/cb"}))
    sent(await browser.log_in("ann", PASSWORD))
    back = sent(await browser.authorize(client_id="other", redirect_uri="https://other.example/cb"))
    answer = await browser.token(back["code"], client_id="other", redirect_uri="https://other.example/cb")
    _, claims = await claims_of(browser, answer.json()["access_token"])
    assert (claims["sub"], claims["client_id"]) == (ann, "other")


@pytest.mark.parametrize(
    "wishes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "too-short"},
    ],
    ids=["none", "plain", "no method is plain", "no hash"],
)
async def test_pkce_cannot_be_left_out_or_weakened(browser: Browser, ann: str, wishes: dict[str, str | None]) -> None:
    """RFC 9700 section 2.1.1: downgrade of PKCE."""
    assert sent(await browser.authorize(**wishes))["error"] == "invalid_request"


@pytest.mark.parametrize("verifier", [None, "x" * 43, "short"])
async def test_a_code_is_nothing_without_its_verifier(browser: Browser, ann: str, verifier: str | None) -> None:
    """RFC 7636 section 4.6."""
    back = sent(await browser.log_in("ann", PASSWORD))
    refused = await browser.token(back["code"], code_verifier=verifier)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await browser.token(back["code"])).status_code == 200, "whoever stole it cannot use it up either"


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/callback", "https://app.example/callback?keep=me&more",
        "https://app.example/callback/?keep=me", "http://app.example/callback?keep=me",
        "https://app.example:443/callback?keep=me", "https://evil.example/callback?keep=me",
        "https://app.example.evil.example/callback?keep=me", "https://app.example/Callback?keep=me",
        "", "javascript:alert(1)",
    ],
)  # fmt: skip
async def test_a_redirect_uri_is_compared_letter_by_letter(browser: Browser, ann: str, uri: str) -> None:
    """RFC 9700 section 2.1: exact match; and nobody is sent to one that does not match."""
    answer = await browser.authorize(redirect_uri=uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert Form(answer.text).alert


async def test_only_the_port_of_a_loopback_address_is_free(
    browser: Browser, ann: str, identity: IdentityServices
) -> None:
    """RFC 8252 section 7.3."""
    await identity.clients.register_application("cli", "CLI", frozenset({"http://127.0.0.1/cb"}))
    for uri, taken in [
        ("http://127.0.0.1:50123/cb", True), ("http://127.0.0.1/cb", True), ("http://127.0.0.1:50123/other", False),
        ("https://127.0.0.1:50123/cb", False), ("http://127.0.0.2:50123/cb", False), ("http://localhost:5/cb", False),
        ("http://u@127.0.0.1:5/cb", False), ("http://127.0.0.1:x/cb", False), ("http://127.0.0.1:5/cb\n", False),
    ]:  # fmt: skip
        answer = await browser.authorize(client_id="cli", redirect_uri=uri)
        assert (answer.status_code == 200) is taken, uri


async def test_a_code_that_comes_again_ends_what_was_got_with_it(
    browser: Browser, ann: str, identity: IdentityServices
) -> None:
    """RFC 6749 section 4.1.2."""
    back = sent(await browser.log_in("ann", PASSWORD))
    first = (await browser.token(back["code"])).json()
    again = await browser.token(back["code"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await browser.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    await identity.ended.look()
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert (await browser.http.get("/oauth2/userinfo", headers=bearer)).status_code == 401


async def test_two_that_present_a_code_at_once_get_one_token_that_is_taken_back(browser: Browser, ann: str) -> None:
    back = sent(await browser.log_in("ann", PASSWORD))
    answers = await asyncio.gather(*(browser.token(back["code"]) for _ in range(4)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    for body in won:
        assert (await browser.refresh(body["refresh_token"])).status_code == 400


async def test_a_code_is_for_its_client_and_redirect_uri_and_for_a_minute(
    browser: Browser, ann: str, identity: IdentityServices, clock: Clock
) -> None:
    """RFC 6749 section 4.1.3."""
    await identity.clients.register_application("other", "Other", frozenset({CALLBACK}))
    back = sent(await browser.log_in("ann", PASSWORD))
    for wishes in ({"client_id": "other"}, {"redirect_uri": "https://app.example/"}, {"redirect_uri": None}):
        assert (await browser.token(back["code"], **wishes)).json()["error"] == "invalid_grant"
    clock.forward(seconds=60)
    assert (await browser.token(back["code"])).json()["error"] == "invalid_grant"


async def test_a_refresh_token_is_good_once_and_a_second_use_ends_the_whole_chain(browser: Browser, ann: str) -> None:
    """RFC 9700 section 4.14.2."""
    first = (await browser.token(await browser.log_in("ann", PASSWORD))).json()["refresh_token"]
    second = (await browser.refresh(first)).json()["refresh_token"]
    third = (await browser.refresh(second)).json()["refresh_token"]
    assert len({first, second, third}) == 3
    assert (await browser.refresh(first)).json()["error"] == "invalid_grant"
    assert (await browser.refresh(third)).json()["error"] == "invalid_grant"


async def test_a_refresh_gives_no_more_than_was_granted_and_the_roles_of_now(
    browser: Browser, ann: str, identity: IdentityServices, clock: Clock
) -> None:
    """RFC 6749 section 6; the time of login stays the one of the login."""
    token = (await browser.token(await browser.log_in("ann", PASSWORD, scope="openid email"))).json()["refresh_token"]
    logged_in = clock()
    clock.forward(minutes=10)
    assert (await browser.refresh(token, scope="openid profile")).json()["error"] == "invalid_scope"
    assert (await browser.refresh(token, resource="elsewhere")).json()["error"] == "invalid_target"
    less = (await browser.refresh(token, scope="openid", resource="cloudbay-app")).json()
    _, claims = await claims_of(browser, less["access_token"])
    assert (claims["scope"], claims["aud"]) == ("openid", ["cloudbay-app"])
    assert claims["auth_time"] == int(logged_in.timestamp())
    more = (await browser.refresh(less["refresh_token"])).json()
    assert more["scope"] == "openid email"


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_a_token_can_be_taken_back_by_its_client_only(
    browser: Browser, ann: str, identity: IdentityServices, kind: str
) -> None:
    """RFC 7009."""
    await identity.clients.register_application("other", "Other", frozenset({CALLBACK}))
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    for client, status in (("other", 200), ("web", 400)):
        answer = await browser.post("/oauth2/revoke", {"client_id": client, "token": tokens[kind]})
        assert answer.status_code == 200
        refreshed = await browser.refresh(tokens["refresh_token"])
        assert refreshed.status_code == status
        tokens["refresh_token"] = refreshed.json().get("refresh_token")
        if kind == "refresh_token":
            tokens[kind] = tokens["refresh_token"]
    assert (await browser.post("/oauth2/revoke", {"client_id": "web", "token": "unknown"})).status_code == 200


async def test_a_machine_logs_in_with_its_own_secret(browser: Browser, identity: IdentityServices) -> None:
    """RFC 6749 section 4.4, both ways of client authentication."""
    scopes = frozenset({"stations:read", "commands:write"})
    made = await identity.clients.register_machine("meter", "Meter reader", scopes, frozenset({"operator"}))
    secret = str(made.secret)
    asked = {"grant_type": "client_credentials", "scope": "stations:read"}
    basic = await browser.post("/oauth2/token", asked, auth=("meter", secret))
    posted = await browser.post("/oauth2/token", asked | {"client_id": "meter", "client_secret": secret})
    for answer in (basic, posted):
        assert answer.status_code == 200
        _, claims = await claims_of(browser, answer.json()["access_token"])
        assert (claims["sub"], claims["client_id"], claims["scope"]) == ("meter", "meter", "stations:read")
        assert claims["roles"] == ["operator"]
        assert "refresh_token" not in answer.json()
    wrong = await browser.post("/oauth2/token", asked, auth=("meter", "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    for fields in ({"client_id": "meter"}, {"client_id": "nobody"}, {"client_id": "meter", "client_secret": ""}):
        refused = await browser.post("/oauth2/token", {**asked, **fields})
        assert refused.json()["error"] == "invalid_client"
        assert refused.json() == wrong.json(), "an unknown client and a wrong secret look alike"
    twice = await browser.post("/oauth2/token", asked | {"client_secret": secret}, auth=("meter", secret))
    assert twice.json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
        ({"grant_type": None}, "invalid_request"),
        ({"code": None}, "invalid_request"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"client_secret": "public clients have none"}, "invalid_client"),
    ],
)
async def test_what_is_wrong_with_a_token_request_is_told_in_the_protocol_s_words(
    browser: Browser, ann: str, fields: dict[str, str | None], error: str
) -> None:
    """RFC 6749 section 5.2."""
    answer = await browser.token("no code", **fields)
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"


async def test_a_parameter_that_comes_twice_is_refused(browser: Browser, ann: str) -> None:
    """RFC 6749 section 3.1."""
    page = await browser.http.get("/oauth2/authorize?client_id=web&client_id=other")
    assert page.status_code == 400
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"client_id=web&client_id=web", b"x=1&" * 100, b"a" * 40_000):
        answer = await browser.http.post("/oauth2/token", content=body, headers=headers)
        assert answer.json()["error"] == "invalid_request"
    assert (await browser.http.post("/oauth2/token", json={})).json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"resource": "https://elsewhere"}, "invalid_target"),
        ({"request": "ey..."}, "request_not_supported"),
        ({"request_uri": "https://x"}, "request_uri_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "soon"}, "invalid_request"),
    ],
)
async def test_what_is_wrong_with_an_authorization_request_is_told_to_the_client(
    browser: Browser, wishes: dict[str, str], error: str
) -> None:
    """RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6."""
    back = sent(await browser.authorize(**wishes))
    assert (back["error"], back["state"], back["iss"]) == (error, "xyz", ISSUER)
    assert "code" not in back


async def test_step_up_asks_again_and_keeps_the_session(browser: Browser, ann: str, clock: Clock) -> None:
    """OpenID Connect Core section 3.1.2.1: max_age and prompt=login; other clients stay logged in."""
    first = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    clock.forward(minutes=10)
    assert "code" in sent(await browser.authorize(max_age="601"))
    for wishes in ({"max_age": "600"}, {"max_age": "0"}, {"prompt": "login"}):
        page = await browser.authorize(**wishes)
        assert page.status_code == 200
        assert Form(page.text).action == "/oauth2/login"
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
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
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
    await identity.people.change(ann, UserChange(status="disabled"))
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await browser.token(back["code"])).json()["error"] == "invalid_grant"
    page = await browser.log_in("ann", PASSWORD)
    assert Form(page.text).alert == "the login name or the password is wrong"


async def test_roles_taken_away_are_gone_at_once(browser: Browser, ann: str, identity: IdentityServices) -> None:
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    none: frozenset[Role] = frozenset()
    await identity.people.change(ann, UserChange(roles=none))
    await identity.ended.look()
    _, claims = await claims_of(browser, tokens["access_token"])
    assert identity.ended.has(str(claims["sid"]))
    again = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    _, claims = await claims_of(browser, again["access_token"])
    assert "roles" not in claims


async def test_keys_of_machines_are_shown_once_limited_and_ended(identity: IdentityServices, clock: Clock) -> None:
    made = await identity.machine_keys.make("meter", SUPPORT, frozenset({"stations:read"}), "ann", timedelta(days=1))
    assert made.text.startswith(f"cb_{made.key.id}_")
    found = await identity.machine_keys.read(made.text)
    assert (found.id, found.scopes) == (made.key.id, frozenset({"stations:read"}))
    assert (await identity.machine_keys.page()).items[0].last_used_at == clock()
    for wrong in (made.text[:-1] + "!", made.text[:-1], f"cb_{'0' * 16}_{made.text[20:]}", "cb_", ""):
        with pytest.raises(BadKey):
            await identity.machine_keys.read(wrong)
    another = await identity.machine_keys.make("x", SUPPORT, frozenset({"stations:read"}), "ann", timedelta(days=3))
    clock.forward(days=1)
    with pytest.raises(BadKey):
        await identity.machine_keys.read(made.text)
    await identity.machine_keys.revoke(another.key.id)
    with pytest.raises(BadKey):
        await identity.machine_keys.read(another.text)
