"""Tickets: what a form carries from one page to the next, signed, short-lived, and bound to one browser.

They keep a page that was not ours from posting a form (cross-site request forgery, also at login, where no session
could protect it). Must not know: which forms there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from actors.errors import CloudBayError

_ALGORITHMS: Final = ["HS256"]


class BadTicket(CloudBayError):
    """The form is too old, or comes from another page or browser."""

    http_status = 400
    title = "Form expired"

    def __init__(self) -> None:
        super().__init__("the form has expired; open the page again")


class Tickets:
    """Makes and checks tickets with a key of its own; `browser` is a secret that only one browser has."""

    def __init__(self, key: bytes, life_s: int, clock: Callable[[], datetime]) -> None:
        self._key = OctKey.import_key(key)
        self._life_s = life_s
        self._clock = clock

    def make(self, form: str, browser: str, content: Mapping[str, str] | None = None) -> str:
        """Return a ticket for a form."""
        expires = int(self._clock().timestamp()) + self._life_s
        claims = {"aud": form, "exp": expires, "browser": _bound(browser), "content": dict(content or {})}
        return jwt.encode({"alg": "HS256"}, claims, self._key, algorithms=_ALGORITHMS, default_type="form+jwt")

    def read(self, ticket: str, form: str, browser: str) -> dict[str, str]:
        """Return the content of a ticket. Raises BadTicket."""
        rules = jwt.JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            aud={"essential": True, "value": form},
            exp={"essential": True},
            browser={"essential": True, "value": _bound(browser)},
        )
        try:
            claims = jwt.decode(ticket, self._key, algorithms=_ALGORITHMS).claims
            rules.validate(claims)
            return {str(name): str(value) for name, value in dict(claims["content"]).items()}
        except (JoseError, ValueError, KeyError, TypeError):
            raise BadTicket from None


def _bound(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
