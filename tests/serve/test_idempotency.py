"""Repeated requests over HTTP (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from actors.errors import BadRequest, Unavailable
from serve.idempotency import parsed
from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform

STATIONS = "/admin/v1/stations"
COMMANDS = f"{STATIONS}/CP-1/commands"
RESET = {"action": "Reset", "payload": {"type": "Immediate"}}
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


async def test_a_repeated_command_is_given_once_and_answered_alike(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    first = await admin.post(COMMANDS, json=RESET, headers=KEY)
    again = await admin.post(COMMANDS, json=RESET, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(platform.queue) == 1
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_without_a_key_a_repeat_is_another_request(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await admin.post(COMMANDS, json=RESET)
    await admin.post(COMMANDS, json=RESET)
    assert len(platform.queue) == 2


async def test_a_password_that_was_shown_once_is_shown_again_to_who_repeats(admin: httpx.AsyncClient) -> None:
    asked = {"stationId": "CP-9", "password": True}
    first = await admin.post(STATIONS, json=asked, headers=KEY)
    assert first.status_code == 201
    assert (await admin.post(STATIONS, json=asked, headers=KEY)).json() == first.json()


@pytest.mark.parametrize(
    ("path", "body"),
    [(COMMANDS, {**RESET, "deadlineS": 5}), (f"{STATIONS}/CP-3/commands", RESET), (f"{COMMANDS}?x=1", RESET)],
    ids=["other body", "other station", "other query"],
)
async def test_a_key_is_for_one_request(admin: httpx.AsyncClient, path: str, body: object) -> None:
    await admin.post(COMMANDS, json=RESET, headers=KEY)
    other = await admin.post(path, json=body, headers=KEY)
    assert (other.status_code, other.json()["type"]) == (422, "urn:cloudbay:problem:key-reused")


async def test_somebody_elses_key_is_another_key(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await admin.post(COMMANDS, json=RESET, headers=KEY)
    other = await admin.post(COMMANDS, json=RESET, headers=KEY | bearer("admin", subject="bob"))
    assert "idempotency-replayed" not in other.headers
    assert len(platform.queue) == 2


async def test_a_repeat_while_the_first_is_under_way_is_told_to_wait(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await go_on.wait()

    platform.before_submit = hold
    first = asyncio.create_task(admin.post(COMMANDS, json=RESET, headers=KEY))
    await begun.wait()
    meanwhile = await admin.post(COMMANDS, json=RESET, headers=KEY)
    assert (meanwhile.status_code, meanwhile.json()["type"]) == (409, "urn:cloudbay:problem:under-way")
    assert int(meanwhile.headers["retry-after"]) > 0
    go_on.set()
    assert (await first).status_code == 202
    assert (await admin.post(COMMANDS, json=RESET, headers=KEY)).status_code == 202
    assert len(platform.queue) == 1


async def test_a_crash_between_doing_and_keeping_does_not_do_it_twice(
    admin: httpx.AsyncClient, platform: MemoryPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after the command was given: nothing is kept, nothing is given back."""

    async def lost(*_: object) -> None:
        """Do nothing, as the dead."""

    with monkeypatch.context() as crash:
        crash.setattr(platform.claims, "keep", lost)
        first = await admin.post(COMMANDS, json=RESET, headers=KEY)
    assert (await admin.post(COMMANDS, json=RESET, headers=KEY)).status_code == 409
    platform.now += timedelta(seconds=61)
    again = await admin.post(COMMANDS, json=RESET, headers=KEY)
    assert again.json()["id"] == first.json()["id"]
    assert platform.submitted == [(first.json()["id"], False), (first.json()["id"], True)]


async def test_an_answer_that_asks_for_patience_is_not_kept(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    def failing(error: Exception) -> Callable[[], object]:
        async def fail() -> None:
            raise error

        return fail

    for error, status in [(Unavailable("away"), 503), (RuntimeError("bug"), 500)]:
        platform.before_submit = failing(error)  # type: ignore[assignment]
        assert (await admin.post(COMMANDS, json=RESET, headers=KEY)).status_code == status
    platform.before_submit = failing(BadRequest("this cannot be"))  # type: ignore[assignment]
    refused = await admin.post(COMMANDS, json=RESET, headers=KEY)
    assert refused.status_code == 422
    assert (await admin.post(COMMANDS, json=RESET, headers=KEY)).content == refused.content
    assert [again for _, again in platform.submitted] == [False, True, True]
    assert len({command_id for command_id, _ in platform.submitted}) == 1


async def test_a_caller_who_goes_away_may_come_back_at_once(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    platform.before_submit = hang
    first = asyncio.create_task(admin.post(COMMANDS, json=RESET, headers=KEY))
    await begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    platform.before_submit = lambda: asyncio.sleep(0)
    assert (await admin.post(COMMANDS, json=RESET, headers=KEY)).status_code == 202
    assert platform.submitted[0][0] == platform.submitted[1][0]


async def test_who_may_not_do_a_thing_claims_nothing(anonymous: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    assert (await anonymous.post(COMMANDS, json=RESET, headers=KEY | bearer("auditor"))).status_code == 403
    assert (await anonymous.post(COMMANDS, json=RESET, headers=KEY)).status_code == 401
    assert platform.claims.held == {}


async def test_a_restart_that_is_repeated_is_one(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    for _ in range(2):
        answer = await admin.post("/admin/v1/restart", headers=KEY)
        assert (answer.status_code, answer.json()["generation"]) == (202, 1)


@pytest.mark.parametrize(("header", "key"), [('"a b"', "a b"), (r'"a\"b\\c"', r'a"b\c'), ("plain", "plain")])
def test_a_key_is_a_string_of_structured_fields(header: str, key: str) -> None:
    """RFC 9651 section 3.3.3; the quotes may be missing."""
    assert parsed(header) == key


@pytest.mark.parametrize(
    "header", ["", '""', '"a', 'a"b', "two words", '"é"', f'"{"k" * 254}"', r'"a\b"', '"a";b=1', '"a"\t']
)
async def test_what_is_no_key(admin: httpx.AsyncClient, platform: MemoryPlatform, header: str) -> None:
    answer = await admin.post(COMMANDS, json=RESET, headers={b"Idempotency-Key": header.encode()})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert platform.queue == {}
