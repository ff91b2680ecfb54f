"""Whatever is sent to the issuer is answered, and nobody is ever sent where no client is registered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.identity.assembly import assemble
from cluster.identity.oauth import OAuthError, parameters
from cluster.keys import load_keys
from configs.settings import Settings
from serve.login.router import router
from tests.serve.login.conftest import CALLBACK, OVERRIDES
from tests.twins.identity import MemoryAttempts, memory_stores

NAMES = [
    "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
    "prompt", "max_age", "resource", "response_mode", "grant_type", "code", "code_verifier", "refresh_token", "token",
    "client_secret", "ticket", "login", "password", "id_token_hint", "post_logout_redirect_uri",
]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["code", "web", CALLBACK, "openid", "S256", "x" * 43, "none", "login", "authorization_code", "refresh_token"]
    ),
    st.sampled_from(["https://evil.example/", "//evil.example", "https://app.example@evil.example/", "\r\nX: y"]),
)
SENT = st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=10)), VALUES, max_size=12)
GOOD = st.builds(
    lambda more: {"response_type": "code", "client_id": "web", "redirect_uri": CALLBACK, "code_challenge": "x" * 43,
                  "code_challenge_method": "S256"} | more, SENT,
)  # fmt: skip
PATHS = ["/oauth2/authorize", "/oauth2/logout", "/oauth2/userinfo"]
POSTS = ["/oauth2/authorize", "/oauth2/login", "/oauth2/password", "/oauth2/token", "/oauth2/revoke", "/oauth2/logout"]


@pytest.fixture
async def app(tmp_path: Path) -> FastAPI:
    chosen = Settings.load("embedded", env={}, overrides=OVERRIDES)
    made = assemble(chosen, memory_stores(), MemoryAttempts(), load_keys(tmp_path), frozenset(),
                    lambda: datetime(2026, 5, 4, tzinfo=UTC), lambda: str(uuid4()))  # fmt: skip
    await made.clients.register_application("web", "Web", frozenset({CALLBACK}))
    app = FastAPI()
    app.state.issuer = made.issuer
    app.include_router(router)
    return app


@given(sent=st.one_of(SENT, GOOD), get=st.sampled_from(PATHS), post=st.sampled_from(POSTS))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_request_is_answered_and_redirects_go_to_registered_places_only(
    app: FastAPI, sent: dict[str, str], get: str, post: str
) -> None:
    """RFC 9700 section 4.11: no open redirector."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cloudbay.test:8000") as http:
        query = urlencode(sent, errors="surrogatepass")
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "cloudbay_session=x"}
        for answer in (await http.get(f"{get}?{query}"), await http.post(post, content=query, headers=headers)):
            assert answer.status_code in (200, 303, 400, 401), answer.text
            if answer.status_code == 303:
                target = urlsplit(answer.headers["location"])
                assert f"{target.scheme}://{target.netloc}{target.path}" == CALLBACK.partition("?")[0]
            assert "Traceback" not in answer.text


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=5)), max_size=6))
def test_a_parameter_is_taken_once_or_not_at_all(pairs: list[tuple[str, str]]) -> None:
    """RFC 6749 section 3.1: without a value it counts as left out, twice it is an error."""
    filled = [(name, value) for name, value in pairs if value]
    names = [name for name, _ in filled]
    try:
        found = parameters(pairs)
    except OAuthError:
        assert len(set(names)) < len(names) or any("\0" in value for _, value in filled)
    else:
        assert found == dict(filled)
        assert len(names) == len(found)
