"""The pages: what they allow, what forged forms get, one-time passwords, logging out, and brakes."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import httpx
import pytest
from fastapi import FastAPI, Response

from actors.errors import Conflict
from cluster.identity.assembly import issuer_url
from cluster.identity.people import UserChange
from cluster.identity.services import IdentityServices
from configs.settings import Settings
from serve.login.browser import Cookie
from tests.cluster.bus.conftest import Wire
from tests.serve.login.conftest import (
    LOGGED_OUT,
    PASSWORD,
    ROOT,
    Browser,
    Clock,
    Form,
    another_browser,
    sent,
)

WRONG = "The login name or the password is wrong; try again, or have an admin give you a new one."


def policy_of(page: httpx.Response) -> dict[str, str]:
    """Return the directives of a page's Content-Security-Policy."""
    parts = page.headers["content-security-policy"].split("; ")
    return dict(part.split(" ", 1) for part in parts)


async def test_the_login_page_works_without_scripts_and_allows_none(browser: Browser, ann: str) -> None:
    page = await browser.authorize(login_hint="<b>ann")
    policy = policy_of(page)
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self' https://app.example",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert "<script" not in page.text
    assert not re.search(r"\son\w+=|style=|javascript:", page.text)
    assert "<b>ann" not in page.text
    assert Form(page.text).values["login"] == "<b>ann"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"


async def test_the_login_page_can_be_used_by_ear_and_keyboard(browser: Browser, ann: str) -> None:
    """WCAG 2.2: language, title, labels, purpose of inputs, faults that are announced."""
    page = await browser.log_in("ann", "wrong")
    text = page.text
    assert '<html lang="en">' in text
    assert "<title>Log in" in text
    for field, purpose in (("login", "username"), ("password", "current-password")):
        assert f'<label for="{field}">' in text
        assert re.search(rf'<input id="{field}"[^>]*autocomplete="{purpose}"', text)
    assert f'<p role="alert" id="fault">{WRONG}</p>' in text
    assert re.search(r'<input id="password"[^>]*aria-describedby="fault"', text)


async def test_who_chooses_a_password_is_told_the_rule_before(browser: Browser, identity: IdentityServices) -> None:
    """WCAG 2.2, 3.3.2: what an input has to be is said where it is asked for, not after it was refused."""
    made = await identity.people.create("bob")
    page = await browser.log_in("bob", made.one_time_password)
    assert '<p id="rule">A password has 12 to 256 characters.</p>' in page.text
    assert re.search(r'<input id="new"[^>]*aria-describedby="rule"', page.text)
    refused = await browser.submit(page, new_password="short", again="short")
    assert re.search(r'<input id="new"[^>]*aria-describedby="fault rule"', refused.text)


async def test_a_first_login_needs_no_application(browser: Browser, identity: IdentityServices) -> None:
    """An application that comes later finds who has logged in, and asks nothing."""
    made = await identity.people.create("bob")
    page = await browser.http.get("/oauth2/login")
    assert policy_of(page)["form-action"] == "'self'"
    page = await browser.submit(page, login="bob", password=made.one_time_password)
    entered = await browser.submit(page, new_password=PASSWORD, again=PASSWORD)
    assert (entered.status_code, entered.headers["location"]) == (303, "/oauth2/login")
    assert "You are logged in" in (await browser.http.get("/oauth2/login")).text
    assert "code" in sent(await browser.authorize())


@pytest.mark.parametrize("path", ["/oauth2/login", "/oauth2/password"])
async def test_a_page_that_is_loaded_again_is_a_page(browser: Browser, ann: str, path: str) -> None:
    """The address of a refused form stays in the browser; asked for anew, it is no error for programs."""
    page = await browser.http.get(path, follow_redirects=True)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert Form(page.text).action == "/oauth2/login"


async def test_an_application_s_mistake_is_told_to_who_can_do_nothing_about_it(browser: Browser) -> None:
    page = await browser.authorize(client_id="nobody")
    assert Form(page.text).alert.startswith("The client is unknown")
    assert "go back to the application" in Form(page.text).alert


async def test_there_is_one_cookie_out_of_reach_of_scripts_and_new_after_login(browser: Browser, ann: str) -> None:
    """Session fixation: what the browser had before login opens nothing afterwards."""
    page = await browser.authorize()
    before = browser.http.cookies["cloudbay_session"]
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    answer = await browser.submit(page, login="ann", password=PASSWORD)
    after = browser.http.cookies["cloudbay_session"]
    assert len(answer.headers.get_list("set-cookie")) == 1
    assert before != after
    browser.http.cookies.clear()
    browser.http.cookies.set("cloudbay_session", before)
    assert (await browser.authorize()).status_code == 200


