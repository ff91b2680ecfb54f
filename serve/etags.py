"""ETags (RFC 9110 section 8.8): answers that have not changed are not sent again, and changes name what they change.

Must not know: which resources there are.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final

from fastapi import Header
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.hal import HalResponse
from serve.headers import sent

IF_MATCH: Final = r'^(\*|(W/)?"[!#-~]*")$'
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", pattern=IF_MATCH, examples=['"0123abcd"'], description="The ETag of what is to be changed."
    ),
]
_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
_RESOURCE: Final = (b"content-type", HalResponse.media_type.encode())
_IF_NONE_MATCH: Final = b"if-none-match"
_KEPT: Final = ("content-type", "content-length")  # of what is not sent


def quoted(tag: str) -> str:
    """Return a tag as a header spells it."""
    return f'"{tag}"'


def expected(if_match: str | None) -> str | None:
    """Return the tag that an If-Match asks for, None if any will do."""
    tag = None if if_match is None else _TAG.fullmatch(if_match)
    return None if tag is None else tag[1]


class ETags:
    """Gives every resource that is read a tag, and answers 304 to who has it already (If-None-Match)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; hold back the beginning of a resource until all of it is there."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known = sent(scope, _IF_NONE_MATCH).decode("latin-1")
        start: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_resource(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            begun, start = start, None
            tag = _tagged(begun, message.get("body", b""))
            if known and (known == "*" or tag in _TAG.findall(known)):
                begun["status"], message["body"] = 304, b""
                begun["headers"] = [header for header in begun["headers"] if header[0].decode() not in _KEPT]
            await send(begun)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _is_resource(start: Message) -> bool:
    return start["status"] == 200 and _RESOURCE in start["headers"]


def _tagged(start: Message, body: bytes) -> str:
    """Give the answer a tag of its content, unless it has one."""
    for name, value in start["headers"]:
        if name == b"etag":
            return str(value, "latin-1").strip('"')
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    start["headers"] = [*start["headers"], (b"etag", quoted(tag).encode())]
    return tag
