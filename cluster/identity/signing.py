"""The tokens of the embedded issuer: access tokens after RFC 9068 and ID tokens, signed with ES256.

The first key of the set signs; the others are only published, so that a key can be replaced while its tokens live.
Must not know: HTTP, stores, what a token is good for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from cluster.identity.caller import Role
from cluster.identity.errors import BadToken

ALGORITHM: Final = "ES256"
_ALGORITHMS: Final = [ALGORITHM]
ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - RFC 9068 section 2.1
ID_TOKEN: Final = "JWT"  # noqa: S105 - what a key's owner calls it


class NotOurToken(BadToken):
    """The token is not one of this issuer, or has expired."""


class AccessClaims(msgspec.Struct, frozen=True):
    """What an access token says of a person or machine."""

    subject: str
    client_id: str
    audiences: Sequence[str]
    scopes: Sequence[str]
    roles: frozenset[Role] = frozenset()
    authenticated_at: datetime | None = None
    session_id: str | None = None
    grant_id: str | None = None


def make_signing_keys() -> str:
    """Make a JSON Web Key set with one private key of P-256."""
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    return msgspec.json.encode(KeySet([key]).as_dict(private=True)).decode()


class Signer:
    """Signs tokens as `issuer` with the keys of a private JSON Web Key set."""

    def __init__(self, keys: str, issuer: str, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._keys = KeySet.import_key_set(msgspec.json.decode(keys))
        self._first = self._keys.keys[0]
        self.issuer = issuer
        self._clock = clock
        self._new_id = new_id

    def now(self) -> int:
        """Return the time that tokens go by, in seconds since 1970."""
        return int(self._clock().timestamp())

    def access_token(self, about: AccessClaims, life_s: int) -> str:
        """Return an access token that is good for `life_s` seconds (RFC 9068)."""
        claims: dict[str, Any] = {
            "sub": about.subject,
            "client_id": about.client_id,
            "aud": list(about.audiences),
            "scope": " ".join(about.scopes),
            "jti": self._new_id(),
        }
        if about.roles:
            claims["roles"] = sorted(about.roles)
        if about.authenticated_at is not None:
            claims["auth_time"] = int(about.authenticated_at.timestamp())
        if about.session_id is not None:
            claims |= {"sid": about.session_id, "grant_id": about.grant_id}
        return self._signed(ACCESS_TOKEN, claims, life_s)

    def id_token(self, claims: dict[str, Any], life_s: int) -> str:
        """Return an ID token (OpenID Connect Core section 2)."""
        return self._signed(ID_TOKEN, claims, life_s)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys."""
        return dict(self._keys.as_dict(private=False))

    def read(self, token: str, kind: str, *, expired_too: bool = False) -> dict[str, Any]:
        """Return the claims of a token of ours. Raises NotOurToken."""
        # An expired ID token still names the session that its client asks to end (RP-Initiated Logout section 2).
        now = 0 if expired_too else int(self._clock().timestamp())
        rules = jwt.JWTClaimsRegistry(now=now, iss={"essential": True, "value": self.issuer}, exp={"essential": True})
        try:
            found = jwt.decode(token, self._keys, algorithms=_ALGORITHMS)
            if found.header.get("typ") != kind:
                raise NotOurToken("the token is of another kind")
            rules.validate({name: found.claims.get(name) for name in ("iss", "exp")})
        except (JoseError, ValueError, TypeError):
            raise NotOurToken("the token is not valid, or has expired") from None
        return found.claims

    def _signed(self, kind: str, claims: dict[str, Any], life_s: int) -> str:
        now = int(self._clock().timestamp())
        header = {"alg": ALGORITHM, "kid": self._first.kid}
        times = {"iss": self.issuer, "iat": now, "exp": now + life_s}
        return jwt.encode(header, {**times, **claims}, self._first, algorithms=_ALGORITHMS, default_type=kind)