def test_over_https_the_cookie_is_bound_to_the_host() -> None:
    response = Cookie("https://cloudbay.example").given(Response(), "value")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-cloudbay_session=value;")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://cloudbay.test"},
        {"Origin": "http://cloudbay.test:8000", "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_form_posted_by_a_foreign_page_is_refused(browser: Browser, ann: str, headers: dict[str, str]) -> None:
    page = await browser.submit(await browser.authorize(), headers, login="ann", password=PASSWORD)
    assert page.status_code == 400
    assert Form(page.text).alert == "The form has expired; open the page again."


async def test_a_form_is_good_in_its_browser_for_half_an_hour(
    browser: Browser, app: FastAPI, ann: str, clock: Clock
) -> None:
    """Login CSRF: an attacker's form does not log a victim in as the attacker."""
    page = await browser.authorize()
    async with another_browser(app) as http:
        victim = Browser(http)
        await victim.authorize()
        assert (await victim.submit(page, login="ann", password=PASSWORD)).status_code == 400
        http.cookies.clear()
        assert (await victim.submit(page, login="ann", password=PASSWORD)).status_code == 400
    forged = await browser.submit(page, login="ann", password=PASSWORD, ticket="nonsense")
    assert forged.status_code == 400
    clock.forward(minutes=30)
    assert (await browser.submit(page, login="ann", password=PASSWORD)).status_code == 400


async def test_the_first_admin_logs_in_once_with_a_password_that_must_be_changed(
    browser: Browser, identity: IdentityServices, clock: Clock
) -> None:
    first = await identity.prepare(frozenset({"https://web.example/cb"}), frozenset())
    assert first is not None
    assert first.user.roles == {"admin"}
    assert await identity.prepare(frozenset(), frozenset()) is None, "only on an empty database"
    assert (await identity.clients.named("cloudbay-web")).redirect_uris == {"https://web.example/cb"}

    page = await browser.log_in("admin", first.one_time_password)
    assert Form(page.text).action == "/oauth2/password"
    assert "location" not in page.headers
    for new, again, fault in [
        ("short", "short", "A password has 12 to 256 characters."),
        ("the admin's own one", "the admin's own one", "The password must not contain the login name."),
        ("aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "The password repeats too few characters."),
        (first.one_time_password, first.one_time_password, "The new password must differ from the old one."),
        ("a decent new one", "a decent new two", "The two passwords differ."),
    ]:
        refused = await browser.submit(page, new_password=new, again=again)
        assert Form(refused.text).alert == fault
    answer = await browser.submit(page, new_password="a decent new one", again="a decent new one")
    assert "code" in sent(answer)
    repeated = await browser.submit(page, new_password="yet another new one", again="yet another new one")
    assert repeated.status_code == 400, "the ticket was for the browser before login"
    browser.http.cookies.clear()
    assert Form((await browser.log_in("admin", first.one_time_password)).text).alert == WRONG
    assert "code" in sent(await browser.log_in("admin", "a decent new one"))


async def test_a_one_time_password_that_was_not_used_expires(
    browser: Browser, identity: IdentityServices, clock: Clock
) -> None:
    made = await identity.people.create("bob")
    clock.forward(days=1)
    assert Form((await browser.log_in("bob", made.one_time_password)).text).alert == WRONG
    again = await identity.people.reset_password(ROOT, made.user.id)
    assert Form((await browser.log_in("bob", again.one_time_password)).text).action == "/oauth2/password"


async def test_a_reset_ends_sessions_and_the_old_password(
    browser: Browser, ann: str, identity: IdentityServices
) -> None:
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    await identity.people.reset_password(ROOT, ann)
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 400
    assert Form((await browser.log_in("ann", PASSWORD)).text).alert == WRONG


async def test_roles_of_outside_people_are_their_issuer_s(identity: IdentityServices) -> None:
    known = await identity.people.seen("https://idp", "42", "Ann")
    assert await identity.people.seen("https://idp", "42", "Ann") == known
    with pytest.raises(Conflict, match="https://idp"):
        await identity.people.change(ROOT, known, UserChange(roles=frozenset({"admin"})))
    with pytest.raises(Conflict, match="no password here"):
        await identity.people.reset_password(ROOT, known)


async def test_logging_out_with_the_client_s_hint_asks_nothing(browser: Browser, ann: str, clock: Clock) -> None:
    """OpenID Connect RP-Initiated Logout: also with an ID token that has expired."""
    tokens = (await browser.token(await browser.log_in("ann", PASSWORD))).json()
    clock.forward(hours=1)
    asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": LOGGED_OUT, "state": "s"}
    answer = await browser.http.get("/oauth2/logout", params=asked)
    assert answer.headers["location"] == f"{LOGGED_OUT}?state=s"
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 400
    assert (await browser.authorize()).status_code == 200


async def test_logging_out_without_a_hint_asks_first(browser: Browser, ann: str) -> None:
    sent(await browser.log_in("ann", PASSWORD))
    page = await browser.http.get("/oauth2/logout")
    assert "code" in sent(await browser.authorize()), "a link on a foreign page logs nobody out"
    forged = await browser.submit(page, {"Origin": "https://evil.example"})
    assert forged.status_code == 400
    done = await browser.submit(page)
    assert "You are logged out" in done.text
    assert (await browser.authorize()).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"client_id": "web", "post_logout_redirect_uri": "https://evil.example"},
        {"client_id": "nobody", "post_logout_redirect_uri": LOGGED_OUT},
        {"post_logout_redirect_uri": LOGGED_OUT},
        {"id_token_hint": "nonsense"},
    ],
)
async def test_nobody_is_sent_to_a_logout_uri_that_is_not_registered(
    browser: Browser, ann: str, asked: dict[str, str]
) -> None:
    sent(await browser.log_in("ann", PASSWORD))
    answer = await browser.http.get("/oauth2/logout", params=asked)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_failed_logins_must_wait_longer_and_longer(browser: Browser, ann: str, clock: Clock) -> None:
    for _ in range(3):
        assert (await browser.log_in("ann", "wrong")).status_code == 400
    assert (await browser.log_in("ann", "wrong")).status_code == 400
    waits = []
    for _ in range(3):
        held = await browser.log_in("ann", PASSWORD)
        assert held.status_code == 429, "not even the right password is looked at"
        waits.append(int(held.headers["retry-after"]))
        assert Form(held.text).alert == f"Too many attempts; try again in {waits[-1]} s."
        clock.forward(seconds=waits[-1])
        assert (await browser.log_in("ann", "wrong")).status_code == 400
    assert waits == [1, 2, 4]
    clock.forward(seconds=8)
    assert "code" in sent(await browser.log_in("ann", PASSWORD))
    browser.http.cookies.clear()
    for _ in range(3):
        assert (await browser.log_in("ann", "wrong")).status_code == 400, "success has forgotten the failures"


