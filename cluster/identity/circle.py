"""The people of a station or site: its owner, co-owners and guests, and who is invited; how one joins and leaves.

An offer holds as long as who made it could make it again, and joins nobody who has not accepted it. When a holding gets
another owner, everybody goes whom the last one has let in, unless he is erased. Must not know: where circles are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from actors.errors import BadRequest, Conflict, NotFound
from cluster.identity.relation import Holding, Relation, Terms, Tie, check_terms, may_give

ERASED: Final = "erased"
"""Stands for a person who is erased."""


class Offer(msgspec.Struct, frozen=True):
    """A relation that waits to be accepted, by `subject` or by whoever has its code; of the code a digest is kept."""

    id: str
    holding: Holding
    relation: Relation
    offered_by: str
    offered_at: datetime
    expires_at: datetime
    subject: str | None = None
    code_digest: str | None = None
    terms: Terms = Terms()
    claim: bool = False
    """Made by staff for the first owner: whoever accepts it has the holding, as long as nobody else does."""

    def is_open(self, now: datetime) -> bool:
        """Tell whether it can still be accepted."""
        return now < self.expires_at and (self.terms.valid_until is None or now < self.terms.valid_until)


class Circle(msgspec.Struct):
    """Everybody who has a relation to a holding, and the offers. `version` counts its changes."""

    holding: Holding
    version: int = 0
    ties: dict[str, Tie] = {}
    """By subject."""
    offers: dict[str, Offer] = {}
    """By id."""

    @property
    def owner(self) -> Tie | None:
        """Who has the holding, if anybody."""
        return next((tie for tie in self.ties.values() if tie.relation == "owner"), None)

    def offer(self, offer: Offer, relation: Relation | None, now: datetime, most: int) -> None:
        """Take an offer of somebody with `relation` to the holding. Raises Conflict, BadRequest.

        `most` bounds the people of a holding with those who are invited.
        """
        check_terms(offer.relation, offer.terms, now)
        if offer.subject == offer.offered_by:
            raise BadRequest("nobody gives a relation to himself")
        if offer.claim and self.owner is not None:
            raise Conflict(f"{self.holding.name} has an owner, who alone can hand it over")
        if not offer.claim and not may_give(relation, offer.relation):
            raise Conflict(f"a {relation} cannot make somebody {offer.relation}")
        self.tidy(now)
        if offer.claim or offer.relation == "owner":
            self._drop(lambda other: other.relation == "owner" and other.claim == offer.claim)
        self._drop(lambda other: other.id == offer.id)
        if offer.subject is not None:
            self._drop(lambda other: other.subject == offer.subject and other.relation == offer.relation)
        if len(self.ties) + len(self.offers) >= most:
            raise Conflict(f"{most} people have a relation to {self.holding.name} or are invited; more may not be")
        self.offers[offer.id] = offer

    def accept(self, offer_id: str, subject: str, maker: Relation | None, now: datetime) -> Tie:
        """Join somebody who accepts an offer; `maker` is what its maker is to the holding by now.

        Raises NotFound for an offer that holds no longer, and Conflict for an owner who would become less.
        """
        offer = self._offer(offer_id)
        holds = self.owner is None if offer.claim else may_give(maker, offer.relation)
        if not offer.is_open(now) or not holds or offer.subject not in (None, subject):
            raise NotFound("this invitation does not hold any longer")
        if subject == offer.offered_by:
            raise Conflict("nobody accepts what he has offered himself")
        mine = self.ties.get(subject)
        if mine is not None and mine.relation == "owner":
            raise Conflict(f"you have {self.holding.name} already")
        tie = Tie(subject, self.holding, offer.relation, offer.offered_by, now, offer.terms)
        del self.offers[offer_id]
        if offer.relation == "owner":
            self._begin_anew()
        self.ties[subject] = tie
        return tie

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

    def change(self, subject: str, terms: Terms, relation: Relation | None, now: datetime) -> Tie:
        """Set other terms for somebody. Raises NotFound, Conflict, BadRequest."""
        tie = self._below(subject, relation)
        check_terms(tie.relation, terms, now)
        changed = self.ties[subject] = msgspec.structs.replace(tie, terms=terms)
        return changed

    def remove(self, subject: str, relation: Relation | None) -> None:
        """Take somebody's relation away, and what he has offered. Raises NotFound, Conflict."""
        self._below(subject, relation)
        self._part(subject)

    def leave(self, subject: str) -> None:
        """Give a relation up. Raises NotFound, and Conflict for an owner: a holding is handed over, not left."""
        if self._tie(subject).relation == "owner":
            raise Conflict("an owner cannot leave; hand the holding over to somebody, or ask staff")
        self._part(subject)

    def give(self, subject: str, by: str, now: datetime) -> Tie:
        """Make somebody the owner, as staff do; who was it before has no relation any more."""
        if self.owner is not None and self.owner.subject == subject:
            return self.owner
        self._begin_anew()
        tie = self.ties[subject] = Tie(subject, self.holding, "owner", by, now)
        return tie

    def take(self) -> None:
        """Leave the holding without an owner and without anybody, as staff do. Raises NotFound."""
        if self.owner is None:
            raise NotFound(f"nobody owns {self.holding.name}")
        self._begin_anew()

    def forget(self, subject: str, now: datetime) -> None:
        """Let somebody go who is erased, and name him nowhere; what belongs to others stays.

        A holding that was his goes to the co-owner who has been there the longest, of those whose relation has no end;
        without any it is nobody's, as if staff had taken it. Claim codes that he has made as staff stay good.
        """
        tie = self.ties.pop(subject, None)
        self._drop(lambda offer: subject == offer.subject or (subject == offer.offered_by and not offer.claim))
        if tie is not None and tie.relation == "owner":
            heir = min((other for other in self.ties.values() if _may_inherit(other, now)), key=_since, default=None)
            if heir is None:
                self._begin_anew()
            else:
                self.ties[heir.subject] = msgspec.structs.replace(heir, relation="owner", terms=Terms())
        for name, other in self.ties.items():
            if other.granted_by == subject:
                self.ties[name] = msgspec.structs.replace(other, granted_by=ERASED)
        for offer_id, offer in self.offers.items():
            if offer.offered_by == subject:
                self.offers[offer_id] = msgspec.structs.replace(offer, offered_by=ERASED)

    def tidy(self, now: datetime) -> None:
        """Forget offers that can no longer be accepted."""
        self._drop(lambda offer: not offer.is_open(now))

    def _below(self, subject: str, relation: Relation | None) -> Tie:
        tie = self._tie(subject)
        if tie.relation == "owner" or not may_give(relation, tie.relation):
            raise Conflict(f"a {relation} has no say over a relation of {tie.relation}")
        return tie

    def _tie(self, subject: str) -> Tie:
        tie = self.ties.get(subject)
        if tie is None:
            raise NotFound(f"{subject} has no relation to {self.holding.name}")
        return tie

    def _offer(self, offer_id: str) -> Offer:
        offer = self.offers.get(offer_id)
        if offer is None:
            raise NotFound("there is no such invitation")
        return offer

    def _part(self, subject: str) -> None:
        del self.ties[subject]
        self._drop(lambda offer: offer.offered_by == subject)

    def _begin_anew(self) -> None:
        self.ties.clear()
        self.offers.clear()

    def _drop(self, gone: Callable[[Offer], bool]) -> None:
        for offer in [offer for offer in self.offers.values() if gone(offer)]:
            del self.offers[offer.id]


def _may_inherit(tie: Tie, now: datetime) -> bool:
    return tie.relation == "co-owner" and tie.terms.valid_until is None and tie.in_force(now)


def _since(tie: Tie) -> tuple[datetime, str]:
    return tie.granted_at, tie.subject
