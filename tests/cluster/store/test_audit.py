"""The contract of AuditStore and AuditQueries, for PostgreSQL and for the twin; and what only PostgreSQL can do."""

import asyncio
import json
from datetime import timedelta
from hashlib import sha256
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest, NotFound
from cluster.audit.chain import EMPTY, Finding, chained
from cluster.audit.entry import Entry
from cluster.audit.ports import AuditFilter, AuditQueries, AuditStore
from cluster.audit.walk import export, verify
from cluster.store.audit import PostgresAudit
from tests.cluster.audit.deeds import NOON, deed
from tests.cluster.audit.test_entry import ENTRIES
from tests.twins.audit import MemoryAudit


class Audit(AuditStore, AuditQueries, Protocol):
    """Both ports."""


@pytest.fixture(params=["memory", "postgresql"])
def audit(request: pytest.FixtureRequest) -> Audit:
    return MemoryAudit() if request.param == "memory" else PostgresAudit(request.getfixturevalue("engine"))


async def findings(store: AuditStore) -> list[Finding]:
    return [finding async for finding in verify(store)]


async def test_entries_are_chained_in_the_order_they_came(audit: Audit) -> None:
    assert await audit.head() == EMPTY
    assert await audit.append([deed(1), deed(2)]) == 2
    assert await audit.append([deed(3)]) == 1
    links = await audit.read(0, 10)
    assert links == chained(EMPTY, [deed(1), deed(2), deed(3)])
    assert await audit.head() == links[-1].head
    assert await audit.read(1, 1) == links[1:2]
    assert await findings(audit) == []


async def test_a_repeat_is_known_by_its_id_and_chained_once(audit: Audit) -> None:
    await audit.append([deed(1), deed(2)])
    assert await audit.append([deed(2), deed(3), deed(3), deed(1)]) == 1
    assert await audit.append([deed(1)]) == 0
    assert [link.entry.id for link in await audit.read(0, 10)] == ["deed-1", "deed-2", "deed-3"]


async def test_a_span_of_time_is_a_span_of_places(audit: Audit) -> None:
    await audit.append([deed(5), deed(1), deed(3), deed(9)])
    seconds = [None, *(NOON + timedelta(seconds=second) for second in (1, 3, 4, 10))]
    assert await audit.span(None, None) == (1, 4)
    assert await audit.span(seconds[2], seconds[3]) == (3, 3)
    assert await audit.span(seconds[1], seconds[2]) == (2, 2), "until is excluded"
    assert await audit.span(seconds[2], None) == (1, 4)
    assert await audit.span(seconds[4], None) == (1, 0)


async def test_an_auditor_lists_by_person_thing_action_and_time_the_newest_first(audit: Audit) -> None:
    await audit.append([deed(1), deed(2, None), deed(3, station_id="CP-2"), deed(4, action="token.put")])

    async def listed(wanted: AuditFilter) -> list[str]:
        return [link.entry.id for link in (await audit.entries(wanted)).items]

    assert await listed(AuditFilter()) == ["deed-4", "deed-3", "deed-2", "deed-1"]
    assert await listed(AuditFilter(subject="ann")) == ["deed-4", "deed-3", "deed-1"]
    assert await listed(AuditFilter(target_kind="station", target_id="CP-2")) == ["deed-3"]
    assert await listed(AuditFilter(action="token.put")) == ["deed-4"]
    assert await listed(AuditFilter(since=deed(2).at, until=deed(4).at)) == ["deed-3", "deed-2"]
    assert await listed(AuditFilter(subject="nobody")) == []


async def test_lists_go_by_pages(audit: Audit) -> None:
    await audit.append([deed(number) for number in range(1, 6)])
    first = await audit.entries(limit=2)
    second = await audit.entries(cursor=first.cursor, limit=3)
    assert [link.seq for link in first.items + second.items] == [5, 4, 3, 2, 1]
    assert second.cursor is None
    assert second.previous is not None
    assert (await audit.entries(cursor=second.previous, limit=3)).items == first.items
    for bad in ("?", "Zm9v"):
        with pytest.raises(BadRequest):
            await audit.entries(cursor=bad)
    with pytest.raises(BadRequest):
        await audit.entries(limit=0)


async def test_one_entry_is_found_by_its_place(audit: Audit) -> None:
    await audit.append([deed(1), deed(2)])
    assert (await audit.entry(2)).entry == deed(2)
    with pytest.raises(NotFound):
        await audit.entry(3)


@pytest.fixture
def store(engine: AsyncEngine) -> PostgresAudit:
    return PostgresAudit(engine)


async def test_many_writers_make_one_chain(store: PostgresAudit) -> None:
    async def write(writer: int) -> None:
        for number in range(5):
            await store.append([deed(writer * 100 + number * 10 + i) for i in range(10)])

    await asyncio.gather(*(write(writer) for writer in range(8)))
    head = await store.head()
    assert head is not None
    assert head.seq == 400
    assert await findings(store) == []


