"""Access tokens: taken when a trusted issuer signed them, for this API and for now (RFC 9068, RFC 7519, RFC 8725).

Must not know: HTTP, where people are kept, what callers may do.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import httpx
import msgspec
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import Key
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.jwt import JWTClaimsRegistry

from cluster.identity.claims import Identity, has_all, identity_of, texts, value_at
from cluster.identity.errors import BadToken
from cluster.identity.issuers import DiscoveredKeys, IssuerKeys
from configs.fields import ApiName
from configs.identity import Identity as IdentitySettings
from configs.identity import TrustedIssuer

MAX_TOKEN_BYTES: Final = 16 * 1024
"""More than any HTTP server takes in a header."""

MAX_REMEMBERED: Final = 2048
"""Tokens; what is kept of one is some 2 kB."""

_NOT_VALID: Final = "the access token is not valid; log in again"


@dataclass(frozen=True)
class Trusted:
    """An issuer whose tokens are taken, and its keys."""

    issuer: TrustedIssuer
    keys: IssuerKeys


class _Signed(NamedTuple):
    """What a trusted issuer has signed, and with which key."""

    claims: dict[str, Any]
    trusted: Trusted
    kid: str | None
    algorithm: str
    key: Key


class TokenVerifier:
    """Reads access tokens of all trusted issuers.

    Soft state only: a token comes with every request, so its signature is checked once, for as long as its issuer keeps
    the key.
    """

    def __init__(
        self, trusted: Iterable[Trusted], clock: Callable[[], datetime], max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self._trusted = {each.issuer.issuer: each for each in trusted}
        self._clock = clock
        self._max_remembered = max_remembered
        self._remembered: dict[bytes, _Signed] = {}

    async def verify(self, token: str, api: ApiName) -> Identity:
        """Return who sent an access token to one of the APIs.

        Raises BadToken, and Unavailable when the keys to check it with cannot be had now.
        """
        signed = await self._signed(token)
        issuer, now = signed.trusted.issuer, self._clock()
        _check_times(signed.claims, issuer, now)
        _check_purpose(signed.claims, issuer, api)
        return identity_of(signed.claims, issuer, now)

    async def _signed(self, token: str) -> _Signed:
        if len(token) > MAX_TOKEN_BYTES:
            raise BadToken(_NOT_VALID)
        digest = sha256(token.encode(errors="replace")).digest()
        known = self._remembered.get(digest)
        if known is not None and await known.trusted.keys.find(known.kid, known.algorithm) is known.key:
            return known
        signed = await self._checked(token)
        if len(self._remembered) >= self._max_remembered:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = signed
        return signed

    async def _checked(self, token: str) -> _Signed:
        unpacked = _unpacked(token)
        claims = _claims(unpacked)
        name = claims.get("iss")
        trusted = self._trusted.get(name) if isinstance(name, str) else None
        if trusted is None:
            raise BadToken("the access token is from an issuer that is not trusted here; log in at one that is")
        kid, algorithm = _checked_header(unpacked.headers(), trusted.issuer)
        key = await trusted.keys.find(kid, algorithm)
        if not _is_signed(unpacked, key, algorithm):
            raise BadToken(_NOT_VALID)
        return _Signed(claims, trusted, kid, algorithm, key)


@asynccontextmanager
async def outside_issuers(
    settings: IdentitySettings, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[list[Trusted]]:
    """Open the way to the issuers of the settings; none is asked before its first token."""
    async with httpx.AsyncClient(timeout=settings.keys_timeout_s) as http, AsyncExitStack() as stack:
        trusted = []
        for issuer in settings.issuers:
            keys = DiscoveredKeys(issuer, settings, http, monotonic)
            stack.push_async_callback(keys.close)
            trusted.append(Trusted(issuer, keys))
        yield trusted


def _unpacked(token: str) -> CompactSignature:
    try:
        return extract_compact(token.encode())
    except (JoseError, ValueError, TypeError):
        raise BadToken(_NOT_VALID) from None


def _claims(signed: CompactSignature) -> dict[str, Any]:
    """Return the claims, which nobody has vouched for yet."""
    try:
        return msgspec.json.decode(signed.payload, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise BadToken(_NOT_VALID) from None


def _checked_header(header: object, issuer: TrustedIssuer) -> tuple[str | None, str]:
    """Return key id and algorithm; keys that a header offers are not looked at (RFC 8725, section 3.10)."""
    if not isinstance(header, dict) or "crit" in header or "b64" in header:  # no extension is understood here
        raise BadToken(_NOT_VALID)
    kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "")
    if not isinstance(kid, str | None) or algorithm not in issuer.algorithms:
        raise BadToken(_NOT_VALID)
    # RFC 7515, section 4.1.9: a media type, whatever its case, and `application/` may be left out.
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _token_types(issuer):
        raise _not_an_access_token()
    return kid, algorithm


def _token_types(issuer: TrustedIssuer) -> set[str]:
    return {kind.lower().removeprefix("application/") for kind in issuer.token_types}


def _is_signed(signed: CompactSignature, key: Key, algorithm: str) -> bool:
    try:
        return validate_compact(signed, key, registry=JWSRegistry(algorithms=[algorithm], strict_check_header=False))
    except (JoseError, ValueError):
        return False


def _check_times(claims: dict[str, Any], issuer: TrustedIssuer, now: datetime) -> None:
    registry = JWTClaimsRegistry(now=int(now.timestamp()), leeway=issuer.leeway_s, exp={"essential": True})
    try:
        registry.validate(claims)
    except ExpiredTokenError:
        raise BadToken("the access token has expired; get a new one") from None
    except JoseError:
        raise BadToken("the access token is not valid now; log in again, and look at the clock") from None


def _check_purpose(claims: dict[str, Any], issuer: TrustedIssuer, api: ApiName) -> None:
    if not has_all(claims, issuer.require):
        raise _not_an_access_token()
    if texts(value_at(claims, issuer.claims.audience)).isdisjoint(issuer.audiences.get(api, ())):
        raise BadToken("the access token is not meant for this API; get one with the API's audience")


def _not_an_access_token() -> BadToken:
    return BadToken("this is not an access token; send the one that came with it")
