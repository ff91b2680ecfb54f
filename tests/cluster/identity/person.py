"""A person with a browser who logs in at an issuer, and the application that sent them there (code with PKCE)."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx
from authlib.common.security import generate_token
from authlib.integrations.httpx_client import AsyncOAuth2Client

DISCOVERY = "/.well-known/openid-configuration"
MAX_STEPS = 20
PATIENCE_S = 60.0
"""What a server that has just started may take on a busy machine."""


class Form(HTMLParser):
    """The first form of a page: where it goes and its fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = found.get("action")
        elif tag == "input" and (name := found.get("name")):
            self.fields[name] = found.get("value") or ""


async def endpoints(issuer: str) -> dict[str, Any]:
    """Return an issuer's discovery document."""
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        return dict((await client.get(issuer + DISCOVERY)).raise_for_status().json())


async def log_in(
    issuer: str, client_id: str, redirect_uri: str, typed: Mapping[str, str], **asked: str
) -> Mapping[str, Any]:
    """Return the tokens an application gets when a person has typed what the issuer's pages ask for."""
    at = await endpoints(issuer)
    verifier = generate_token(48)
    async with AsyncOAuth2Client(
        client_id,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        trust_env=False,
        timeout=PATIENCE_S,
    ) as application:
        url, _ = application.create_authorization_url(at["authorization_endpoint"], code_verifier=verifier, **asked)
        back = await _browse(url, redirect_uri, typed)
        resource = {name: value for name, value in asked.items() if name == "resource"}
        tokens = await application.fetch_token(
            at["token_endpoint"], authorization_response=back, code_verifier=verifier, **resource
        )
        return dict(tokens)


async def client_credentials(issuer: str, client_id: str, secret: str, **asked: str) -> Mapping[str, Any]:
    """Return the tokens of a machine."""
    at = await endpoints(issuer)
    async with AsyncOAuth2Client(client_id, secret, trust_env=False, timeout=PATIENCE_S) as machine:
        return dict(await machine.fetch_token(at["token_endpoint"], grant_type="client_credentials", **asked))


async def _browse(url: str, until: str, typed: Mapping[str, str]) -> str:
    """Follow redirects and fill in forms until the browser is sent back to the application; return that address."""
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as browser:
        response = await browser.get(url)
        for _ in range(MAX_STEPS):
            for cookie in browser.cookies.jar:
                cookie.secure = False  # a browser trusts this machine with them, though it is not https
            if response.has_redirect_location:
                url = urljoin(str(response.url), response.headers["location"])
                if url.startswith(until):
                    return url
                response = await browser.get(url)
                continue
            form = Form(response.text)
            assert form.action, f"a page without a form: {response.status_code} {response.text[:500]}"
            values = {name: typed.get(name, value) for name, value in form.fields.items()}
            response = await browser.post(urljoin(str(response.url), form.action), data=values)
    raise AssertionError(f"still not back after {MAX_STEPS} pages: {response.url}")
