"""Whatever goes wrong, no answer tells of the inside, and neither answers nor logs tell a secret.

Every operation is led down each of its error paths: bad tokens, ids and bodies, parts that are away, and errors that
nobody expects, whose own words are as telling as can be.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import re
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import httpx
import pytest
from sqlalchemy.exc import ProgrammingError

from actors.errors import Unavailable
from cluster.logs import JsonLines, Readable
from cluster.services import ApiServices
from configs.settings import Settings
from serve.access import ADMIN
from serve.admin import application
from tests.serve.conftest import bearer, furnished_platform
from tests.serve.fakes import PASSWORD_KEY, TOKEN_KEY

SECRETS_OF_SETTINGS: Final = {
    "database.url": "postgresql://cloudbay:planted-database-secret@db.internal.example:5432/cloudbay",
    "redis.url": "redis://:planted-redis-secret@redis.internal.example:6379/0",
}
CARD: Final = "PLANTEDCARD0042"
KEY: Final = "planted-idempotency-key"
TELLING: Final = (
    "SELECT password_digest FROM stations WHERE station_id = 'CP-1' -- /srv/cloudbay/cluster/store/queries.py"
)

INSIDE: Final = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|0x[0-9a-f]{6,}|<[\w.]+ object"
    r"|\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b"
    r"|\b(sqlalchemy|asyncpg|psycopg|starlette|fastapi|pydantic|msgspec|uvicorn|redis\.exceptions|ray\.\w+)\b"
    r"|\b(actors|cluster|serve|configs)\.[a-z_]+|\b[A-Z]\w+(Error|Exception)\b",
)
BODIES: Final[dict[str, dict[str, Any]]] = {
    "POST /stations": {"stationId": "CP-9", "password": True},
    "POST /stations/{station_id}/commands": {"action": "Reset", "payload": {"idToken": CARD}},
    "POST /tokens": {"idToken": CARD},
    "PUT /hosts": {"count": 2},
    "PATCH /stations/{station_id}/configuration": {"siteId": "DEPOT"},
    "POST /people": {"login": "ann"},
    "PATCH /people/{subject}": {"name": "Ann"},
    "POST /machine-keys": {"name": "Line 2", "scopes": ["hosts:read"], "days": 1},
    "POST /clients": {"kind": "machine", "id": "reports", "name": "Reports", "scopes": ["hosts:read"]},
    "PUT /account/password": {"present": CARD, "new": CARD},
    "POST /approvals": {"kind": "person.erase", "target": CARD, "reason": CARD},
    "POST /approvals/{approval_id}/decision": {"verdict": "approved", "remark": CARD},
    "POST /people/{subject}/erasure": {"approvalId": CARD},
    "POST /webhooks": {"url": f"https://{CARD}.example/{CARD}"},
    "PATCH /webhooks/{webhook_id}": {"url": f"https://{CARD}.example/{CARD}"},
    "POST /webhooks/{webhook_id}/replay": {"since": "2026-05-04T12:00:00Z", "until": "2026-05-05T12:00:00Z"},
}
PARTS: Final = {
    "station_id": "CP-1", "command_id": "x", "transaction_id": "x", "id_token": CARD, "kind": "site", "name": "DEPOT",
    "site_id": "DEPOT", "subject": "x", "session_id": "x", "key_id": "x", "client_id": "x",
    "seq": "1", "approval_id": "x", "webhook_id": "x", "delivery_id": "1",
}  # fmt: skip
numbers = count(1)
"""Of keys: with one that was used before a request would go no further."""
PLACE: Final = re.compile(r"\{\w+\}")
BAD_TOKENS: Final = [
    "", "Bearer", f"Bearer {CARD}", f"Bearer {'a.' * 500}", "Basic cGxhbnRlZA==", "Bearer é".encode(),
]  # fmt: skip
BAD_PARTS: Final = ["%00", "'%22;--", "..%2f..%2fetc%2fpasswd", "x" * 5000, "%F0%9F%9A%97", "{{7*7}}", "%ff"]
BAD_BODIES: Final = [
    b"{", b"\xff\xfe", b"null", b"[]", b'"text"', b"[" * 50_000, b'{"__proto__": {}, "stationId": 1e999}',
    b'{"idToken": "%s", "colour": "\\u0000"}' % CARD.encode(), b'{"action": {"$gt": ""}, "count": 1e400}',
]  # fmt: skip


def secrets() -> Iterator[str]:
    """Yield what may be nowhere, in each spelling."""
    yield from ("planted-database-secret", "planted-redis-secret", CARD, KEY)
    for key in (TOKEN_KEY, PASSWORD_KEY):
        yield from (key.decode(), key.hex(), base64.b64encode(key).decode().rstrip("="))


class Breaking:
    """A part of the platform of which every call fails, whether it is awaited or iterated."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: _Failing(self._error)

    def __call__(self, *_: object, **__: object) -> Any:
        return _Failing(self._error)


