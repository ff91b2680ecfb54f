"""The audit log over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import msgspec
import pytest

from cluster.audit.chain import EMPTY, Head
from cluster.audit.entry import Origin, Outcome, Target, make_entry
from cluster.audit.walk import PAGE
from cluster.identity.caller import Caller
from tests.serve.fakes import NOW, MemoryPlatform

ENTRIES = "/admin/v1/audit-entries"


@pytest.fixture
async def chain(platform: MemoryPlatform) -> MemoryPlatform:
    """Three deeds: two of Ann's at CP-1, one of Bob's."""
    await fill(platform, "ann", "ann", "bob")
    return platform


async def fill(platform: MemoryPlatform, *subjects: str) -> None:
    entries = [
        make_entry(
            f"e-{number}",
            NOW + timedelta(hours=number),
            Caller(subject, "local", frozenset({"admin"})),
            "POST /admin/v1/restart",
            Target("stations" if subject == "ann" else "hosts", "CP-1"),
            Origin("192.0.2.7", "curl", f"r-{number}"),
            Outcome(202),
        )
        for number, subject in enumerate(subjects, len(platform.audit.links))
    ]
    await platform.audit.append(entries)


async def test_entries_are_listed_by_what_they_are_about_the_newest_first(
    auditor: httpx.AsyncClient, chain: MemoryPlatform
) -> None:
    def seqs(answer: httpx.Response) -> list[int]:
        return [entry["seq"] for entry in answer.json()["_embedded"]["cb:audit-entry"]]

    assert seqs(await auditor.get(ENTRIES)) == [3, 2, 1]
    assert seqs(await auditor.get(ENTRIES, params={"subject": "ann"})) == [2, 1]
    assert seqs(await auditor.get(ENTRIES, params={"targetKind": "hosts", "targetId": "CP-1"})) == [3]
    assert seqs(await auditor.get(ENTRIES, params={"action": "POST"})) == []
    assert seqs(await auditor.get(ENTRIES, params={"from": "2026-05-04T13:00:00Z", "to": "2026-05-04T14:00:00Z"})) == [
        2
    ]
    first = await auditor.get(ENTRIES, params={"limit": 2})
    assert seqs(await auditor.get(first.json()["_links"]["next"]["href"])) == [1]


async def test_an_entry_says_who_what_on_what_when_and_from_where(
    auditor: httpx.AsyncClient, chain: MemoryPlatform
) -> None:
    entry = (await auditor.get(f"{ENTRIES}/1")).json()
    assert (entry["id"], entry["subject"], entry["roles"], entry["targetId"]) == ("e-0", "ann", ["admin"], "CP-1")
    assert (entry["at"], entry["address"], entry["status"]) == ("2026-05-04T12:00:00Z", "192.0.2.7", 202)
    assert entry["hash"] == chain.audit.links[0].hash.hex()
    assert (await auditor.get(f"{ENTRIES}/4")).status_code == 404


async def test_the_export_is_the_one_of_the_command(auditor: httpx.AsyncClient, chain: MemoryPlatform) -> None:
    answer = await auditor.get(f"{ENTRIES}.jsonl", params={"from": "2026-05-04T13:00:00Z"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/jsonl"
    assert [(line["seq"], line["entry"]["subject"]) for line in lines] == [(2, "ann"), (3, "bob")]


async def test_an_export_of_nothing_is_empty(auditor: httpx.AsyncClient) -> None:
    answer = await auditor.get(f"{ENTRIES}.jsonl")
    assert (answer.status_code, answer.text) == (200, "")


async def test_the_head_is_an_anchor_to_keep(auditor: httpx.AsyncClient, chain: MemoryPlatform) -> None:
    head = (await auditor.get(f"{ENTRIES}/head")).json()
    assert Head.parse(head["anchor"]) == chain.audit.newest
    assert head["log"]["ok"] is True
    chain.audit.newest = None
    assert (await auditor.get(f"{ENTRIES}/head")).json()["anchor"] is None


async def test_a_whole_chain_has_no_findings(auditor: httpx.AsyncClient, chain: MemoryPlatform) -> None:
    found = (await auditor.get(f"{ENTRIES}/verification")).json()
    assert (found["checked"], found["complete"], found["findings"]) == (3, True, [])
    assert (found["after"], found["until"]) == (str(EMPTY), str(chain.audit.newest))


async def test_a_changed_entry_is_found(auditor: httpx.AsyncClient, chain: MemoryPlatform) -> None:
    link = chain.audit.links[1]
    changed = msgspec.structs.replace(link.entry, subject="eve")
    chain.audit.links[1] = msgspec.structs.replace(link, entry=changed)
    (finding,) = (await auditor.get(f"{ENTRIES}/verification")).json()["findings"]
    assert (finding["seq"], finding["kind"]) == (2, "changed")


async def test_a_chain_that_was_made_anew_does_not_follow_the_anchor_that_was_kept(
    auditor: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    await fill(platform, "ann", "ann")
    kept = str(platform.audit.newest)
    platform.audit.links, platform.audit.newest = [], EMPTY
    await fill(platform, "eve", "ann")
    assert (await auditor.get(f"{ENTRIES}/verification", params={"after": kept})).json()["findings"]
    await fill(platform, "ann")
    assert (await auditor.get(f"{ENTRIES}/verification", params={"after": kept})).json()["findings"]
    assert (await auditor.get(f"{ENTRIES}/verification")).json()["findings"] == [], "alone it looks whole"


async def test_a_long_chain_is_checked_stretch_by_stretch(auditor: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await fill(platform, *["ann"] * (5 * PAGE + 3))
    first = (await auditor.get(f"{ENTRIES}/verification")).json()
    assert (first["checked"], first["complete"], first["findings"]) == (5 * PAGE, False, [])
    second = (await auditor.get(first["_links"]["next"]["href"])).json()
    assert (second["checked"], second["complete"], second["findings"]) == (3, True, [])
    assert "next" not in second["_links"]


@pytest.mark.parametrize("after", ["x", "1:ab", "0:" + "11" * 32, "1:" + "zz" * 32])
async def test_what_is_no_anchor_is_refused(auditor: httpx.AsyncClient, after: str) -> None:
    assert (await auditor.get(f"{ENTRIES}/verification", params={"after": after})).status_code == 422
