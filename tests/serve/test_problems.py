"""Errors as problem documents (RFC 9457)."""

import logging

import httpx
import pytest

from tests.serve.fakes import MemoryPlatform

COMMANDS = "/admin/v1/stations/CP-1/commands"


async def test_a_problem_of_ours(auditor: httpx.AsyncClient) -> None:
    answer = await auditor.get("/admin/v1/stations/nobody")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:cloudbay:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "there is no station nobody",
        "requestId": answer.headers["x-request-id"],
    }


async def test_every_wrong_field_is_named(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(COMMANDS, json={"payload": [], "deadlineS": -1, "colour": "red"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {e["field"] for e in answer.json()["errors"]} == {"action", "payload", "deadlineS", "colour"}
    assert all(e["in"] == "body" for e in answer.json()["errors"])
    assert "deadlineS" in answer.json()["detail"]


async def test_a_body_that_is_no_json(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(COMMANDS, content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/admin/v1/stations", 405)])
async def test_what_the_router_refuses(admin: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await admin.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_the_core_refuses(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(COMMANDS, json={"action": "Nonsense"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "Nonsense is no command")


async def test_a_part_that_is_away_may_be_asked_again(auditor: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.down.add("database")
    answer = await auditor.get("/admin/v1/stations")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_an_unexpected_error_tells_nothing_but_its_id(
    admin: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await admin.post(COMMANDS, json={"action": "Explode"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
    request_id = answer.json()["requestId"]
    assert answer.headers["x-request-id"] == request_id
    assert [getattr(record, "request_id", None) for record in caplog.records] == [request_id]
