"""The Idempotency-Key header: whoever repeats a POST under its key gets the first answer, and nothing is done twice.

Source: draft-ietf-httpapi-idempotency-key-header-07. Every POST of the applications depends on `once`; the middleware
holds an answer back until it is kept. Answers that only ask for patience (429, 5xx) are not kept.
Must not know: which operations there are, how answers are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Annotated, Final

from fastapi import Depends, Header, Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.idempotency import Attempt, FirstAnswer, Repeats
from cluster.identity.caller import Caller
from cluster.services import ApiServices

_HEADER: Final = "idempotency-key"
_QUOTED: Final = r'"([ !#-\[\]-~]|\\["\\])+"'  # RFC 9651 section 3.3.3
_BARE: Final = r"[!#-\[\]-~]+"
_ESCAPED: Final = re.compile(r"\\(.)")
_KEPT: Final = ("cache-control", "content-type", "etag", "location", "preference-applied")
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class Repeated(Exception):
    """The request was answered before."""

    def __init__(self, answer: FirstAnswer) -> None:
        super().__init__()
        self.answer = answer


async def once(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=f"^({_QUOTED}|{_BARE})$",
            max_length=255,
            examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
            description="Made anew for each request, the same one when it is repeated: then the first answer is "
            "repeated too. A string in double quotes, best a UUID.",
        ),
    ] = None,
) -> None:
    """Claim the key of a request that may be made. Raises Repeated, KeyReused, UnderWay, Unavailable."""
    if key is None:
        return
    services: ApiServices = request.app.state.services
    asking: Caller = request.state.caller  # who was let in before
    found = await services.repeats.begin(asking, parsed(key), await _fingerprint(request))
    if isinstance(found, FirstAnswer):
        raise Repeated(found)
    request.state.attempt = found


Once: Final = Depends(once)


def parsed(header: str) -> str:
    """Return the key that a header spells: a string in double quotes or, as many send it, without."""
    return _ESCAPED.sub(r"\1", header[1:-1]) if header.startswith('"') else header


async def _fingerprint(request: Request) -> bytes:
    """Return a digest of what is asked: operation, address and body."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(asked + await request.body()).digest()


async def repeat(_: Request, repeated: Exception) -> Response:
    """Answer as the first time."""
    assert isinstance(repeated, Repeated)  # noqa: S101 - registered for it
    first = repeated.answer
    return Response(first.body, first.status, {**first.headers, "Idempotency-Replayed": "true"})


class FirstAnswers:
    """Keeps the answer to a request that has claimed a key before it is sent."""

    def __init__(self, app: ASGIApp, repeats: Repeats) -> None:
        self._app = app
        self._repeats = repeats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; whatever happens to one that has claimed its key, the claim is settled."""
        if scope["type"] != "http" or scope["method"] != "POST" or _HEADER not in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def send_later(message: Message) -> None:
            held.append(message)

        try:
            await self._app(scope, receive, send_later)
        finally:
            attempt: Attempt | None = scope["state"].get("attempt")
            if attempt is not None:  # also when the client has gone: what it began is settled first
                await asyncio.shield(self._settle(attempt, held))
        for message in held:
            await send(message)

    async def _settle(self, attempt: Attempt, held: list[Message]) -> None:
        answer = _answer(held)
        if answer is None or answer.status >= _SERVER_ERROR or answer.status == _TOO_MANY:
            await self._repeats.give_back(attempt)
        else:
            await self._repeats.keep(attempt, answer)


def _answer(held: list[Message]) -> FirstAnswer | None:
    """Put an answer together; None if it has not come to its end."""
    if not held or held[-1].get("more_body", False) or held[-1]["type"] != "http.response.body":
        return None
    headers = Headers(raw=held[0]["headers"])
    kept = {name: headers[name] for name in _KEPT if name in headers}
    return FirstAnswer(held[0]["status"], kept, b"".join(message.get("body", b"") for message in held[1:]))
