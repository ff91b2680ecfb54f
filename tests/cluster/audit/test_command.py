"""`cloudbay audit`: what an auditor types, what is printed, and the exit code that a script goes by."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.__main__ import main
from cluster.store.audit import PostgresAudit
from tests.cluster.audit.deeds import deed

Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def store(engine: AsyncEngine) -> PostgresAudit:
    store = PostgresAudit(engine)
    await store.append([deed(number) for number in range(1, 6)])
    return store


@pytest.fixture
def audit(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("CLOUDBAY_DATABASE__URL", database)
    # The command sets up the log of its process, which here is that of all tests.
    monkeypatch.setattr("cluster.__main__.set_up_logging", lambda _: None)

    async def run(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["audit", *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


async def change(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER ALL"))
        await connection.execute(text(statement))


async def test_a_whole_chain(store: PostgresAudit, audit: Command) -> None:
    code, printed = await audit("verify")
    assert code == 0
    assert "5 entries, nothing changed, removed or inserted" in printed
    assert str(await store.head()) in printed


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit_entries SET subject = 'bob' WHERE seq = 3", "changed: entry 3 (id deed-3)"),
        ("DELETE FROM audit_entries WHERE seq = 4", "missing: entry 4"),
    ],
)
async def test_a_broken_chain_names_the_entry(
    store: PostgresAudit, engine: AsyncEngine, audit: Command, statement: str, named: str
) -> None:
    await change(engine, statement)
    code, printed = await audit("verify")
    assert code == 1
    assert named in printed
    assert "nothing changed" not in printed


async def test_no_more_findings_than_a_screen_holds(
    store: PostgresAudit, engine: AsyncEngine, audit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.audit.command.MAX_FINDINGS", 2)
    await change(engine, "UPDATE audit_entries SET subject = 'bob'")
    code, printed = await audit("verify")
    assert code == 1
    assert printed.count("changed:") == 2


async def test_an_anchor_that_was_kept_elsewhere(store: PostgresAudit, audit: Command, tmp_path: Path) -> None:
    code, head = await audit("head")
    assert code == 0
    await store.append([deed(6)])
    assert (await audit("verify", "--anchor", head.strip()))[0] == 0
    kept = tmp_path / "anchors"
    kept.write_text(head + f"2:{'00' * 32}\n")
    code, printed = await audit("verify", "--anchor", f"@{kept}")
    assert code == 1
    assert "anchor: entry 2 (id deed-2) is not the one that was anchored" in printed


async def test_a_long_run_tells_how_far_it_is(
    store: PostgresAudit, audit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.audit.walk.PAGE", 2)
    monkeypatch.setattr("cluster.audit.command._PROGRESS_EVERY_S", 0.0)
    _, printed = await audit("verify")
    assert "2 of 5 entries\n4 of 5 entries\n5 of 5 entries" in printed


async def test_an_export_of_a_time(store: PostgresAudit, audit: Command, tmp_path: Path) -> None:
    code, printed = await audit("export", "--from", "2026-05-04T12:00:02Z", "--until", "2026-05-04T12:00:04")
    assert code == 0
    assert [json.loads(line)["entry"]["id"] for line in printed.splitlines()] == ["deed-2", "deed-3"]
    file = tmp_path / "all.jsonl"
    assert (await audit("export", "--output", str(file)))[0] == 0
    assert len(file.read_bytes().splitlines()) == 5
    code, printed = await audit("export", "--output", str(file))
    assert code == 2
    assert "exists" in printed, "an older export is not overwritten"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--anchor", "nonsense"], "is no anchor"),
        (["verify", "--anchor", "@/nowhere"], "cannot be read"),
        (["export", "--output", "/nowhere/x"], "cannot be written"),
    ],
)
async def test_what_cannot_be_done_is_said_and_is_not_taken_for_a_broken_chain(
    store: PostgresAudit, audit: Command, arguments: list[str], said: str
) -> None:
    code, printed = await audit(*arguments)
    assert code == 2
    assert said in printed


async def test_a_database_that_is_away_is_not_taken_for_a_whole_chain(
    audit: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLOUDBAY_DATABASE__URL", "postgresql://nobody@/nothing?host=%2Fnowhere")
    code, printed = await audit("verify")
    assert code == 2
    assert "cloudbay: the database cannot be reached now" in printed
    monkeypatch.delenv("CLOUDBAY_DATABASE__URL")
    assert (await audit("verify", "--data-dir", str(tmp_path)))[0] == 2, "the embedded one does not run"
