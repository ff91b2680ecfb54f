"""The people of a station or site: its owner, co-owners and guests, and who is invited; how one joins and leaves.

An offer holds as long as who made it could make it again, and joins nobody who has not accepted it. When a place gets
another owner, everybody goes whom the last one has let in. Must not know: where circles are kept, HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from actors.errors import BadRequest, Conflict, NotFound
from cluster.identity.relation import Grant, Place, Relation, Terms, check_terms, may_give


class Offer(msgspec.Struct, frozen=True):
    """A relation that waits to be accepted, by `subject` or by whoever has its code; of the code a digest is kept."""

    id: str
    place: Place
    relation: Relation
    offered_by: str
    offered_at: datetime
    expires_at: datetime
    subject: str | None = None
    code_digest: str | None = None
    terms: Terms = Terms()
    claim: bool = False
    """Made by staff for the first owner: whoever accepts it has the place, as long as nobody else does."""

    def is_open(self, now: datetime) -> bool:
        """Tell whether it can still be accepted."""
        return now < self.expires_at and (self.terms.valid_until is None or now < self.terms.valid_until)


class Circle(msgspec.Struct):
    """Everybody who has a relation to a place, and the offers. `version` counts its changes."""

    place: Place
    version: int = 0
    grants: dict[str, Grant] = {}
    """By subject."""
    offers: dict[str, Offer] = {}
    """By id."""

    @property
    def owner(self) -> Grant | None:
        """Who has the place, if anybody."""
        return next((grant for grant in self.grants.values() if grant.relation == "owner"), None)

    def offer(self, offer: Offer, relation: Relation | None, now: datetime, most: int) -> None:
        """Take an offer of somebody with `relation` to the place. Raises Conflict, BadRequest.

        `most` bounds the people of a place with those who are invited.
        """
        check_terms(offer.relation, offer.terms, now)
        if offer.subject == offer.offered_by:
            raise BadRequest("nobody gives a relation to himself")
        if offer.claim and self.owner is not None:
            raise Conflict(f"{self.place.name} has an owner, who alone can hand it over")
        if not offer.claim and not may_give(relation, offer.relation):
            raise Conflict(f"a {relation} cannot make somebody {offer.relation}")
        self.tidy(now)
        if offer.claim or offer.relation == "owner":
            self._drop(lambda other: other.relation == "owner" and other.claim == offer.claim)
        self._drop(lambda other: other.id == offer.id)
        if offer.subject is not None:
            self._drop(lambda other: other.subject == offer.subject and other.relation == offer.relation)
        if len(self.grants) + len(self.offers) >= most:
            raise Conflict(f"{most} people have a relation to {self.place.name} or are invited; more may not be")
        self.offers[offer.id] = offer

    def accept(self, offer_id: str, subject: str, maker: Relation | None, now: datetime) -> Grant:
        """Join somebody who accepts an offer; `maker` is what its maker is to the place by now.

        Raises NotFound for an offer that holds no longer, and Conflict for an owner who would become less.
        """
        offer = self._offer(offer_id)
        holds = self.owner is None if offer.claim else may_give(maker, offer.relation)
        if not offer.is_open(now) or not holds or offer.subject not in (None, subject):
            raise NotFound("this invitation does not hold any longer")
        if subject == offer.offered_by:
            raise Conflict("nobody accepts what he has offered himself")
        mine = self.grants.get(subject)
        if mine is not None and mine.relation == "owner":
            raise Conflict(f"you have {self.place.name} already")
        grant = Grant(subject, self.place, offer.relation, offer.offered_by, now, offer.terms)
        del self.offers[offer_id]
        if offer.relation == "owner":
            self._begin_anew()
        self.grants[subject] = grant
        return grant

    def withdraw(self, offer_id: str, relation: Relation | None) -> None:
        """Take an offer back. Raises NotFound, and Conflict for one that somebody with `relation` could not make."""
        offer = self._offer(offer_id)
        if offer.claim or not may_give(relation, offer.relation):
            raise Conflict(f"a {relation} cannot take this invitation back")
        del self.offers[offer_id]

    def decline(self, offer_id: str, subject: str) -> None:
        """Refuse an offer. Raises NotFound for one that was made to somebody else."""
        if self._offer(offer_id).subject != subject:
            raise NotFound("there is no such invitation")
        del self.offers[offer_id]

    def change(self, subject: str, terms: Terms, relation: Relation | None, now: datetime) -> Grant:
        """Set other terms for somebody. Raises NotFound, Conflict, BadRequest."""
        grant = self._below(subject, relation)
        check_terms(grant.relation, terms, now)
        changed = self.grants[subject] = msgspec.structs.replace(grant, terms=terms)
        return changed

    def remove(self, subject: str, relation: Relation | None) -> None:
        """Take somebody's relation away, and what he has offered. Raises NotFound, Conflict."""
        self._below(subject, relation)
        self._part(subject)

    def leave(self, subject: str) -> None:
        """Give a relation up. Raises NotFound, and Conflict for an owner: a place is handed over, not left."""
        if self._grant(subject).relation == "owner":
            raise Conflict("an owner cannot leave; hand the place over to somebody, or ask staff")
        self._part(subject)

    def give(self, subject: str, by: str, now: datetime) -> Grant:
        """Make somebody the owner, as staff do; who was it before has no relation any more."""
        if self.owner is not None and self.owner.subject == subject:
            return self.owner
        self._begin_anew()
        grant = self.grants[subject] = Grant(subject, self.place, "owner", by, now)
        return grant

    def take(self) -> None:
        """Leave the place without an owner and without anybody, as staff do. Raises NotFound."""
        if self.owner is None:
            raise NotFound(f"nobody owns {self.place.name}")
        self._begin_anew()

    def tidy(self, now: datetime) -> None:
        """Forget offers that can no longer be accepted."""
        self._drop(lambda offer: not offer.is_open(now))

    def _below(self, subject: str, relation: Relation | None) -> Grant:
        grant = self._grant(subject)
        if grant.relation == "owner" or not may_give(relation, grant.relation):
            raise Conflict(f"a {relation} has no say over a relation of {grant.relation}")
        return grant

    def _grant(self, subject: str) -> Grant:
        grant = self.grants.get(subject)
        if grant is None:
            raise NotFound(f"{subject} has no relation to {self.place.name}")
        return grant

    def _offer(self, offer_id: str) -> Offer:
        offer = self.offers.get(offer_id)
        if offer is None:
            raise NotFound("there is no such invitation")
        return offer

    def _part(self, subject: str) -> None:
        del self.grants[subject]
        self._drop(lambda offer: offer.offered_by == subject)

    def _begin_anew(self) -> None:
        self.grants.clear()
        self.offers.clear()

    def _drop(self, gone: Callable[[Offer], bool]) -> None:
        for offer in [offer for offer in self.offers.values() if gone(offer)]:
            del self.offers[offer.id]
