"""Sessions: a browser in which a person has logged in, once for all clients (single sign-on).

Hard state is in the store; the cookie is an opaque secret of which only a digest is kept.
Must not know: cookies, HTTP, passwords.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from actors.errors import Unavailable
from cluster.identity.opaque import digest, make_secret
from cluster.store.views import Page

log = logging.getLogger(__name__)

_SEEN_EVERY: Final = timedelta(seconds=60)
MAX_AGENT_CHARS: Final = 256


class Session(msgspec.Struct, frozen=True):
    """One person in one browser. `authenticated_at`: when they last proved who they are."""

    id: str
    user_id: str
    began_at: datetime
    authenticated_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    address: str | None = None
    user_agent: str | None = None


class SessionStore(Protocol):
    """The sessions. Raises Unavailable."""

    async def begin(self, session: Session, secret: bytes) -> None:
        """Keep a new session and the digest of its secret."""

    async def find(self, secret: bytes) -> Session | None:
        """Return the session of a secret's digest, ended or not."""

    async def renew(self, session_id: str, at: datetime, secret: bytes | None = None) -> None:
        """Note that a session is in use; with a new secret: that its person has logged in again."""

    async def end(self, user_id: str, session_id: str | None, at: datetime) -> int:
        """End one session of a person, or all; return how many have ended now."""

    async def page(self, user_id: str, cursor: str | None = None, limit: int = 100) -> Page[Session]:
        """List a person's sessions, the newest first. Raises BadRequest."""


class EndedQuery(Protocol):
    """What has been taken back lately. Raises Unavailable."""

    async def ended_since(self, at: datetime) -> frozenset[str]:
        """Return the ids of the sessions and grants that were ended since, and of the people who were erased."""


class Sessions:
    """Begins, finds and ends sessions; one ends by itself after `idle_s` without use, and after `max_s`."""

    def __init__(
        self,
        store: SessionStore,
        idle_s: float,
        max_s: float,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._idle = timedelta(seconds=idle_s)
        self._max = timedelta(seconds=max_s)
        self._clock = clock
        self._new_id = new_id

    async def current(self, secret: str | None) -> Session | None:
        """Return the session a secret opens, if it has not ended."""
        if not secret:
            return None
        session, now = await self._store.find(digest(secret)), self._clock()
        if session is None or session.ended_at is not None:
            return None
        if now >= session.expires_at or now - session.seen_at >= self._idle:
            return None
        if now - session.seen_at >= _SEEN_EVERY:
            await self._store.renew(session.id, now)
        return session

    async def begin(
        self, user_id: str, previous: Session | None, address: str | None, user_agent: str | None
    ) -> tuple[Session, str]:
        """Return the session after a login, and its secret, always a new one (session fixation).

        The same person goes on in the previous session, so that other clients stay logged in; another one ends it.
        """
        now, secret = self._clock(), make_secret()
        if previous is not None and previous.user_id == user_id:
            await self._store.renew(previous.id, now, digest(secret))
            return msgspec.structs.replace(previous, authenticated_at=now, seen_at=now), secret
        if previous is not None:
            await self._store.end(previous.user_id, previous.id, now)
        agent = user_agent[:MAX_AGENT_CHARS] if user_agent else None
        session = Session(self._new_id(), user_id, now, now, now, now + self._max, None, address, agent)
        await self._store.begin(session, digest(secret))
        return session, secret

    async def used(self, session_id: str) -> None:
        """Note that a client has used a session."""
        await self._store.renew(session_id, self._clock())

    async def end(self, user_id: str, session_id: str | None = None) -> int:
        """End one session of a person, or all of them; return how many have ended now."""
        return await self._store.end(user_id, session_id, self._clock())

    async def page(self, user_id: str, cursor: str | None = None, limit: int = 100) -> Page[Session]:
        """List a person's sessions, the newest first. Raises BadRequest."""
        return await self._store.page(user_id, cursor, limit)


class RecentlyEnded:
    """Tells within a second or two that a session or grant was ended, though its access tokens still look good.

    Soft state: the ids ended within the life of an access token, read again every `every_s`. While the database is away
    the last answer holds, and the short life of access tokens is the bound.
    """

    def __init__(self, query: EndedQuery, token_life_s: float, every_s: float, clock: Callable[[], datetime]) -> None:
        self._query = query
        self._reach = timedelta(seconds=token_life_s + 60)
        self._every_s = every_s
        self._clock = clock
        self._ids: frozenset[str] = frozenset()

    def has(self, ended_id: str | None) -> bool:
        """Tell whether a session or grant was ended lately, or a person erased."""
        return ended_id in self._ids

    async def look(self) -> None:
        """Read once. Raises Unavailable."""
        self._ids = await self._query.ended_since(self._clock() - self._reach)

    async def run(self) -> None:
        """Read again and again until cancelled."""
        away = False
        while True:
            try:
                await self.look()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("ended sessions cannot be looked up", extra={"error": str(error)})
                away = True
            await asyncio.sleep(self._every_s)
