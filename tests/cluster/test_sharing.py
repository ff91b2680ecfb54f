"""Relations as people change them, at the same time as others do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import CloudBayError, Conflict, NotFound, Unavailable
from cluster.identity.caller import Caller
from cluster.identity.circle import Circle
from cluster.identity.relation import Holding, Relation, Terms
from cluster.sharing import CircleStore, Sharing, SharingRules
from cluster.store.circles import PostgresCircles
from tests.twins.circles import MemoryCircles
from tests.twins.store import MemoryDatabase

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOME = Holding("station", "CP-1")
STAFF = Caller("staff", "cloudbay", frozenset({"operator"}))
RULES = SharingRules(100, timedelta(days=7), timedelta(days=365))


def who(subject: str) -> Caller:
    return Caller(subject, "cloudbay")


def sharing(store: CircleStore, rules: SharingRules = RULES) -> Sharing:
    return Sharing(store, rules, lambda: NOON, b"k" * 32)


@pytest.fixture(params=["memory", "postgresql"])
def people(request: pytest.FixtureRequest) -> Sharing:
    if request.param == "memory":
        return sharing(MemoryCircles(MemoryDatabase()))
    engine: AsyncEngine = request.getfixturevalue("engine")
    return sharing(PostgresCircles(engine))


async def relation(people: Sharing, subject: str) -> Relation | None:
    tie = (await people.at(subject, [HOME])).get(HOME)
    return None if tie is None else tie.relation


async def test_of_many_with_one_code_one_joins(people: Sharing) -> None:
    code = (await people.make_claim(STAFF, "o-1", HOME)).code
    assert code is not None
    subjects = [f"p-{number}" for number in range(8)]
    outcomes = await asyncio.gather(*(people.redeem(who(s), code) for s in subjects), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert all(isinstance(outcome, NotFound) for outcome in outcomes if isinstance(outcome, BaseException))
    assert len([s for s in subjects if await relation(people, s) == "owner"]) == 1


async def test_changes_at_a_time_are_all_made(people: Sharing) -> None:
    await people.give(STAFF, HOME, "olga")
    await asyncio.gather(*(people.invite(who("olga"), f"o-{n}", HOME, "guest", f"p-{n}", Terms()) for n in range(4)))
    assert {offer.subject for offer in (await people.circle(HOME)).offers.values()} == {f"p-{n}" for n in range(4)}


async def test_two_owners_never_are_however_staff_and_people_act_at_a_time(people: Sharing) -> None:
    await people.give(STAFF, HOME, "olga")
    made = await people.invite(who("olga"), "o-1", HOME, "owner", "sam", Terms())
    outcomes = await asyncio.gather(
        people.accept(who("sam"), made.offer.id), people.give(STAFF, HOME, "noa"), return_exceptions=True
    )
    assert all(not isinstance(o, BaseException) or isinstance(o, CloudBayError) for o in outcomes)
    owners = [subject for subject in ("olga", "sam", "noa") if await relation(people, subject) == "owner"]
    assert owners == ["noa"], "who staff give it to has it, before or after the other has accepted"


async def test_an_offer_of_a_co_owner_ends_with_him(people: Sharing) -> None:
    await people.give(STAFF, HOME, "olga")
    await people.invite(who("olga"), "o-1", HOME, "co-owner", "cora", Terms())
    await people.accept(who("cora"), "o-1")
    over = Terms(valid_until=NOON + timedelta(seconds=1))
    made = await people.invite(who("cora"), "o-2", HOME, "guest", "sam", Terms())
    await people.change(who("olga"), HOME, "cora", over)
    later = Sharing(people._store, RULES, lambda: NOON + timedelta(minutes=1), b"k" * 32)
    with pytest.raises(NotFound):
        await later.accept(who("sam"), made.offer.id)
    with pytest.raises(Conflict):
        await later.invite(who("cora"), "o-2", HOME, "guest", "sam", Terms())


async def test_an_offer_that_is_made_again_under_its_id_is_one_offer_with_another_code(people: Sharing) -> None:
    """The first code may have been lost with the answer that told it."""
    await people.give(STAFF, HOME, "olga")
    lost, told = [await people.invite(who("olga"), "o-1", HOME, "guest", None, Terms()) for _ in range(2)]
    assert list((await people.circle(HOME)).offers) == ["o-1"]
    with pytest.raises(NotFound):
        await people.redeem(who("sam"), str(lost.code))
    assert (await people.redeem(who("sam"), str(told.code))).relation == "guest"


class Busy(MemoryCircles):
    """Somebody else is always quicker."""

    async def save(self, circle: Circle) -> None:
        await super().save(await self.circle(circle.holding))
        await super().save(circle)


async def test_who_comes_too_late_again_and_again_is_told() -> None:
    with pytest.raises(Unavailable):
        await sharing(Busy(MemoryDatabase())).give(STAFF, HOME, "olga")
