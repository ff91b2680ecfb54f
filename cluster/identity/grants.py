"""Grants: what a person lets a client do, as a chain of one-use secrets: the authorization code, then refresh tokens.

Each secret is good once. One that comes a second time is in the hands of somebody else, so it ends the whole grant
(RFC 6749 section 4.1.2, RFC 9700 section 4.14). Must not know: HTTP, SQL, what tokens look like.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

import msgspec

from cluster.identity.oauth import OAuthError
from cluster.identity.opaque import digest, make_secret

SecretKind = Literal["code", "refresh"]


class Grant(msgspec.Struct, frozen=True):
    """What a client may do for a person, as asked for in one authorization request."""

    id: str
    client_id: str
    user_id: str
    session_id: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    authenticated_at: datetime
    created_at: datetime


class Link(NamedTuple):
    """The digest of one secret of a chain."""

    secret: bytes
    kind: SecretKind
    expires_at: datetime


class Held(NamedTuple):
    """A secret that was presented, as it is kept; `over` when its grant was revoked or its session has ended."""

    grant: Grant
    link: Link
    used_at: datetime | None
    over: bool


class GrantStore(Protocol):
    """The grants and their secrets. Raises Unavailable."""

    async def begin(self, grant: Grant, first: Link) -> None:
        """Keep a grant and its first secret."""

    async def find(self, secret: bytes) -> Held | None:
        """Return what is known of a secret's digest."""

    async def exchange(self, secret: bytes, following: Link | None, at: datetime) -> bool:
        """Use a secret up and keep the one that follows it. False, and nothing done, when it was used before."""

    async def revoke(self, grant_id: str, at: datetime) -> None:
        """End a grant."""


class Grants:
    """Hands out one-use secrets and takes each of them once."""

    def __init__(
        self,
        store: GrantStore,
        code_life_s: float,
        refresh_life_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._code_life = timedelta(seconds=code_life_s)
        self._refresh_life = timedelta(seconds=refresh_life_s)
        self._clock = clock

    async def begin(self, grant: Grant) -> str:
        """Keep a grant and return its authorization code."""
        code = make_secret()
        await self._store.begin(grant, Link(digest(code), "code", self._clock() + self._code_life))
        return code

    async def presented(self, secret: str, kind: SecretKind, client_id: str) -> Held:
        """Return a secret that may be exchanged. Raises OAuthError, and ends the grant of one that was used before."""
        held = await self._store.find(digest(secret))
        if held is None or held.link.kind != kind or held.grant.client_id != client_id:
            raise _refused()
        if held.used_at is not None:
            await self._store.revoke(held.grant.id, self._clock())
            raise _refused()
        if held.over or self._clock() >= held.link.expires_at:
            raise _refused()
        return held

    async def exchange(self, held: Held, *, refreshable: bool) -> str | None:
        """Use a secret up and return the refresh token that follows it, if any. Raises OAuthError for a used one."""
        now, token = self._clock(), make_secret()
        following = Link(digest(token), "refresh", now + self._refresh_life) if refreshable else None
        if not await self._store.exchange(held.link.secret, following, now):
            await self._store.revoke(held.grant.id, now)  # two came at once
            raise _refused()
        return token if refreshable else None

    async def revoke(self, token: str, client_id: str) -> bool:
        """End the grant of a client's refresh token, used or not; False when it is none (RFC 7009)."""
        held = await self._store.find(digest(token))
        if held is None or held.grant.client_id != client_id or held.link.kind != "refresh":
            return False
        await self._store.revoke(held.grant.id, self._clock())
        return True

    async def end(self, grant_id: str) -> None:
        """End a grant."""
        await self._store.revoke(grant_id, self._clock())


def _refused() -> OAuthError:
    """Return one text for all reasons: who holds a secret of somebody else learns nothing about it."""
    return OAuthError("invalid_grant", "the code or token is not valid, has expired, or was used before")