@pytest.mark.parametrize("login", ["ann", "nobody", "ann@ nobody", ""])
async def test_known_and_unknown_accounts_answer_alike(browser: Browser, ann: str, login: str) -> None:
    """Text, status and brakes; the work behind them is compared in tests/cluster/identity/test_login.py."""
    seen = []
    for _ in range(5):
        page = await browser.log_in(login, "wrong")
        seen.append((page.status_code, Form(page.text).alert, page.headers.get("retry-after")))
    assert seen == [(400, WRONG, None)] * 4 + [(429, "Too many attempts; try again in 1 s.", "1")]


async def test_brakes_hold_while_valkey_is_away_and_after(browser: Browser, ann: str, wire: Wire, clock: Clock) -> None:
    """The database counts meanwhile."""
    await wire.cut()
    for _ in range(4):
        assert (await browser.log_in("ann", "wrong")).status_code == 400
    assert (await browser.log_in("ann", "wrong")).status_code == 429
    clock.forward(seconds=2)
    assert "code" in sent(await browser.log_in("ann", PASSWORD))
    browser.http.cookies.clear()
    await wire.mend()
    clock.forward(minutes=1)
    for _ in range(4):
        assert (await browser.log_in("ann", "wrong")).status_code == 400
    assert (await browser.log_in("ann", "wrong")).status_code == 429


async def test_the_address_that_a_proxy_of_this_machine_has_seen_is_the_one(app: FastAPI, ann: str) -> None:
    """What a client writes into the header itself comes before what the proxy adds."""
    async with another_browser(app, "127.0.0.1") as http:
        http.headers["X-Forwarded-For"] = "10.0.0.1, 198.51.100.9"
        await Browser(http).log_in("ann", PASSWORD)
    async with another_browser(app, "203.0.113.5") as http:
        http.headers["X-Forwarded-For"] = "10.0.0.1"
        await Browser(http).log_in("ann", PASSWORD)
    sessions = (await app.state.issuer.sessions.page(ann)).items
    assert {session.address for session in sessions} == {"198.51.100.9", "203.0.113.5"}


def test_the_embedded_issuer_is_found_at_the_api_s_address() -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({}, "http://127.0.0.1:8000"),
        ({"api.host": "0.0.0.0", "api.port": 8001}, "http://127.0.0.1:8001"),
        ({"api.host": "2001:db8::1"}, "http://[2001:db8::1]:8000"),
        ({"issuer.url": "https://cloudbay.example/id"}, "https://cloudbay.example/id"),
    ]
    for overrides, url in cases:
        assert issuer_url(Settings.load("embedded", env={}, overrides=overrides)) == url