class _Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __await__(self) -> Generator[None, None, None]:
        raise self._error
        yield

    def __aiter__(self) -> AsyncIterator[None]:
        return self

    async def __anext__(self) -> None:
        raise self._error


def services() -> ApiServices:
    settings = Settings.load("embedded", env={}, overrides=SECRETS_OF_SETTINGS)
    return furnished_platform().services(settings)


@asynccontextmanager
async def client_of(services: ApiServices) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application.build(services), root_path="")
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


class Scanner:
    """Sends requests and looks at every answer, and in the end at every line of the log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._told = list(secrets())
        self.statuses = set[int]()

    async def send(self, client: httpx.AsyncClient, operation: str, **request: Any) -> None:
        method, _, path = operation.partition(" ")
        token = bearer("admin")
        self._told.append(token["Authorization"].partition(" ")[2])
        headers = token | {"Idempotency-Key": f'"{KEY}-{next(numbers)}"'} | request.pop("headers", {})
        answer = await client.request(method, request.pop("path", path.format(**PARTS)), headers=headers, **request)
        self.statuses.add(answer.status_code)
        said = f"{answer.text}\n{dict(answer.headers)}"
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", said
            assert not INSIDE.search(said), said
            self._no_secret(said)

    def _no_secret(self, said: str) -> None:
        for secret in self._told:
            assert secret not in said, f"{secret} in {said}"

    def read_log(self) -> None:
        for record in self._caplog.records:
            for formatter in (JsonLines(), Readable()):
                self._no_secret(formatter.format(record))
            if record.exc_info is not None:
                assert getattr(record, "request_id", None), "a stack trace that no answer leads to"


@pytest.fixture
def scanner(caplog: pytest.LogCaptureFixture) -> Iterator[Scanner]:
    with caplog.at_level(logging.DEBUG):
        scanner = Scanner(caplog)
        yield scanner
        scanner.read_log()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_what_a_caller_can_do_wrong(scanner: Scanner, method: str) -> None:
    async with client_of(services()) as client:
        for operation in (operation for operation in ADMIN if operation.startswith(f"{method} ")):
            scanner.statuses.clear()
            await lead_astray(scanner, client, operation)
            assert scanner.statuses >= {401, 405, 413}


async def lead_astray(scanner: Scanner, client: httpx.AsyncClient, operation: str) -> None:
    """Ask for an operation in every wrong way."""
    method, _, path = operation.partition(" ")
    for token in BAD_TOKENS:
        await scanner.send(client, operation, headers={"Authorization": token})
    await scanner.send(client, operation, headers=bearer("auditor", key=b"x" * 32))
    for part in BAD_PARTS:
        await scanner.send(client, operation, path=PLACE.sub(part, path))
        await scanner.send(client, operation, params={"cursor": part, "limit": part, "from": part, "sort": part})
    for body in BAD_BODIES if method != "GET" else []:
        await scanner.send(client, operation, content=body, headers={"Content-Type": "application/json"})
        await scanner.send(client, operation, content=body, headers={"Content-Type": "application/xml"})
    await scanner.send(client, operation, headers={"If-Match": f"{CARD}\\", "Prefer": "wait=" + "9" * 400})
    await scanner.send(client, operation, content=b"x" * 300_000)
    await scanner.send(client, f"TRACE {path}")


@pytest.mark.parametrize(
    "part",
    [
        "queries",
        "tokens",
        "chargers",
        "callers",
        "hosts",
        "placements",
        "repeats",
        "stats",
        "identity",
        "audit",
        "approvals",
        "webhooks",
        "deliveries",
        "personal",
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        Unavailable("the database cannot be reached now"),
        RuntimeError(TELLING),
        KeyError(TELLING),
        TimeoutError(TELLING),
        ConnectionRefusedError(111, TELLING),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_can_go_wrong_inside(scanner: Scanner, part: str, error: Exception) -> None:
    async with client_of(without(services(), part, Breaking(error))) as client:
        for operation in ADMIN:
            await scanner.send(client, operation, json=BODIES.get(operation))
    assert scanner.statuses & {500, 503}


def without(services: ApiServices, part: str, breaking: Breaking) -> ApiServices:
    """Return services of which a part fails; of identity, all that operations ask."""
    broken: Any = breaking
    if part == "identity":
        broken = dataclasses.replace(
            services.identity, people=broken, sessions=broken, accounts=broken, machine_keys=broken, clients=broken
        )
    return dataclasses.replace(services, **{part: broken})


def test_the_scanner_sees_what_it_looks_for() -> None:
    failed = ProgrammingError(TELLING, {"id_token": CARD}, Exception("syntax error"))
    for telling in (repr(failed), str(failed), TELLING, "queries.py", "cluster.store.queries", str(object())):
        assert INSIDE.search(telling), telling
    for plain in ("there is no station CP-1", "hosts.max_dedicated is 100", "body: Input should be a valid list"):
        assert not INSIDE.search(plain)
