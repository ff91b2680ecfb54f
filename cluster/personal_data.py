"""What the platform knows of a person: shown to them as a whole, and erased.

Erasure leaves what others need: charges for billing, under a pseudonym that leads to nobody; stations and sites for who
shares them; the audit log and approvals as records, in which a person is nothing but a random id.
Must not know: SQL, HTTP.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from actors.domain.token import token_key
from actors.errors import Conflict, NotFound
from cluster.approvals import ERASE_PERSON, Approvals, Wish
from cluster.charging import ChargeQueries
from cluster.identity.caller import Caller
from cluster.identity.circle import Offer
from cluster.identity.people import User
from cluster.identity.relation import Tie
from cluster.identity.sessions import Session
from cluster.store.views import Charge
from cluster.webhooks.model import Subscription

MAX_LISTED: Final = 10_000
"""Rows of a kind that a dossier holds, the newest; charges are all there."""
_PAGE: Final = 500
_PSEUDONYM: Final = "erased-"
_PSEUDONYM_BYTES: Final = 6
"""With the word before them no longer than an idTag of OCPP 1.6 may be."""


class Consent(msgspec.Struct, frozen=True):
    """What a person lets a client do."""

    client_id: str
    scopes: tuple[str, ...]
    created_at: datetime


class Ordered(msgspec.Struct, frozen=True):
    """A command to a station, as far as it is about who gave it."""

    id: str
    station_id: str
    action: str
    created_at: datetime
    status: str


class Mentions(msgspec.Struct, frozen=True):
    """How often records name a person by their id."""

    audit_entries: int
    approvals: int
    machine_keys: int
    commands: int


class Dossier(msgspec.Struct, frozen=True):
    """All that is known of a person but their charges."""

    person: User | None
    sessions: list[Session]
    consents: list[Consent]
    ties: list[Tie]
    offers: list[Offer]
    """To them and by them."""
    id_token: str | None
    """What they charge with, masked: whoever has it whole could charge with it."""
    commands: list[Ordered]
    webhooks: list[Subscription]
    mentions: Mentions


class Export(NamedTuple):
    """A dossier with the charges that belong to it, as they are read."""

    dossier: Dossier
    charges: AsyncIterator[Charge]


class PersonalRecords(Protocol):
    """Where people leave traces. Raises Unavailable."""

    async def dossier(self, subject: str) -> Dossier:
        """Return all that is known of somebody but their charges; lists are empty where nothing is."""

    async def hindrance(self, subject: str, now: datetime) -> str | None:
        """Return why somebody cannot be erased now: a charge of theirs, or the last admin; None if they can."""

    async def erase(self, subject: str, pseudonym: str, now: datetime) -> None:
        """Erase somebody at once and wholly, or not at all; a second time it changes nothing.

        Their charges go on under the pseudonym, as id token and as who asked. Raises Conflict with the hindrance.
        """


class PeopleLookup(Protocol):
    """Who there is."""

    async def find(self, user_id: str) -> User:
        """Return a person. Raises NotFound, Unavailable."""


class PersonalData:
    """What routers call."""

    def __init__(
        self,
        records: PersonalRecords,
        charges: ChargeQueries,
        people: PeopleLookup,
        approvals: Approvals,
        clock: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._charges = charges
        self._people = people
        self._approvals = approvals
        self._clock = clock

    async def export(self, caller: Caller) -> Export:
        """Return all that is known of the caller."""
        return Export(await self._records.dossier(caller.subject), self._all_charges(caller.subject))

    async def erase_self(self, caller: Caller) -> None:
        """Erase the caller. Raises Conflict while they charge, for the last admin, and for who is no person here."""
        try:
            await self._people.find(caller.subject)
        except NotFound:  # the operator of the machine: others have acted under that name too
            raise Conflict("there is no account to erase: this token speaks for nobody who logs in") from None
        await self._erase(caller.subject)

    async def erase(self, caller: Caller, subject: str, approval_id: str | None) -> None:
        """Erase somebody else, as another person has approved.

        Raises NotFound, ApprovalNeeded without an approval, and Conflict for one that was given for something else,
        while they charge, and for the last admin.
        """
        await self._people.find(subject)
        hindrance = await self._records.hindrance(subject, self._clock())
        if hindrance is not None:  # before the approval is used up
            raise Conflict(hindrance)
        await self._approvals.use(caller, approval_id, erasure_of(subject))
        await self._erase(subject)

    async def _erase(self, subject: str) -> None:
        await self._records.erase(subject, _PSEUDONYM + secrets.token_hex(_PSEUDONYM_BYTES), self._clock())

    async def _all_charges(self, subject: str) -> AsyncIterator[Charge]:
        cursor: str | None = None
        while True:
            page = await self._charges.charges(subject, cursor=cursor, limit=_PAGE)
            for charge in page.items:
                yield charge
            if (cursor := page.cursor) is None:
                return


def erasure_of(subject: str) -> Wish:
    """Return what needs an approval to erase somebody."""
    return Wish(ERASE_PERSON, f"person/{subject}", {})


def pseudonymised(message: bytes, id_token: str, pseudonym: str) -> bytes:
    """Return a message in JSON with a pseudonym wherever an id token stands, and without vendors' own fields.

    What meters have measured and signed stays as it is.
    """
    return msgspec.json.encode(_pseudonymised(msgspec.json.decode(message), token_key(id_token), pseudonym))


def _pseudonymised(part: object, key: str, pseudonym: str) -> object:
    match part:
        case str() if token_key(part) == key:
            return pseudonym
        case dict():
            kept = ((name, inner) for name, inner in part.items() if name != "customData")
            return {name: _pseudonymised(inner, key, pseudonym) for name, inner in kept}
        case list():
            return [_pseudonymised(inner, key, pseudonym) for inner in part]
    return part
