"""Every way to say who one is, behind one door: a token or a key goes to whoever can read it.

Must not know: HTTP, what callers may do.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from joserfc.errors import JoseError
from joserfc.jws import extract_compact

from cluster.identity.caller import Caller
from cluster.identity.claims import Identity
from cluster.identity.errors import BadToken
from cluster.identity.machine_keys import PREFIX
from cluster.identity.people import AccountClosed
from cluster.identity.remembered import Remembered
from cluster.identity.sessions import RecentlyEnded
from configs.fields import ApiName

_MAX_CHARS: Final = 16 * 1024


class Reader(Protocol):
    """Reads one kind of token or key."""

    async def identify(self, token: str) -> Caller:
        """Return who it speaks for. Raises an error with status 401, and Unavailable."""


class OutsideTokens(Protocol):
    """Reads access tokens of outside issuers."""

    async def verify(self, token: str, api: ApiName) -> Identity:
        """Return who sent a token to one of the APIs. Raises BadToken, Unavailable."""


class KnownPeople(Protocol):
    """People of outside issuers, known from the first sight on."""

    async def seen(self, issuer: str, subject: str, name: str | None = None, email: str | None = None) -> str:
        """Return the platform's id of a person. Raises AccountClosed, Unavailable."""


class _Issued(msgspec.Struct):
    iss: str


class Callers:
    """CallerDirectory of one API: keys of machines, tokens of our own issuers by `iss`, then of outside ones."""

    def __init__(
        self,
        api: ApiName,
        keys: Reader,
        own: dict[str, Reader],
        outside: OutsideTokens,
        people: KnownPeople,
        ended: RecentlyEnded,
    ) -> None:
        self._api = api
        self._keys = keys
        self._own = own
        self._outside = outside
        self._people = people
        self._ended = ended
        self._issuers: Remembered[str] = Remembered()

    async def identify(self, token: str) -> Caller:
        """Return who a bearer token speaks for. Raises an error with status 401, and Unavailable."""
        if token.startswith(PREFIX):
            return await self._keys.identify(token)
        issuer = self._issuers.get(token)
        if issuer is None:
            issuer = _issuer(token)
            self._issuers.keep(token, issuer)
        own = self._own.get(issuer)
        if own is not None:
            return await own.identify(token)
        known = await self._outside.verify(token, self._api)
        if known.is_machine:
            name = f"client:{known.issuer}:{known.subject}"
            return Caller(name, known.issuer, known.roles, known.scopes)
        person = await self._people.seen(known.issuer, known.subject, known.name, known.email)
        if self._ended.has(person):
            raise AccountClosed("this account was erased")
        return Caller(person, known.issuer, known.roles, None, known.logged_in_at, known.session_id)


def _issuer(token: str) -> str:
    """Return who says that he has issued a token; nothing is believed of it. Raises BadToken."""
    try:
        if len(token) <= _MAX_CHARS:
            return msgspec.json.decode(extract_compact(token.encode()).payload, type=_Issued).iss
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        pass
    raise BadToken("this is no access token; log in again, or get one with `cloudbay token`")
