"""What every answer says besides its content: how a browser should treat it, and whether the operation will go.

Sources: OWASP REST Security Cheat Sheet; RFC 6797 (HSTS); RFC 9745 (Deprecation); RFC 8594 (Sunset).
Must not know: which operations there are.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.access import operation_of

NO_STORE: Final = "no-store"
"""Cache-Control of an answer that shows a secret."""

_DEFAULTS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",  # asked again each time, with its ETag
}
_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class Deprecated(NamedTuple):
    """An operation that will go: since when it is known, when it goes if that is known, and where to read more."""

    since: datetime
    sunset: datetime | None = None
    link: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that say so."""
        made = {"Deprecation": f"@{int(self.since.timestamp())}"}
        if self.sunset is not None:
            made["Sunset"] = format_datetime(self.sunset, usegmt=True)
        if self.link is not None:
            made["Link"] = f'<{self.link}>; rel="deprecation"; type="text/html"'
        return made


class StandardHeaders:
    """Adds them where the answer has none of its own. `hsts_s` is 0 where the platform is not behind TLS."""

    def __init__(self, app: ASGIApp, hsts_s: int, deprecated: Mapping[str, Deprecated]) -> None:
        self._app = app
        hsts = {"Strict-Transport-Security": f"max-age={hsts_s}"} if hsts_s else {}
        standard = {**_DEFAULTS, **hsts}
        self._standard = _raw(standard)
        self._deprecated = {operation: _raw(said.headers()) for operation, said in deprecated.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; other kinds of connection pass as they are."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_all(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in self._standard if pair[0] not in own)]
                if self._deprecated:
                    message["headers"] += self._deprecated.get(operation_of(scope), [])
            await send(message)

        await self._app(scope, receive, send_all)


def sent(scope: Scope, name: bytes) -> bytes:
    """Return what a request says in a header, nothing if it does not have it."""
    return next((value for each, value in scope["headers"] if each == name), b"")


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def policy(html: str, *own: str) -> str:
    """Return the Content-Security-Policy of a page: its inline scripts and styles as they are, and kinds from here."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    allowed = {kind: (["'self'"] if kind in own else []) + hashes.get(kind, []) for kind in (*hashes, *own)}
    rules = [f"{kind}-src {' '.join(sources)}" for kind, sources in allowed.items() if sources]
    return "; ".join(["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", *rules])
