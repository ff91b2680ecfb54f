"""Authlib's own client, over a real socket, gets through the whole flow, from discovery to revocation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import uvicorn
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.bus.attempts import ValkeyAttempts
from cluster.identity.assembly import assemble
from cluster.identity.services import IdentityServices
from cluster.keys import load_keys
from cluster.store.identity import identity_stores
from cluster.vault.vault import Vault
from configs.settings import Settings
from serve.login.router import router
from tests.serve.login.conftest import OVERRIDES, Clock, Form

CALLBACK = "http://127.0.0.1/callback"
PASSWORD = "correct horse battery"


@pytest.fixture
async def served(
    engine: AsyncEngine, wired: Redis, prefix: str, clock: Clock, tmp_path: Path
) -> AsyncIterator[IdentityServices]:
    """Run the router under uvicorn on a free port that is also the issuer's name."""
    app = FastAPI()
    app.include_router(router)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    settings = Settings.load("embedded", env={}, overrides=OVERRIDES | {"issuer.url": f"http://127.0.0.1:{port}"})
    stores = identity_stores(engine, Vault({1: b"s" * 32}, 1, b"l" * 32))
    keys = load_keys(tmp_path)
    scopes = frozenset({"stations:read"})
    made = assemble(settings, stores, ValkeyAttempts(wired, prefix), keys, scopes, clock, lambda: str(uuid4()))
    app.state.issuer = made.issuer
    await made.clients.register_application("cli", "CLI", frozenset({CALLBACK}))
    yield made
    server.should_exit = True
    async with asyncio.timeout(10):
        await serving


@pytest.fixture
async def person(served: IdentityServices) -> str:
    made = await served.people.create("ann", frozenset({"support"}))
    proof = await served.issuer.login.attempt("ann", made.one_time_password, "127.0.0.1")
    await served.issuer.login.change_password(proof.user_id, "ann", proof.fingerprint, PASSWORD)
    return made.user.id


async def logged_in(url: str) -> str:
    """Do what a person does in a browser; return where it is sent."""
    async with httpx.AsyncClient() as browser:
        page = await browser.get(url)
        form = Form(page.text)
        fields = form.values | {"login": "ann", "password": PASSWORD}
        return str((await browser.post(str(page.url.join(form.action)), data=fields)).headers["location"])


async def test_authlib_s_client_gets_through(served: IdentityServices, person: str) -> None:
    """RFC 6749, 7636, 7009, 8252 and 8414 as a library that is not ours reads them."""
    url = served.issuer.url
    async with httpx.AsyncClient() as http:
        found = (await http.get(f"{url}/.well-known/openid-configuration")).json()
        keys = KeySet.import_key_set((await http.get(found["jwks_uri"])).json())
    callback = "http://127.0.0.1:50123/callback"
    async with AsyncOAuth2Client(
        "cli", redirect_uri=callback, scope="openid profile", code_challenge_method="S256",
        token_endpoint_auth_method="none", token_endpoint=found["token_endpoint"],
    ) as client:  # fmt: skip
        verifier = "v" * 64
        asked, state = client.create_authorization_url(found["authorization_endpoint"], code_verifier=verifier)
        back = await logged_in(asked)
        assert back.startswith(callback)
        token = await client.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
        claims = jwt.decode(token["access_token"], keys, algorithms=["ES256"]).claims
        assert (claims["sub"], claims["roles"], claims["iss"]) == (person, ["support"], url)
        assert (await client.get(found["userinfo_endpoint"])).json()["sub"] == person
        renewed = await client.refresh_token(refresh_token=token["refresh_token"])
        assert renewed["refresh_token"] != token["refresh_token"]
        revoked = await client.revoke_token(found["revocation_endpoint"], token=renewed["refresh_token"])
        assert revoked.status_code == 200
        with pytest.raises(OAuthError, match="invalid_grant"):
            await client.refresh_token(refresh_token=renewed["refresh_token"])


async def test_a_machine_with_authlib_s_client(served: IdentityServices) -> None:
    """RFC 6749 section 4.4."""
    made = await served.clients.register_machine("meter", "Meter", frozenset({"stations:read"}))
    url = f"{served.issuer.url}/oauth2/token"
    for method in ("client_secret_basic", "client_secret_post"):
        async with AsyncOAuth2Client("meter", made.secret, token_endpoint_auth_method=method) as client:
            token = await client.fetch_token(url, grant_type="client_credentials", scope="stations:read")
            assert (token["token_type"], token["scope"]) == ("Bearer", "stations:read")
