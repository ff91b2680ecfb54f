"""The embedded issuer on real PostgreSQL and Valkey, with a browser that knows no more of it than a browser does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.bus.attempts import ValkeyAttempts
from cluster.identity.assembly import assemble
from cluster.identity.caller import Caller
from cluster.identity.people import LOCAL_ISSUER
from cluster.identity.services import IdentityServices
from cluster.keys import load_keys
from cluster.store.identity import identity_stores
from cluster.vault.vault import Vault
from configs.settings import Settings
from serve.login.router import router
from tests.cluster.bus.conftest import prefix, wire, wired  # noqa: F401
from tests.cluster.conftest import database, engine, postgres, valkey_server  # noqa: F401

ISSUER = "http://cloudbay.test:8000"
CALLBACK = "https://app.example/callback?keep=me"
LOGGED_OUT = "https://app.example/bye"
OVERRIDES = {
    "issuer.url": ISSUER,
    "passwords.memory_kib": 64,
    "passwords.iterations": 1,
    "passwords.lanes": 1,
    "brakes.account_burst": 3,
}


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


class Form(HTMLParser):
    """The form of a page, as a browser sees it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.values: dict[str, str] = {}
        self.alert = ""
        self._in_alert = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.action = str(found["action"])
        if tag == "input":
            self.values[str(found["name"])] = found.get("value") or ""
        self._in_alert = found.get("role") == "alert"

    def handle_data(self, data: str) -> None:
        if self._in_alert:
            self.alert += data

    def handle_endtag(self, tag: str) -> None:
        self._in_alert = False


@dataclass
class Browser:
    """A browser and the application in it: keeps cookies, fills in forms, follows nothing by itself."""

    http: httpx.AsyncClient
    verifier: str = field(default_factory=lambda: generate_token(48))

    async def authorize(self, **wishes: str | None) -> httpx.Response:
        """Open the authorization endpoint as the application asks."""
        challenge = create_s256_code_challenge(self.verifier)
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "web",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email",
            "state": "xyz",
            "nonce": "n-1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        query = {name: value for name, value in (asked | wishes).items() if value is not None}
        return await self.http.get(f"/oauth2/authorize?{urlencode(query)}")

    async def submit(self, page: httpx.Response, headers: dict[str, str] | None = None, **typed: str) -> httpx.Response:
        """Fill in and send a page's form."""
        form = Form(page.text)
        own = {"Origin": ISSUER, "Sec-Fetch-Site": "same-origin"}
        return await self.http.post(form.action, data=form.values | typed, headers=own if headers is None else headers)

    async def log_in(self, login: str, password: str, **wishes: str | None) -> httpx.Response:
        """Open the login page and fill it in."""
        return await self.submit(await self.authorize(**wishes), login=login, password=password)

    async def token(self, answer: httpx.Response | str, **wishes: str | None) -> httpx.Response:
        """Exchange the code that an answer brings to the application."""
        code = answer if isinstance(answer, str) else sent(answer)["code"]
        given: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": "web",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        }
        return await self.post("/oauth2/token", given | wishes)

    async def refresh(self, token: str, **wishes: str | None) -> httpx.Response:
        """Use a refresh token."""
        given = {"grant_type": "refresh_token", "client_id": "web", "refresh_token": token}
        return await self.post("/oauth2/token", {**given, **wishes})

    async def post(self, path: str, fields: Mapping[str, str | None], **more: Any) -> httpx.Response:
        """Post a form."""
        return await self.http.post(path, data={k: v for k, v in fields.items() if v is not None}, **more)


def sent(answer: httpx.Response) -> dict[str, str]:
    """Return what a redirect tells the application."""
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def claims_of(browser: Browser, token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Check a token with the published keys, as any resource server does; return its header and claims."""
    keys = KeySet.import_key_set((await browser.http.get("/oauth2/jwks")).json())
    found = jwt.decode(token, keys, algorithms=["ES256"])
    return dict(found.header), found.claims


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def identity(
    engine: AsyncEngine,  # noqa: F811
    wired: Redis,  # noqa: F811
    prefix: str,  # noqa: F811
    clock: Clock,
    tmp_path: Path,
) -> AsyncIterator[IdentityServices]:
    settings = Settings.load("embedded", env={}, overrides=OVERRIDES)
    stores = identity_stores(engine, Vault({1: b"s" * 32}, 1, b"l" * 32))
    scopes = frozenset({"stations:read", "commands:write"})
    keys = load_keys(tmp_path)
    new_id = lambda: str(uuid4())  # noqa: E731
    made = assemble(settings, stores, ValkeyAttempts(wired, prefix), keys, scopes, clock, new_id)
    await made.clients.register_application("web", "Web", frozenset({CALLBACK}), frozenset({LOGGED_OUT}))
    yield made
    made.close()


@pytest.fixture
def app(identity: IdentityServices) -> FastAPI:
    app = FastAPI()
    app.state.issuer = identity.issuer
    app.include_router(router)
    return app


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    async with another_browser(app) as http:
        yield Browser(http)


def another_browser(app: FastAPI, address: str = "192.0.2.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url=ISSUER, headers={"User-Agent": "Tests/1"})


PASSWORD = "correct horse battery"
ROOT = Caller("root", LOCAL_ISSUER, frozenset({"admin"}))


@pytest.fixture
async def ann(identity: IdentityServices) -> str:
    """Add somebody with a password of her own; return her id."""
    made = await identity.people.create("Ann", frozenset({"operator"}), "Ann Example", "ann@example.org")
    proof = await identity.issuer.login.attempt("ann", made.one_time_password, "192.0.2.1")
    await identity.issuer.login.change_password(proof.user_id, "ann", proof.fingerprint, PASSWORD)
    return made.user.id
