"""An endpoint as its owner would write it: a real HTTP server that verifies signatures in its own way."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response

Behaviour = Callable[[Request], Awaitable[Response]]


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Verify as the specification says ("Verifying signatures"), with the secret as it was shown."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    given = (signature.split(",") for signature in headers["webhook-signature"].split())
    return any(version == "v1" and hmac.compare_digest(digest, expected) for version, digest in given)


async def takes(request: Request) -> Response:
    return Response(status_code=204)


async def fails(request: Request) -> Response:
    return Response("no", status_code=500)


def answers(status: int, **headers: str) -> Behaviour:
    async def answer(request: Request) -> Response:
        return Response(status_code=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def hangs(request: Request) -> Response:
    await asyncio.sleep(3600)
    return Response(status_code=204)


@dataclass
class Received:
    """One request, and whether its signature was right for any of the receiver's secrets."""

    path: str
    headers: dict[str, str]
    body: bytes
    genuine: bool

    @property
    def message(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def number(self) -> int:
        """Which of the tests' events it is."""
        return int(self.message["data"]["number"])


@dataclass
class Receiver:
    """The endpoint; `behaves` says what it does, `secrets` are those it knows."""

    port: int = 0
    scheme: str = "http"
    secrets: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    behaves: Behaviour = takes
    connections: set[tuple[str, int]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its URL on this machine."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def numbers(self) -> list[int]:
        """Which events came, in order."""
        return [one.number for one in self.received]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request (ASGI)."""
        request = Request(scope, receive)
        body = await request.body()
        headers = dict(request.headers)
        genuine = any(verify(secret, headers, body) for secret in self.secrets)
        self.received.append(Received(request.url.path, headers, body, genuine))
        if request.client is not None:
            self.connections.add((request.client.host, request.client.port))
        await (await self.behaves(request))(scope, receive, send)


@asynccontextmanager
async def running(receiver: Receiver, **tls: str) -> AsyncIterator[Receiver]:
    """Serve on a free port of loopback."""
    config = uvicorn.Config(receiver, "127.0.0.1", 0, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    for name, value in tls.items():
        setattr(config, name, value)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
    receiver.port = server.servers[0].sockets[0].getsockname()[1]
    receiver.scheme = "https" if tls else "http"
    try:
        yield receiver
    finally:
        server.should_exit = server.force_exit = True
        await task
