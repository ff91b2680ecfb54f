"""Logging in and what clients get for it: authorization code with PKCE, tokens, refresh, revocation."""

from __future__ import annotations

import asyncio

import pytest

from cluster.identity.services import IdentityServices
from tests.serve.login.conftest import (
    CALLBACK,
    ISSUER,
    PASSWORD,
    Browser,
    Clock,
    Form,
    claims_of,
    sent,
)


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
