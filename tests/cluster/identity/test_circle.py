"""The people of a holding: how one joins and leaves; by example, and by whatever people may do in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.errors import BadRequest, CloudBayError, Conflict, NotFound
from cluster.identity.circle import Circle, Offer
from cluster.identity.codes import code_digest, make_code
from cluster.identity.relation import Holding, Relation, Terms, Tie, may_give

pytestmark = pytest.mark.pure

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOME = Holding("station", "CP-1")
MOST = 10


@pytest.fixture
def circle() -> Circle:
    """Ann owns it, Cora is a co-owner, Gus a guest."""
    people: list[tuple[str, Relation]] = [("ann", "owner"), ("cora", "co-owner"), ("gus", "guest")]
    return Circle(HOME, 1, {who: Tie(who, HOME, relation, "ann", NOON) for who, relation in people})


def offer(relation: Relation = "guest", by: str = "ann", to: str | None = "new", **values: object) -> Offer:
    plain = Offer("o-1", HOME, relation, by, NOON, NOON + timedelta(days=7), to)
    return msgspec.structs.replace(plain, **values)


def relation_of(circle: Circle, subject: str) -> Relation | None:
    found = circle.ties.get(subject)
    return None if found is None else found.relation


def test_an_offer_joins_who_accepts_it_in_its_terms(circle: Circle) -> None:
    terms = Terms(charges=3)
    circle.offer(offer(terms=terms), "owner", NOON, MOST)
    assert relation_of(circle, "new") is None, "not before it is accepted"
    later = NOON + timedelta(days=1)
    joined = circle.accept("o-1", "new", "owner", later)
    assert joined == Tie("new", HOME, "guest", "ann", later, terms) == circle.ties["new"]
    assert circle.offers == {}
    with pytest.raises(NotFound):
        circle.accept("o-1", "new", "owner", later)


def test_an_offer_to_somebody_is_nobody_elses(circle: Circle) -> None:
    circle.offer(offer(), "owner", NOON, MOST)
    with pytest.raises(NotFound):
        circle.accept("o-1", "other", "owner", NOON)
    with pytest.raises(NotFound):
        circle.decline("o-1", "other")
    circle.decline("o-1", "new")
    assert circle.offers == {}


def test_nobody_gives_to_himself(circle: Circle) -> None:
    with pytest.raises(BadRequest):
        circle.offer(offer(to="ann"), "owner", NOON, MOST)
    circle.offer(offer("guest", "cora", None), "co-owner", NOON, MOST)
    with pytest.raises(Conflict):
        circle.accept("o-1", "cora", "co-owner", NOON)


@pytest.mark.parametrize(
    ("relation", "given_one"), [("co-owner", "co-owner"), ("co-owner", "owner"), ("guest", "guest")]
)
def test_nobody_gives_more_than_he_may(circle: Circle, relation: Relation, given_one: Relation) -> None:
    with pytest.raises(Conflict):
        circle.offer(offer(given_one, "somebody"), relation, NOON, MOST)


def test_an_offer_holds_as_long_as_its_maker_could_make_it(circle: Circle) -> None:
    circle.offer(offer("guest", "cora"), "co-owner", NOON, MOST)
    for maker in ("guest", None):
        with pytest.raises(NotFound):
            circle.accept("o-1", "new", maker, NOON)
    assert circle.accept("o-1", "new", "co-owner", NOON).relation == "guest"


def test_an_offer_that_has_expired_is_gone(circle: Circle) -> None:
    circle.offer(offer(), "owner", NOON, MOST)
    with pytest.raises(NotFound):
        circle.accept("o-1", "new", "owner", NOON + timedelta(days=7))
    circle.tidy(NOON + timedelta(days=7))
    assert circle.offers == {}


def test_ownership_passes_when_the_new_owner_accepts_and_takes_everybody_else_away(circle: Circle) -> None:
    circle.offer(offer("guest", to="x", id="o-2"), "owner", NOON, MOST)
    circle.offer(offer("owner"), "owner", NOON, MOST)
    assert circle.owner == circle.ties["ann"]
    circle.accept("o-1", "new", "owner", NOON)
    assert set(circle.ties) == {"new"}
    assert circle.owner == circle.ties["new"]
    assert circle.offers == {}


def test_a_co_owner_may_become_the_owner_but_an_owner_nothing_less(circle: Circle) -> None:
    circle.offer(offer("guest", "cora", "ann"), "co-owner", NOON, MOST)
    with pytest.raises(Conflict):
        circle.accept("o-1", "ann", "co-owner", NOON)
    circle.offer(offer("owner", to="cora", id="o-2"), "owner", NOON, MOST)
    circle.accept("o-2", "cora", "owner", NOON)
    assert {who: g.relation for who, g in circle.ties.items()} == {"cora": "owner"}


def test_a_claim_makes_the_first_owner_once(circle: Circle) -> None:
    empty = Circle(HOME)
    claim = offer("owner", "staff", None, claim=True, code_digest="a")
    empty.offer(claim, None, NOON, MOST)
    newer = msgspec.structs.replace(claim, id="o-2", code_digest="b")
    empty.offer(newer, None, NOON, MOST)
    assert set(empty.offers) == {"o-2"}, "an older code is void"
    assert empty.accept("o-2", "dan", None, NOON).relation == "owner"
    with pytest.raises(Conflict):
        circle.offer(claim, None, NOON, MOST)


def test_a_claim_takes_a_place_from_nobody() -> None:
    holding = Circle(HOME)
    holding.offer(offer("owner", "staff", None, claim=True), None, NOON, MOST)
    holding.ties["ann"] = Tie("ann", HOME, "owner", "staff", NOON)
    with pytest.raises(NotFound):
        holding.accept("o-1", "thief", None, NOON)


def test_a_claim_is_not_for_people_to_withdraw(circle: Circle) -> None:
    circle.offers["o-1"] = offer("owner", "staff", None, claim=True)
    with pytest.raises(Conflict):
        circle.withdraw("o-1", "owner")


def test_who_may_give_a_relation_may_change_and_take_it(circle: Circle) -> None:
    terms = Terms(charges=1)
    for who, relation in (("gus", "co-owner"), ("gus", "owner"), ("cora", "owner")):
        changed = circle.change(who, Terms(valid_until=NOON + timedelta(days=1)), relation, NOON)  # type: ignore[arg-type]
        assert circle.ties[who] == changed
    for who, relation in (("cora", "co-owner"), ("ann", "owner"), ("ann", "co-owner"), ("gus", "guest")):
        with pytest.raises(Conflict):
            circle.change(who, terms, relation, NOON)  # type: ignore[arg-type]
        with pytest.raises(Conflict):
            circle.remove(who, relation)  # type: ignore[arg-type]
    with pytest.raises(BadRequest):
        circle.change("cora", terms, "owner", NOON)
    with pytest.raises(NotFound):
        circle.remove("nobody", "owner")


def test_who_goes_takes_his_offers_along(circle: Circle) -> None:
    circle.offer(offer("guest", "cora"), "co-owner", NOON, MOST)
    circle.offer(offer("guest", "ann", "x", id="o-2"), "owner", NOON, MOST)
    circle.leave("cora")
    assert (relation_of(circle, "cora"), set(circle.offers)) == (None, {"o-2"})
    circle.remove("gus", "owner")
    with pytest.raises(Conflict):
        circle.leave("ann")
    with pytest.raises(NotFound):
        circle.leave("nobody")


def test_staff_give_and_take(circle: Circle) -> None:
    before = msgspec.structs.replace(circle)
    circle.give("ann", "staff", NOON + timedelta(days=1))
    assert circle == before, "who has it keeps it, with everybody"
    circle.give("dan", "staff", NOON)
    assert set(circle.ties) == {"dan"}
    circle.take()
    assert circle.ties == {}
    with pytest.raises(NotFound):
        circle.take()


def test_a_circle_is_bounded(circle: Circle) -> None:
    for number in range(MOST - 3):
        circle.offer(offer(to=f"n{number}", id=f"o{number}"), "owner", NOON, MOST)
    with pytest.raises(Conflict):
        circle.offer(offer(to="too many"), "owner", NOON, MOST)
    circle.offer(offer(to="n0", id="again"), "owner", NOON, MOST)
    assert len(circle.offers) == MOST - 3, "the same offer again replaces the first"


PEOPLE = st.sampled_from(["ann", "bob", "cora"])
GIVEN: st.SearchStrategy[Relation] = st.sampled_from(["owner", "co-owner", "guest"])


class AnythingPeopleDo(RuleBasedStateMachine):
    """Offers, acceptances and departures in any order, by anybody, as the service makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.circle = Circle(HOME)
        self.now = NOON
        self.number = 0

    def attempt(self, change: object, who: str) -> None:
        before = msgspec.json.encode(self.circle)
        owner = self.circle.owner
        try:
            change()  # type: ignore[operator]
        except CloudBayError:
            return
        after = self.circle.owner
        if after is not None and owner is not None and after.subject != owner.subject:
            assert after.subject == who, "ownership passes to who accepts it"
            assert before != msgspec.json.encode(self.circle)

    @rule(by=PEOPLE, to=st.none() | PEOPLE, relation=GIVEN)
    def offers(self, by: str, to: str | None, relation: Relation) -> None:
        self.number += 1
        made = offer(relation, by, to, id=f"o-{self.number}", offered_at=self.now, expires_at=self.now + timedelta(3))
        mine = relation_of(self.circle, by)
        people = dict(self.circle.ties)
        self.attempt(lambda: self.circle.offer(made, mine, self.now, MOST), by)
        assert self.circle.ties == people, "an offer joins nobody"
        assert made.id not in self.circle.offers or may_give(mine, relation)

    @rule()
    def claim_is_made(self) -> None:
        self.number += 1
        made = offer("owner", "staff", None, id=f"o-{self.number}", claim=True, expires_at=self.now + timedelta(3))
        self.attempt(lambda: self.circle.offer(made, None, self.now, MOST), "staff")

    @rule(who=PEOPLE, which=st.integers(0, 20))
    def accepts(self, who: str, which: int) -> None:
        offers = list(self.circle.offers.values())
        if not offers:
            return
        chosen = offers[which % len(offers)]
        before = relation_of(self.circle, who)
        maker = None if chosen.claim else relation_of(self.circle, chosen.offered_by)
        self.attempt(lambda: self.circle.accept(chosen.id, who, maker, self.now), who)
        if relation_of(self.circle, who) != before:
            assert who != chosen.offered_by
            assert chosen.claim or may_give(maker, chosen.relation)

    @rule(who=PEOPLE)
    def leaves(self, who: str) -> None:
        self.attempt(lambda: self.circle.leave(who), who)

    @rule(who=PEOPLE, by=PEOPLE)
    def removes(self, who: str, by: str) -> None:
        mine, there = relation_of(self.circle, by), relation_of(self.circle, who)
        self.attempt(lambda: self.circle.remove(who, mine), by)
        assert relation_of(self.circle, who) == there or (there is not None and may_give(mine, there))

    @rule(who=PEOPLE)
    def is_erased(self, who: str) -> None:
        others = set(self.circle.ties) - {who}
        owned, had_heir = (
            self.circle.owner,
            any(tie.relation == "co-owner" and tie.in_force(self.now) for tie in self.circle.ties.values()),
        )
        self.circle.forget(who, self.now)
        assert who not in msgspec.json.encode(self.circle).decode().split('"')
        if owned is not None and owned.subject == who:
            assert set(self.circle.ties) == (others if had_heir else set())
            assert (self.circle.owner is not None) == had_heir
        else:
            assert (set(self.circle.ties), self.circle.owner is None) == (others, owned is None)

    @rule(hours=st.integers(1, 48))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def has_one_owner_at_most_and_no_more_people_than_may_be(self) -> None:
        assert sum(tie.relation == "owner" for tie in self.circle.ties.values()) <= 1
        assert len(self.circle.ties) + len(self.circle.offers) <= MOST
        assert all(subject == tie.subject for subject, tie in self.circle.ties.items())
        assert all(tie.subject != tie.granted_by for tie in self.circle.ties.values())


TestAnythingPeopleDo = AnythingPeopleDo.TestCase


def test_a_code_is_read_however_it_was_typed() -> None:
    code, key = make_code(), b"k" * 32
    assert len(code.replace("-", "")) == 20
    digest = code_digest(code, key)
    for typed in (
        code.lower(),
        code.replace("-", ""),
        code.replace("-", " "),
        code.replace("0", "o").replace("1", "L"),
    ):
        assert code_digest(typed, key) == digest
    assert code_digest(code, b"x" * 32) != digest
    assert code_digest(make_code(), key) != digest
