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

OWN_ISSUER: Final = "cloudbay"


class _Claims(msgspec.Struct):
    iss: str
    sub: str
    roles: list[Role]
    iat: int


class OwnTokens:
    """CallerDirectory of the tokens that the machine's operator has made."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    async def identify(self, token: str) -> Caller:
        """Return who a token speaks for. Raises BadToken."""
        return read(token, self._key)


def mint(key: bytes, roles: Collection[Role], life_s: int, subject: str = "cli") -> str:
    """Return a token for a caller with these roles that is good for `life_s` seconds from now."""
    now = int(time.time())
    claims = {"iss": OWN_ISSUER, "sub": subject, "roles": sorted(roles), "iat": now, "exp": now + life_s}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(key))


def read(token: str, key: bytes) -> Caller:
    """Return who a token speaks for. Raises BadToken."""
    try:
        claims = jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(iss={"essential": True, "value": OWN_ISSUER}, exp={"essential": True}).validate(claims)
        known = msgspec.convert(claims, _Claims)
    except (JoseError, msgspec.ValidationError, ValueError):
        raise BadToken("the bearer token is not valid; get one with `cloudbay token`") from None
    return Caller(known.sub, OWN_ISSUER, frozenset(known.roles), logged_in_at=datetime.fromtimestamp(known.iat, UTC))