@given(st.lists(ENTRIES, max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_caller_sends_is_stored_and_read_back_as_it_was_hashed(
    store: PostgresAudit, entries: list[Entry]
) -> None:
    await store.append(entries)
    stored = {link.entry.id: link.entry for link in await store.read(0, 10_000)}
    for entry in reversed(entries):
        assert entry.id in stored
    assert await findings(store) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET subject = 'bob' WHERE seq = 1",
        "UPDATE audit_entries SET subject = 'bob' WHERE seq = 99",
        "DELETE FROM audit_entries WHERE seq = 2",
        "TRUNCATE audit_entries",
        "TRUNCATE audit_head",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET hash = '\\x00'",
        "UPDATE audit_head SET id = 2, seq = 9",
        "SET session_replication_role = replica; DELETE FROM audit_entries",
        "INSERT INTO audit_entries SELECT * FROM audit_entries ON CONFLICT (seq) DO UPDATE SET subject = 'bob'",
    ],
)
async def test_the_database_itself_refuses_every_change_but_growth(
    store: PostgresAudit, engine: AsyncEngine, statement: str
) -> None:
    await store.append([deed(1), deed(2)])
    with pytest.raises(DBAPIError, match="the audit log only grows"):
        await tampered(engine, *statement.split("; "))
    assert await findings(store) == []


async def tampered(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


UNGUARDED = [f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in ("audit_entries", "audit_head")]
TAMPERINGS = {
    "UPDATE audit_entries SET subject = 'bob' WHERE seq = {n}": "changed",
    "UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE seq = {n}": "changed",
    "UPDATE audit_entries SET details = '{{}}' WHERE seq = {n}": "changed",
    "UPDATE audit_entries SET details = '[1]', roles = '7' WHERE seq = {n}": "changed",
    "UPDATE audit_entries SET roles = '[]' WHERE seq = {n}": "changed",
    "UPDATE audit_entries SET status = 403 WHERE seq = {n}": "changed",
    "UPDATE audit_entries SET hash = sha256(hash) WHERE seq = {n}": "changed",
    "DELETE FROM audit_entries WHERE seq = {n}": "missing",
}


EMPTIED = ["DELETE FROM audit_entries", "UPDATE audit_head SET seq = 0, hash = decode(repeat('00', 32), 'hex')"]


@given(st.integers(1, 9), st.sampled_from(sorted(TAMPERINGS)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_verification_names_the_one_row_that_was_changed_or_removed_behind_the_triggers(
    store: PostgresAudit, engine: AsyncEngine, place: int, tampering: str
) -> None:
    await tampered(engine, *UNGUARDED, *EMPTIED)
    await store.append([deed(number) for number in range(1, 10)])
    await tampered(engine, tampering.format(n=place))
    assert [(finding.seq, finding.kind) for finding in await findings(store)] == [(place, TAMPERINGS[tampering])]


_COPIED = "at, roles, action, target_kind, target_id, status, details, previous, hash"
_COPY = f"INSERT INTO audit_entries (seq, id, {_COPIED}) SELECT {{to}}, 'new', {_COPIED} FROM audit_entries"
_MOVE = "UPDATE audit_entries SET seq = {to} WHERE seq = {of}"


@pytest.mark.parametrize(
    ("statements", "place", "kind"),
    [
        ([_COPY.format(to=0) + " WHERE seq = 1"], 0, "inserted"),
        ([_COPY.format(to=-(2**62)) + " WHERE seq = 1"], -(2**62), "inserted"),
        ([_COPY.format(to=6) + " WHERE seq = 5"], 6, "changed"),
        ([_MOVE.format(of=2, to=100), _MOVE.format(of=3, to=2), _MOVE.format(of=100, to=3)], 2, "unlinked"),
        (["DELETE FROM audit_head"], 5, "head"),
        (["TRUNCATE audit_entries"], 1, "missing"),
    ],
)
async def test_verification_names_rows_that_were_inserted_or_swapped_behind_the_triggers(
    store: PostgresAudit, engine: AsyncEngine, statements: list[str], place: int, kind: str
) -> None:
    await store.append([deed(number) for number in range(1, 6)])
    await tampered(engine, *UNGUARDED, *statements)
    found = await findings(store)
    assert (found[0].seq, found[0].kind) == (place, kind)


async def test_verification_goes_on_while_others_write(store: PostgresAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.audit.walk.PAGE", 7)
    done = asyncio.Event()

    async def write() -> None:
        for number in range(40):
            await store.append([deed(number * 3 + i) for i in range(3)])
        done.set()

    writing = asyncio.create_task(write())
    looks = 0
    while not done.is_set() or not looks:
        assert await findings(store) == []
        looks += 1
    await writing


async def test_an_export_can_be_checked_with_nothing_but_sha256_and_json(audit: Audit) -> None:
    await audit.append([deed(number) for number in range(1, 8)])
    lines = [json.loads(line) async for line in export(audit, deed(3).at, deed(6).at)]
    assert [line["entry"]["id"] for line in lines] == ["deed-3", "deed-4", "deed-5"]
    for line in lines:
        content = json.dumps(line["entry"], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert sha256(bytes.fromhex(line["previous"]) + content.encode()).hexdigest() == line["hash"]
    assert [line["previous"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
