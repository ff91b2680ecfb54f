"""Words and small rules of OAuth 2 that every endpoint of the embedded issuer shares: errors, parameters, PKCE.

Must not know: HTTP, stores, who logs in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from actors.errors import CloudBayError

Parameters = Mapping[str, str]

_REPEATABLE: Final = "resource"
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class OAuthError(CloudBayError):
    """A request that the issuer refuses; `code` is the protocol's word for it (RFC 6749 section 5.2)."""

    http_status = 400
    title = "Request refused"

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class BadClient(OAuthError):
    """The client is unknown, or has not proved who it is."""

    http_status = 401

    def __init__(self) -> None:
        super().__init__("invalid_client", "the client is unknown or its authentication failed")


class ScopeMissing(OAuthError):
    """The access token was not given a scope that is needed (RFC 6750 section 3.1)."""

    http_status = 403

    def __init__(self, scope: str) -> None:
        super().__init__("insufficient_scope", f"the token was not given the scope {scope}")
        self.scope = scope


class RefusedByRedirect(OAuthError):
    """A refused authorization request whose client is to be told: the browser is sent to `location`."""

    def __init__(self, code: str, description: str, location: str) -> None:
        super().__init__(code, description)
        self.location = location


def parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what was sent by name, without empty values; several `resource` are joined by blanks.

    Raises OAuthError for any other name that comes twice (RFC 6749 section 3.1), and for what no database can keep.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if not value:
            continue
        if "\0" in name + value:
            raise OAuthError("invalid_request", "a parameter holds a character that it must not")
        if name in found:
            if name != _REPEATABLE:
                raise OAuthError("invalid_request", "a parameter was sent more than once")
            value = f"{found[name]} {value}"
        found[name] = value
    return found


def words(text: str | None) -> tuple[str, ...]:
    """Return the words of a list separated by blanks, each once, in their order."""
    return tuple(dict.fromkeys((text or "").split()))


def required(given: Parameters, name: str) -> str:
    """Return a parameter. Raises OAuthError without it."""
    if name not in given:
        raise OAuthError("invalid_request", f"the parameter {name} is missing")
    return given[name]


def challenge_of(given: Parameters) -> str:
    """Return the code challenge of an authorization request. Raises OAuthError for any but S256 (RFC 7636)."""
    if given.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "PKCE with code_challenge_method=S256 is required")
    challenge = given.get("code_challenge", "")
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthError("invalid_request", "code_challenge must be the base64url form of a SHA-256")
    return challenge


def proves(verifier: str | None, challenge: str) -> bool:
    """Tell whether a code verifier is the one of a challenge (RFC 7636 section 4.6)."""
    if verifier is None or not _VERIFIER.fullmatch(verifier):
        return False
    computed = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(computed, challenge.encode())


def with_query(uri: str, more: Mapping[str, str | None]) -> str:
    """Return the URI with parameters added to those it has; None is left out."""
    scheme, host, path, query, fragment = urlsplit(uri)
    added = urlencode({name: value for name, value in more.items() if value is not None})
    return urlunsplit((scheme, host, path, f"{query}&{added}" if query and added else query or added, fragment))
