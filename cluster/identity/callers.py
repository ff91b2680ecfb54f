"""Tokens of the embedded issuer and API keys into callers, without a look at the network.

Must not know: HTTP, what callers may do.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import msgspec

from cluster.identity.caller import Caller, Role
from cluster.identity.machine_keys import MachineKeys
from cluster.identity.oauth import words
from cluster.identity.people import LOCAL_ISSUER
from cluster.identity.remembered import Remembered
from cluster.identity.sessions import RecentlyEnded
from cluster.identity.signing import ACCESS_TOKEN, NotOurToken, Signer

_AUDIENCE: Final = "the token is for another application"


class _Claims(msgspec.Struct):
    """What is read of an access token; RFC 9068 asks for most of it."""

    sub: str
    client_id: str
    aud: list[str]
    scope: str
    exp: int
    roles: frozenset[Role] = frozenset()
    auth_time: int | None = None
    sid: str | None = None
    grant_id: str | None = None


class IssuedTokens:
    """CallerDirectory of the embedded issuer's access tokens for one of some audiences."""

    def __init__(self, signer: Signer, ended: RecentlyEnded, audiences: Collection[str]) -> None:
        self._signer = signer
        self._ended = ended
        self._audiences = frozenset(audiences)
        self._remembered: Remembered[_Claims] = Remembered()

    async def identify(self, token: str) -> Caller:
        """Return who a token speaks for. Raises NotOurToken."""
        claims = self._remembered.get(token)
        if claims is None or self._signer.now() >= claims.exp:
            claims = self._read(token)
            self._remembered.keep(token, claims)
        if self._audiences.isdisjoint(claims.aud):
            raise NotOurToken(_AUDIENCE)
        if self._ended.has(claims.sid) or self._ended.has(claims.grant_id):
            raise NotOurToken("the session has ended; log in again")
        if claims.sid is None:
            return Caller(f"client:{claims.sub}", LOCAL_ISSUER, claims.roles, frozenset(words(claims.scope)))
        logged_in_at = None if claims.auth_time is None else datetime.fromtimestamp(claims.auth_time, UTC)
        return Caller(claims.sub, LOCAL_ISSUER, claims.roles, None, logged_in_at, claims.sid)

    def _read(self, token: str) -> _Claims:
        try:
            return msgspec.convert(self._signer.read(token, ACCESS_TOKEN), _Claims)
        except msgspec.ValidationError:
            raise NotOurToken("the token is not valid, or has expired") from None


class KeyCallers:
    """CallerDirectory of machines' API keys."""

    def __init__(self, keys: MachineKeys) -> None:
        self._keys = keys

    async def identify(self, token: str) -> Caller:
        """Return which machine shows a key. Raises BadKey, Unavailable."""
        key = await self._keys.read(token)
        return Caller(f"key:{key.id}", LOCAL_ISSUER, key.roles, key.scopes)
