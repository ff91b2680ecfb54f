"""What the endpoints need to know of a request: its form, its cookie, whether its page is ours, where it comes from.

Must not know: the issuer.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response

from cluster.identity.oauth import OAuthError, parameters

_MAX_BODY_BYTES: Final = 32 * 1024
_MAX_FIELDS: Final = 64
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises OAuthError for what is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise OAuthError("invalid_request", f"the body must be {_FORM_TYPE}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise OAuthError("invalid_request", "the body is too large")
    return fields(bytes(body).decode("utf-8", "replace"))


def fields(text: str) -> dict[str, str]:
    """Return the parameters of a query or form. Raises OAuthError."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise OAuthError("invalid_request", "there are too many parameters") from None
    return parameters(pairs)


class Cookie:
    """The one cookie: it opens a session, or before login only ties forms to this browser.

    Lax, so that it comes along when another site sends the browser here, and stays away from what that site posts.
    """

    def __init__(self, issuer: str) -> None:
        self._secure = urlsplit(issuer).scheme == "https"
        self.name = "__Host-cloudbay_session" if self._secure else "cloudbay_session"

    def of(self, request: Request) -> str | None:
        """Return its value."""
        return request.cookies.get(self.name)

    def given(self, response: Response, value: str) -> Response:
        """Set its value."""
        response.set_cookie(self.name, value, path="/", secure=self._secure, httponly=True, samesite="lax")
        return response

    def taken(self, response: Response) -> Response:
        """Remove it."""
        response.delete_cookie(self.name, path="/", secure=self._secure, httponly=True, samesite="lax")
        return response


def is_own_page(request: Request, issuer: str) -> bool:
    """Tell whether a form was posted by one of the issuer's own pages.

    Browsers say so in Sec-Fetch-Site, over plain HTTP only in Origin; what is no browser says neither.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    parts = urlsplit(issuer)
    return origin is None or origin == f"{parts.scheme}://{parts.netloc}"
