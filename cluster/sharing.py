"""Who has which relation to stations and sites, as people and staff change it.

The rules are `cluster.identity.circle`'s; a change that was made meanwhile is taken into account by doing it again.
Must not know: SQL, HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol, TypeVar

from actors.errors import Changed, NotFound, Unavailable
from cluster.identity.caller import Caller
from cluster.identity.circle import Circle, Offer
from cluster.identity.codes import code_digest, make_code
from cluster.identity.relation import Holding, Relation, Terms, Tie, deciding

T = TypeVar("T")

_TRIES: Final = 5


class CircleStore(Protocol):
    """Where circles are kept. Everything raises Unavailable, and BadRequest for a value that cannot be stored."""

    async def circle(self, holding: Holding) -> Circle:
        """Return the circle of a holding; an empty one if it has none."""

    async def save(self, circle: Circle) -> None:
        """Store a circle that has changed since it was read. Raises Changed if it was stored meanwhile."""

    async def bearing(self, subject: str, holdings: Sequence[Holding]) -> dict[Holding, list[Tie]]:
        """Return what somebody has at holdings and the owner of each; at a station, also what he has on its site."""

    async def offers_to(self, subject: str) -> list[Offer]:
        """Return what is offered to somebody, a hundred at most, the oldest first."""

    async def offer_of(self, digest: str) -> Offer | None:
        """Return the offer whose code has this digest."""


class SharingRules(NamedTuple):
    """The platform's choices."""

    max_people: int
    invitation_life: timedelta
    claim_life: timedelta


class Made(NamedTuple):
    """An offer that was just made; its code, if it has one, is told this once."""

    offer: Offer
    code: str | None


class Sharing:
    """Relations of people. Callers are who they say they are, and may do what they ask for if no error is raised."""

    def __init__(
        self,
        store: CircleStore,
        rules: SharingRules,
        clock: Callable[[], datetime],
        code_key: bytes,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._code_key = code_key

    async def at(self, subject: str, holdings: Sequence[Holding]) -> dict[Holding, Tie]:
        """Return what somebody is to holdings now; those that he is nothing to are left out."""
        bearing, now = await self._store.bearing(subject, holdings), self._clock()
        found = {holding: deciding(subject, ties, now) for holding, ties in bearing.items()}
        return {holding: tie for holding, tie in found.items() if tie is not None}

    async def circle(self, holding: Holding) -> Circle:
        """Return the people of a holding, with the offers that can still be accepted."""
        circle = await self._store.circle(holding)
        circle.tidy(self._clock())
        return circle

    async def offered_to(self, caller: Caller) -> list[Offer]:
        """Return what the caller is offered and may still accept."""
        now = self._clock()
        return [offer for offer in await self._store.offers_to(caller.subject) if offer.is_open(now)]

    async def invite(
        self, caller: Caller, offer_id: str, holding: Holding, relation: Relation, subject: str | None, terms: Terms
    ) -> Made:
        """Offer a relation to a person, or without a `subject` to whoever has a code.

        An offer with the same id is replaced. Raises Conflict, BadRequest.
        """
        offer, code = self._offer(caller, offer_id, holding, relation, self._rules.invitation_life, subject, terms)
        mine = await self._relation(caller.subject, holding)
        await self._change(holding, lambda circle: circle.offer(offer, mine, offer.offered_at, self._rules.max_people))
        return Made(offer, code)

    async def accept(self, caller: Caller, offer_id: str) -> Tie:
        """Accept what the caller is offered. Raises NotFound, Conflict."""
        for offer in await self._store.offers_to(caller.subject):
            if offer.id == offer_id:
                return await self._accept(caller, offer)
        raise NotFound(f"there is no invitation {offer_id}")

    async def redeem(self, caller: Caller, code: str) -> Tie:
        """Accept what a code stands for. Raises NotFound, Conflict."""
        offer = await self._store.offer_of(code_digest(code, self._code_key))
        if offer is None:
            raise NotFound("this code is not good, or not any longer")
        return await self._accept(caller, offer)

    async def decline(self, caller: Caller, offer_id: str) -> None:
        """Refuse what the caller is offered. Raises NotFound."""
        for offer in await self._store.offers_to(caller.subject):
            if offer.id == offer_id:
                return await self._change(offer.holding, lambda circle: circle.decline(offer_id, caller.subject))
        raise NotFound(f"there is no invitation {offer_id}")

    async def withdraw(self, caller: Caller, holding: Holding, offer_id: str) -> None:
        """Take an offer back. Raises NotFound, Conflict."""
        mine = await self._relation(caller.subject, holding)
        await self._change(holding, lambda circle: circle.withdraw(offer_id, mine))

    async def change(self, caller: Caller, holding: Holding, subject: str, terms: Terms) -> Tie:
        """Set other terms for somebody. Raises NotFound, Conflict, BadRequest."""
        mine = await self._relation(caller.subject, holding)
        return await self._change(holding, lambda circle: circle.change(subject, terms, mine, self._clock()))

    async def remove(self, caller: Caller, holding: Holding, subject: str) -> None:
        """Take somebody's relation away. Raises NotFound, Conflict."""
        mine = await self._relation(caller.subject, holding)
        await self._change(holding, lambda circle: circle.remove(subject, mine))

    async def leave(self, caller: Caller, holding: Holding) -> None:
        """Give the caller's own relation up. Raises NotFound, Conflict for an owner."""
        await self._change(holding, lambda circle: circle.leave(caller.subject))

    async def give(self, staff: Caller, holding: Holding, subject: str) -> Tie:
        """Make somebody the owner of a holding that exists."""
        return await self._change(holding, lambda circle: circle.give(subject, staff.subject, self._clock()))

    async def take(self, holding: Holding) -> None:
        """Leave a holding without an owner, and without everybody else. Raises NotFound."""
        await self._change(holding, lambda circle: circle.take())

    async def make_claim(self, staff: Caller, offer_id: str, holding: Holding) -> Made:
        """Make the code whose holder becomes the first owner; an older one is void. Raises Conflict."""
        made = self._offer(staff, offer_id, holding, "owner", self._rules.claim_life, None, Terms(), claim=True)
        most = self._rules.max_people
        await self._change(holding, lambda circle: circle.offer(made.offer, None, made.offer.offered_at, most))
        return made

    def _offer(
        self,
        caller: Caller,
        offer_id: str,
        holding: Holding,
        relation: Relation,
        life: timedelta,
        subject: str | None,
        terms: Terms,
        *,
        claim: bool = False,
    ) -> Made:
        now, code = self._clock(), make_code() if subject is None else None
        digest = None if code is None else code_digest(code, self._code_key)
        offer = Offer(offer_id, holding, relation, caller.subject, now, now + life, subject, digest, terms, claim)
        return Made(offer, code)

    async def _accept(self, caller: Caller, offer: Offer) -> Tie:
        maker = None if offer.claim else await self._relation(offer.offered_by, offer.holding)
        return await self._change(
            offer.holding, lambda circle: circle.accept(offer.id, caller.subject, maker, self._clock())
        )

    async def _relation(self, subject: str, holding: Holding) -> Relation | None:
        tie = (await self.at(subject, [holding])).get(holding)
        return None if tie is None else tie.relation

    async def _change(self, holding: Holding, change: Callable[[Circle], T]) -> T:
        for _ in range(_TRIES):
            circle = await self._store.circle(holding)
            result = change(circle)
            try:
                await self._store.save(circle)
            except Changed:
                continue
            return result
        raise Unavailable(f"the people of {holding.name} change too fast now")
