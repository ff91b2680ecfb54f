"""Bearer tokens of the machine's own operator: JSON Web Tokens signed with the platform's own key (RFC 7519, HS256).

`cloudbay token` makes them, and the other verbs of the command use them. Must not know: HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from cluster.identity.caller import Caller, Role
from cluster.identity.errors import BadToken
from cluster.identity.remembered import Remembered

OWN_ISSUER: Final = "cloudbay"


class _Claims(msgspec.Struct):
    iss: str
    sub: str
    roles: list[Role]
    iat: int
    exp: int


class OwnTokens:
    """CallerDirectory of the tokens that the machine's operator has made."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._remembered: Remembered[tuple[int, Caller]] = Remembered()

    async def identify(self, token: str) -> Caller:
        """Return who a token speaks for. Raises BadToken."""
        known = self._remembered.get(token)
        if known is not None and time.time() < known[0]:
            return known[1]
        claims = _read(token, self._key)
        caller = _caller(claims)
        self._remembered.keep(token, (claims.exp, caller))
        return caller


def mint(key: bytes, roles: Collection[Role], life_s: int, subject: str = "cli") -> str:
    """Return a token for a caller with these roles that is good for `life_s` seconds from now."""
    now = int(time.time())
    claims = {"iss": OWN_ISSUER, "sub": subject, "roles": sorted(roles), "iat": now, "exp": now + life_s}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(key))


def read(token: str, key: bytes) -> Caller:
    """Return who a token speaks for. Raises BadToken."""
    return _caller(_read(token, key))


def _read(token: str, key: bytes) -> _Claims:
    try:
        claims = jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(iss={"essential": True, "value": OWN_ISSUER}, exp={"essential": True}).validate(claims)
        return msgspec.convert(claims, _Claims)
    except (JoseError, msgspec.ValidationError, ValueError):
        raise BadToken("the bearer token is not valid; get one with `cloudbay token`") from None


def _caller(claims: _Claims) -> Caller:
    return Caller(claims.sub, OWN_ISSUER, frozenset(claims.roles), logged_in_at=datetime.fromtimestamp(claims.iat, UTC))
