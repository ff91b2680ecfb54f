"""Bearer tokens of the API: JSON Web Tokens signed with the platform's own key (RFC 7519, HS256)."""

from __future__ import annotations

import time
from typing import Final, Literal

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from actors.errors import CloudBayError

Role = Literal["admin", "viewer"]

_ISSUER: Final = "cloudbay"


class Bearer(msgspec.Struct, frozen=True):
    """Who calls: a name for the records, and what they may do."""

    subject: str
    role: Role


class BadToken(CloudBayError):
    """The bearer token is not one of ours, or has expired."""

    http_status = 401
    title = "Not authenticated"


def mint(key: bytes, role: Role, life_s: int, subject: str = "cli") -> str:
    """Return a token for `role` that is good for `life_s` seconds from now."""
    now = int(time.time())
    claims = {"iss": _ISSUER, "sub": subject, "role": role, "iat": now, "exp": now + life_s}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(key))


def read(token: str, key: bytes) -> Bearer:
    """Return who a token speaks for. Raises BadToken."""
    try:
        claims = jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(iss={"essential": True, "value": _ISSUER}, exp={"essential": True}).validate(claims)
        return msgspec.convert({"subject": claims["sub"], "role": claims["role"]}, Bearer)
    except (JoseError, msgspec.ValidationError, ValueError, KeyError):
        raise BadToken("the bearer token is not valid; get one with `cloudbay token`") from None
