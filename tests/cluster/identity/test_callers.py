"""Tokens of the embedded issuer and API keys speak for who they were made for, for one application, until they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from actors.errors import BadRequest
from cluster.identity.caller import Caller, Role
from cluster.identity.callers import IssuedTokens, KeyCallers
from cluster.identity.clients import check_redirect_uri
from cluster.identity.machine_keys import MAX_LIFE, BadKey, MachineKeys
from cluster.identity.sessions import RecentlyEnded, Session
from cluster.identity.signing import AccessClaims, NotOurToken, Signer, make_signing_keys
from cluster.identity.tickets import BadTicket, Tickets
from tests.twins.identity import memory_stores

ISSUER = "http://127.0.0.1:8000"
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OPERATOR: frozenset[Role] = frozenset({"operator"})
KEYS = make_signing_keys()


def signer(issuer: str = ISSUER, keys: str = KEYS, at: datetime = NOON) -> Signer:
    return Signer(keys, issuer, lambda: at, lambda: str(uuid4()))


def about(**changes: Any) -> AccessClaims:
    given: dict[str, Any] = {"subject": "ann", "client_id": "web", "audiences": ["app"], "scopes": ["openid"]}
    person = {"roles": OPERATOR, "authenticated_at": NOON, "session_id": "s", "grant_id": "g"}
    return AccessClaims(**given | person | changes)


async def caller(token: str, ended: RecentlyEnded | None = None, at: datetime = NOON) -> Caller:
    ended = ended or RecentlyEnded(memory_stores().ended, 300, 1, lambda: at)
    return await IssuedTokens(signer(at=at), ended, ["app", "other"]).identify(token)


async def test_a_person_s_token_says_who_with_which_roles_and_since_when() -> None:
    assert await caller(signer().access_token(about(), 60)) == Caller("ann", "local", OPERATOR, None, NOON, "s")


async def test_a_machine_s_token_is_limited_to_its_scopes() -> None:
    nobody = {"authenticated_at": None, "session_id": None, "grant_id": None}
    token = signer().access_token(about(subject="meter", client_id="meter", scopes=["a", "b"], **nobody), 60)
    assert await caller(token) == Caller("client:meter", "local", OPERATOR, frozenset({"a", "b"}))


@pytest.mark.parametrize(
    "token",
    [
        signer().access_token(about(audiences=["elsewhere"]), 60),
        signer().access_token(about(), 0),
        signer(issuer="http://127.0.0.1:8001").access_token(about(), 60),
        signer(keys=make_signing_keys()).access_token(about(), 60),
        signer().access_token(about(roles=frozenset({"king"})), 60),
        signer().id_token({"sub": "ann", "aud": ["app"], "client_id": "web", "scope": ""}, 60),
        signer().access_token(about(), 60)[:-4],
        "",
    ],
    ids=["audience", "expired", "issuer", "key", "role", "id token", "cut", "empty"],
)
async def test_any_other_token_speaks_for_nobody(token: str) -> None:
    with pytest.raises(NotOurToken):
        await caller(token)


@pytest.mark.parametrize("what", ["session", "grant"])
async def test_a_token_of_an_ended_session_or_grant_speaks_for_nobody(what: str) -> None:
    stores = memory_stores()
    ended = RecentlyEnded(stores.ended, 300, 1, lambda: NOON)
    token = signer().access_token(about(), 60)
    assert (await caller(token, ended)).subject == "ann"
    if what == "session":
        await stores.sessions.begin(Session("s", "ann", NOON, NOON, NOON, NOON), b"")
        await stores.sessions.end("ann", "s", NOON)
    else:
        await stores.grants.revoke("g", NOON)
    await ended.look()
    with pytest.raises(NotOurToken, match="log in again"):
        await caller(token, ended)


async def test_a_key_that_was_replaced_still_reads_what_it_has_signed() -> None:
    """The first of the set signs, the others are published until their tokens are gone."""
    new = make_signing_keys()
    both = new[:-2] + "," + KEYS[len('{"keys":[') :]
    signed_before = signer().access_token(about(), 60)
    rotated = signer(keys=both)
    assert rotated.read(signed_before, "at+jwt")["sub"] == "ann"
    assert signer(keys=new).read(rotated.access_token(about(), 60), "at+jwt")["sub"] == "ann"


async def test_an_api_key_speaks_for_its_machine_within_roles_and_scopes() -> None:
    keys = MachineKeys(memory_stores().machine_keys, frozenset({"stations:read"}), lambda: NOON)
    ann = Caller("ann", "local", frozenset({"admin"}))
    made = await keys.make(ann, "meter", OPERATOR, frozenset({"stations:read"}), timedelta(days=1))
    assert made.key.created_by == "ann"
    found = await KeyCallers(keys).identify(made.text)
    assert found == Caller(f"key:{made.key.id}", "local", OPERATOR, frozenset({"stations:read"}))
    with pytest.raises(BadKey):
        await KeyCallers(keys).identify("cb_")
    for roles, scopes in ((frozenset({"king"}), frozenset({"stations:read"})), (OPERATOR, frozenset({"all"}))):
        with pytest.raises(Exception, match=r"king|scopes"):
            await keys.make(ann, "x", roles, scopes, timedelta(days=1))  # type: ignore[arg-type]
    for life in (timedelta(0), MAX_LIFE + timedelta(seconds=1)):
        with pytest.raises(BadRequest, match="days"):
            await keys.make(ann, "x", OPERATOR, frozenset({"stations:read"}), life)


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/cb", "https://app.example/cb#x", "https://*.app.example/cb", "/cb", "https:///cb",
        "javascript:alert(1)", "data:text/html,x", "https://u:p@app.example/cb", "https://app.example;x/cb",
    ],
)  # fmt: skip
def test_a_redirect_uri_that_could_leak_a_code_cannot_be_registered(uri: str) -> None:
    """RFC 9700 section 4.1."""
    with pytest.raises(Exception, match="redirect URI"):
        check_redirect_uri(uri)


@pytest.mark.parametrize("uri", ["https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]:9/cb", "app.cb:/back"])
def test_web_pages_loopback_and_apps_can_be_registered(uri: str) -> None:
    check_redirect_uri(uri)


def test_a_ticket_is_for_one_form_one_browser_and_some_time() -> None:
    at = [NOON]
    tickets = Tickets(b"k" * 32, 60, lambda: at[0])
    ticket = tickets.make("login", "browser", {"request": "a=b"})
    assert tickets.read(ticket, "login", "browser") == {"request": "a=b"}
    for form, browser in (("password", "browser"), ("login", "another")):
        with pytest.raises(BadTicket):
            tickets.read(ticket, form, browser)
    with pytest.raises(BadTicket):
        Tickets(b"x" * 32, 60, lambda: at[0]).read(ticket, "login", "browser")
    at[0] += timedelta(seconds=60)
    with pytest.raises(BadTicket):
        tickets.read(ticket, "login", "browser")
