"""What a request may be: how large its body (413) and its headers (431), and that it is JSON (415).

Must not know: which operations there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.errors import CloudBayError
from serve.problems import http_problem, problem_of

_TOO_LARGE = 413
_HEADERS_TOO_LARGE = 431
_JSON = b"application/json"


class WrongMediaType(CloudBayError):
    """The body is not of a kind that can be read."""

    http_status = 415
    title = "Unsupported media type"


class Limits:
    """Refuses what is larger; a body without a Content-Length is cut off where it gets too large."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_header_bytes: int, json_only: bool) -> None:
        self._app = app
        self._json_only = json_only
        self._max_body_bytes = max_body_bytes
        self._max_header_bytes = max_header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it is not too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["state"]["request_id"]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._max_header_bytes:
            await http_problem(_HEADERS_TOO_LARGE, self._said("headers"), request_id)(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0").decode("latin-1")
        if length == "0" and b"transfer-encoding" not in headers:  # no body, RFC 9112 section 6.3
            await self._app(scope, receive, send)
            return
        if not length.isdecimal() or int(length) > self._max_body_bytes:
            await http_problem(_TOO_LARGE, self._said("body"), request_id)(scope, receive, send)
            return
        if self._json_only and _media_type(headers) != _JSON:
            error = WrongMediaType(f"the body must be {_JSON.decode()}, and Content-Type must say so")
            await problem_of(error, request_id, has_token=b"authorization" in headers)(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise HTTPException(_TOO_LARGE, self._said("body"))
            return message

        await self._app(scope, receive_some, send)

    def _said(self, what: str) -> str:
        most = self._max_body_bytes if what == "body" else self._max_header_bytes
        return f"the {what} of a request may have {most} bytes at most"


def _media_type(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
