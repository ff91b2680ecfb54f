"""Four eyes: the rules, for approvals kept in PostgreSQL and in the twin."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest, Changed, CloudBayError, Conflict, NotFound
from cluster.approvals import (
    MAX_PAYLOAD_BYTES,
    MAX_TEXT,
    Approval,
    ApprovalFilter,
    ApprovalKind,
    ApprovalNeeded,
    Approvals,
    ApprovalStore,
    MayNotDecide,
    Verdict,
    Wish,
)
from cluster.identity.caller import Caller, Role
from cluster.store.approvals import PostgresApprovals
from tests.twins.approvals import MemoryApprovals

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIFE = timedelta(hours=4)
KINDS = {
    "firmware.publish": ApprovalKind(frozenset({"admin", "firmware"}), LIFE),
    "person.erase": ApprovalKind(frozenset({"admin"}), timedelta(days=1)),
}
WISH = Wish("firmware.publish", "firmware/7", {"version": "1.2", "stations": 100, "share": 0.5}, "a fix")


def person(name: str, *roles: Role) -> Caller:
    return Caller(name, "https://id.example", frozenset(roles), logged_in_at=NOON)


ANN, BOB, EVE = person("ann", "firmware"), person("bob", "firmware"), person("eve", "support")
KEY = Caller("key:7", "https://id.example", frozenset({"admin"}), scopes=frozenset({"all"}))


numbers = count(1)


def new_id() -> str:
    return f"approval-{next(numbers)}"


class Desk(Approvals):
    """Approvals with a clock to turn."""

    def __init__(self, store: ApprovalStore) -> None:
        self.now = NOON
        self.store = store
        super().__init__(store, KINDS, lambda: self.now)

    async def approved(self) -> Approval:
        asked = await self.ask(ANN, new_id(), WISH)
        return await self.decide(BOB, asked.id, asked.version, "approved")


@pytest.fixture(params=["memory", "postgresql"])
def desk(request: pytest.FixtureRequest) -> Desk:
    postgresql = request.param == "postgresql"
    return Desk(PostgresApprovals(request.getfixturevalue("engine")) if postgresql else MemoryApprovals())


async def test_a_deed_that_names_no_approval_is_told_what_to_ask_for(desk: Desk) -> None:
    with pytest.raises(ApprovalNeeded) as needed:
        await desk.use(ANN, None, WISH)
    assert needed.value.wish == WISH


async def test_what_is_asked_again_under_its_id_is_asked_once(desk: Desk) -> None:
    first = await desk.ask(ANN, "again", WISH, again=True)
    assert await desk.ask(ANN, "again", WISH, again=True) == first
    assert (await desk.list()).items == [first]


@pytest.mark.parametrize("payload", [{"a": "\ud800"}, {"\ud800": 1}])
async def test_a_payload_that_is_no_text_is_refused(desk: Desk, payload: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="half a character"):
        await desk.ask(ANN, new_id(), msgspec.structs.replace(WISH, payload=payload))


async def test_who_could_decide_is_told(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    assert [desk.may_decide(who, asked) for who in (ANN, BOB, EVE, KEY)] == [False, True, False, False]
    decided = await desk.decide(BOB, asked.id, None, "rejected")
    assert not desk.may_decide(BOB, decided)
    expired = await desk.ask(ANN, new_id(), WISH)
    desk.now += LIFE
    assert not desk.may_decide(BOB, expired)


async def test_one_asks_another_approves_and_it_is_done_once(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    assert (asked.state, asked.requested_by, asked.expires_at, asked.version) == ("open", "ann", NOON + LIFE, 1)
    desk.now += timedelta(minutes=1)
    approved = await desk.decide(BOB, asked.id, 1, "approved", "looks right")
    assert (approved.state, approved.decided_by, approved.decided_at, approved.remark) == (
        "approved",
        "bob",
        desk.now,
        "looks right",
    )
    assert await desk.get(asked.id) == approved
    used = await desk.use(ANN, asked.id, WISH)
    assert (used.state, used.used_by, used.used_at) == ("used", "ann", desk.now)
    assert await desk.get(asked.id) == used
    with pytest.raises(Conflict, match="used"):
        await desk.use(ANN, asked.id, WISH)


async def test_nobody_decides_their_own_request(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    for verdict in ("approved", "rejected"):
        with pytest.raises(MayNotDecide, match="own"):
            await desk.decide(ANN, asked.id, 1, verdict)
    assert (await desk.get(asked.id)).state == "open"


async def test_who_logs_in_elsewhere_is_still_the_same_person(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    elsewhere = msgspec.structs.replace(ANN, issuer="https://other.example", session_id="2")
    with pytest.raises(MayNotDecide, match="own"):
        await desk.decide(elsewhere, asked.id, 1, "approved")


async def test_only_a_role_of_the_kind_decides(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    with pytest.raises(MayNotDecide, match="admin, firmware"):
        await desk.decide(EVE, asked.id, 1, "rejected")
    erase = await desk.ask(EVE, new_id(), msgspec.structs.replace(WISH, kind="person.erase"))
    with pytest.raises(MayNotDecide, match="admin"):
        await desk.decide(BOB, erase.id, 1, "approved")


async def test_a_machine_neither_asks_nor_decides(desk: Desk) -> None:
    with pytest.raises(MayNotDecide, match="people"):
        await desk.ask(KEY, new_id(), WISH)
    asked = await desk.ask(ANN, new_id(), WISH)
    with pytest.raises(MayNotDecide, match="people"):
        await desk.decide(KEY, asked.id, 1, "approved")


async def test_what_was_rejected_is_over(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    rejected = await desk.decide(BOB, asked.id, 1, "rejected", "not on a Friday")
    assert rejected.state == "rejected"
    with pytest.raises(Conflict, match="rejected"):
        await desk.use(ANN, asked.id, WISH)
    with pytest.raises(Conflict, match="rejected"):
        await desk.decide(person("dan", "admin"), asked.id, 2, "approved")


async def test_what_nobody_approved_cannot_be_used(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    with pytest.raises(Conflict, match="open"):
        await desk.use(ANN, asked.id, WISH)


@pytest.mark.parametrize("decide", [False, True])
async def test_a_request_and_its_approval_expire(desk: Desk, decide: bool) -> None:
    asked = await desk.approved() if decide else await desk.ask(ANN, new_id(), WISH)
    desk.now = asked.expires_at
    assert (await desk.get(asked.id)).state_at(desk.now) == "expired"
    with pytest.raises(Conflict, match="expired"):
        await desk.use(ANN, asked.id, WISH)
    with pytest.raises(Conflict, match="expired"):
        await desk.decide(BOB, asked.id, asked.version, "approved")


async def test_what_is_used_or_rejected_does_not_expire(desk: Desk) -> None:
    used = await desk.use(ANN, (await desk.approved()).id, WISH)
    assert used.state_at(NOON + timedelta(days=99)) == "used"


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "person.erase"},
        {"target": "firmware/8"},
        {"payload": {**WISH.payload, "stations": 101}},
        {"payload": {**WISH.payload, "stations": 100.0}},
        {"payload": {**WISH.payload, "all": True}},
        {"payload": {}},
    ],
)
async def test_an_approval_is_good_for_nothing_else(desk: Desk, other: dict[str, object]) -> None:
    approved = await desk.approved()
    with pytest.raises(Conflict, match="something else"):
        await desk.use(ANN, approved.id, msgspec.structs.replace(WISH, **other))
    reordered = dict(reversed(WISH.payload.items()))
    assert (await desk.use(ANN, approved.id, msgspec.structs.replace(WISH, payload=reordered))).state == "used"


async def test_of_two_who_decide_at_once_the_later_learns_that_it_changed(desk: Desk) -> None:
    asked = await desk.ask(ANN, new_id(), WISH)
    verdicts = [desk.decide(person(name, "admin"), asked.id, 1, "rejected") for name in ("bob", "dan", "fay")]
    outcomes = await asyncio.gather(*verdicts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Approval)] == [Changed, Changed]
    with pytest.raises(Changed):
        await desk.decide(BOB, asked.id, 1, "approved")


async def test_of_many_who_use_it_at_once_one_may(desk: Desk) -> None:
    approved = await desk.approved()
    outcomes = await asyncio.gather(*(desk.use(ANN, approved.id, WISH) for _ in range(8)), return_exceptions=True)
    assert len([outcome for outcome in outcomes if isinstance(outcome, Approval)]) == 1
    assert len([outcome for outcome in outcomes if isinstance(outcome, Conflict)]) == 7


async def test_lists_by_state_kind_target_and_person_in_pages(desk: Desk) -> None:
    approved = await desk.approved()
    desk.now += timedelta(hours=1)
    erase = await desk.ask(BOB, new_id(), Wish("person.erase", "person/9", {}, "asked to"))
    later = await desk.ask(ANN, new_id(), WISH)

    async def listed(wanted: ApprovalFilter) -> list[str]:
        return [one.id for one in (await desk.list(wanted)).items]

    assert await listed(ApprovalFilter()) == [later.id, erase.id, approved.id]
    assert await listed(ApprovalFilter(state="open")) == [later.id, erase.id]
    assert await listed(ApprovalFilter(state="approved", kind="firmware.publish")) == [approved.id]
    assert await listed(ApprovalFilter(target="person/9")) == [erase.id]
    assert await listed(ApprovalFilter(requested_by="ann")) == [later.id, approved.id]
    desk.now += LIFE
    assert await listed(ApprovalFilter(state="expired")) == [later.id, approved.id]
    assert await listed(ApprovalFilter(state="open")) == [erase.id]
    first = await desk.list(limit=2)
    rest = await desk.list(cursor=first.cursor)
    assert [one.id for one in first.items + rest.items] == [later.id, erase.id, approved.id]
    with pytest.raises(BadRequest):
        await desk.list(cursor="?")


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "coffee.make"},
        {"reason": " "},
        {"reason": "x" * (MAX_TEXT + 1)},
        {"target": ""},
        {"payload": {"text": "x" * MAX_PAYLOAD_BYTES}},
        {"target": "nul \0"},
    ],
)
async def test_a_wish_that_cannot_be_kept_is_refused(desk: Desk, other: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        await desk.ask(ANN, new_id(), msgspec.structs.replace(WISH, **other))
    assert (await desk.list()).items == []


async def test_an_unknown_one_is_not_found(desk: Desk) -> None:
    for attempt in (desk.get("x"), desk.decide(BOB, "x", 1, "approved"), desk.use(ANN, "x", WISH)):
        with pytest.raises(NotFound):
            await attempt


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.sampled_from([ANN, BOB, EVE, KEY]), st.sampled_from(["approved", "rejected"])),
        st.tuples(st.just("use"), st.sampled_from([ANN, BOB, EVE, KEY]), st.just("")),
        st.tuples(st.just("wait"), st.just(ANN), st.just("")),
    ),
    max_size=8,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_tried_it_is_used_once_at_most_and_only_after_another_person_approved(
    steps: list[tuple[str, Caller, Verdict]],
) -> None:
    desk = Desk(MemoryApprovals())
    asked = await desk.ask(ANN, new_id(), WISH)
    uses = 0
    for step, caller, verdict in steps:
        seen = await desk.get(asked.id)
        try:
            if step == "wait":
                desk.now += LIFE / 3
            elif step == "decide":
                await desk.decide(caller, asked.id, seen.version, verdict)
            else:
                await desk.use(caller, asked.id, WISH)
                uses += 1
                assert seen.decided_by == "bob"
                assert seen.state == "approved"
                assert desk.now < seen.expires_at
        except CloudBayError:
            assert await desk.get(asked.id) == seen, "what is refused changes nothing"
    assert uses <= 1


@pytest.mark.parametrize(
    "values",
    [
        {"state": "approved", "decided_by": "ann"},
        {"state": "approved"},
        {"state": "used", "decided_by": "bob"},
    ],
)
async def test_the_database_itself_refuses_what_no_rule_would_make(
    engine: AsyncEngine, values: dict[str, object]
) -> None:
    asked = Approval("1", "k", "t", {}, "r", requested_by="ann", created_at=NOON, expires_at=NOON + LIFE)
    store = PostgresApprovals(engine)
    await store.add(asked)
    with pytest.raises(IntegrityError):
        await store.replace(msgspec.structs.replace(asked, version=2, **values))
