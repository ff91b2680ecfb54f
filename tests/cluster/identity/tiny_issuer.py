"""A small OpenID Connect issuer on loopback that a test can make wrong in every way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig", "alg": "RS256"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
NEXT_EC = ECKey.generate_key("P-256", {"kid": "ec-2"})
STRANGER = ECKey.generate_key("P-256", {"kid": "ec-1"})
"""Another's key that goes by the id of one of ours."""


def public(*keys: Key) -> dict[str, Any]:
    """Return a JSON Web Key Set."""
    return {"keys": [key.as_dict(private=isinstance(key, OctKey)) for key in keys]}


class TinyIssuer:
    """Serves discovery and keys while it is up; counts the questions."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.key_set: dict[str, Any] = public(RSA, EC)
        self.document: Callable[[], Mapping[str, Any]] = lambda: {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.answers: dict[str, Callable[[], Response]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Return its `iss`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys_asked(self) -> int:
        """Count how often its keys were asked for."""
        return self.asked.count("/keys")

    async def start(self) -> None:
        """Answer, on the port it had before."""
        sockets = [socket.create_server(("127.0.0.1", self.port))]
        self.port = sockets[0].getsockname()[1]
        app = Starlette(routes=[Route("/{path:path}", self._answer)])
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        self._serving = asyncio.create_task(self._server.serve(sockets))
        async with asyncio.timeout(10):
            while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Go away: connections are refused."""
        if self._server is not None and self._serving is not None:
            self.gate.set()
            self._server.force_exit = True
            self._server.should_exit = True
            await self._serving
            self._server = None

    def sign(self, claims: Mapping[str, Any], key: Key = EC, **header: object) -> str:
        """Return a token with these claims; an own header entry of None is left out."""
        algorithm = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}[key.key_type]
        full = {"typ": "at+jwt", "alg": algorithm, "kid": key.kid, **header}
        shown = {name: value for name, value in full.items() if value is not None}
        algorithms = [str(shown.get("alg"))]
        return jwt.encode(shown, dict(claims), key, algorithms=algorithms, default_type=None)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        self.was_asked.set()
        await self.gate.wait()
        if path in self.answers:
            return self.answers[path]()
        if path == "/keys":
            return JSONResponse(self.key_set)
        if path == "/.well-known/openid-configuration":
            return JSONResponse(self.document())
        return Response(status_code=404)


def access_claims(issuer: str, **changes: object) -> dict[str, Any]:
    """Return the claims of a good access token; an entry of None is left out."""
    now = int(NOON.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": "alice",
        "aud": ["cloudbay-app"],
        "client_id": "web",
        "iat": now - 10,
        "exp": now + 290,
    } | changes
    return {name: value for name, value in claims.items() if value is not None}
