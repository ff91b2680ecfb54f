"""Errors as problem documents (RFC 9457)."""

import logging
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from cluster.services import Answered, ApiServices
from serve.admin import application as admin_application
from serve.app import application as app_application
from serve.front import application as front_application
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


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000], ids=["cut off", "no UTF-8", "deep", "a huge number"]
)
async def test_a_body_that_is_no_json(admin: httpx.AsyncClient, content: bytes) -> None:
    answer = await admin.post(COMMANDS, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:cloudbay:problem:invalid-request"


async def test_where_a_body_ceases_to_be_json_is_told(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(COMMANDS, content=b'{"action": Reset}', headers={"Content-Type": "application/json"})
    assert answer.json()["detail"] == "body: it cannot be read as JSON: Expecting value at character 11"
    missing = await admin.post(COMMANDS, headers={"Content-Type": "application/json"})
    assert missing.json()["detail"] == "body: a JSON body is needed"


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        ({"kind": "application"}, "application.id: Field required"),
        ({"id": "x"}, "kind: Field required"),
        ({"kind": "s3cret"}, "kind: Input should be 'application' or 'machine'"),
    ],
)
async def test_a_body_of_two_kinds_is_held_against_the_one_it_names(
    admin: httpx.AsyncClient, sent: dict[str, str], detail: str
) -> None:
    """And no name of the platform's own code is told, nor the value again."""
    told = (await admin.post("/admin/v1/clients", json=sent)).json()
    assert told["detail"].startswith(detail)
    assert not any(word in str(told) for word in ("Asked", "s3cret", "machine."))


async def test_what_is_wrong_with_a_moment_is_said_in_our_words(admin: httpx.AsyncClient) -> None:
    told = (await admin.get("/admin/v1/transactions", params={"to": "yesterday"})).json()
    assert told["detail"] == "to: a date and time with its offset is expected, like 2026-05-04T12:00:00Z"


@pytest.mark.parametrize("path", ["/nowhere", "/admin/v1/station", "/app/v1/stations/CP-1/people"])
async def test_who_guesses_an_address_is_told_where_to_begin(admin: httpx.AsyncClient, path: str) -> None:
    told = (await admin.get(path)).json()
    assert "begin at /admin/v1/ or /app/v1/" in told["detail"]


async def test_a_refusal_names_the_roles_that_may(auditor: httpx.AsyncClient) -> None:
    told = (await auditor.post("/admin/v1/stations/CP-1/claim-code")).json()
    assert told["detail"] == "none of your roles allows it; admin or production does"


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/jsonx", None])
async def test_a_body_that_does_not_say_it_is_json(admin: httpx.AsyncClient, content_type: str | None) -> None:
    """RFC 9110 section 15.5.16."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await admin.post(COMMANDS, content=b'{"action": "Reset"}', headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:cloudbay:problem:wrong-media-type")
    spelled = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await admin.post(COMMANDS, content=b'{"action": "Reset"}', headers=spelled)).status_code == 202
    assert (await admin.post("/admin/v1/restart", headers=headers)).status_code == 202, "nothing that could be wrong"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/admin/v1/stations", "GET, POST"),
        ("/admin/v1/stations/CP-1/configuration", "GET, PATCH"),
        ("/admin/v1/placements/site/A", "DELETE, PUT"),
        ("/healthz", "GET"),
    ],
)
async def test_what_may_be_done_instead_is_told(admin: httpx.AsyncClient, path: str, methods: str) -> None:
    """RFC 9110 section 15.5.6: all methods, not only those of the first route."""
    answer = await admin.request("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


async def test_a_moment_is_no_number(admin: httpx.AsyncClient) -> None:
    """RFC 3339: some parsers take `0.5` for half a second after midnight of 1970."""
    for moment in ("0.5", "1700000000", "2026-05-04", "2026-05-04T12:00:00"):
        assert (await admin.get("/admin/v1/transactions", params={"to": moment})).status_code == 422
        answer = await admin.post("/admin/v1/tokens", json={"idToken": "AA", "validUntil": moment})
        assert answer.status_code == 422
    assert (await admin.get("/admin/v1/transactions", params={"to": "2026-05-04T12:00:00+02:00"})).status_code == 200


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


async def test_an_id_that_ray_serve_has_given_is_the_only_one(admin: httpx.AsyncClient) -> None:
    """It answers with it itself: ours beside it would be a second one."""
    given = "8e03978e-40d5-43dd-bc93-6894a57f9324"
    answer = await admin.get("/admin/v1/stations/CP-9", headers={"X-Request-Id": given})
    assert (answer.json()["requestId"], "x-request-id" in answer.headers) == (given, False)


@pytest.mark.parametrize("said", ["", "1", "8e03978e-40d5-43dd-bc93-6894a57f9324\t", "x" * 36])
async def test_what_is_no_id_is_not_taken_for_one(admin: httpx.AsyncClient, said: str) -> None:
    answer = await admin.get("/admin/v1/stations/CP-9", headers={"X-Request-Id": said})
    assert answer.json()["requestId"] == answer.headers["x-request-id"] != said


@pytest.mark.parametrize("build", [admin_application.build, app_application.build, front_application.build])
async def test_every_application_starts_as_servers_start_one(
    platform: MemoryPlatform, build: Callable[[ApiServices], FastAPI]
) -> None:
    """ASGI's lifespan protocol."""
    told: list[str] = []
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(events)

    async def send(message: Message) -> None:
        told.append(message["type"])

    await build(platform.services_of_tests())({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_what_was_answered_is_counted(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    for action in ("Reset", "Explode"):
        await admin.post(COMMANDS, json={"action": action})
    await admin.get("/admin/v1/stations/CP-9")
    assert platform.answered == Answered(answers=3, failures=1, under_way=0)
