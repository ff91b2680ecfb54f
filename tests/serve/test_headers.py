"""What every answer says besides its content, and what requests are refused by their size."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Router

from configs.settings import Settings
from configs.sources import SettingsError
from serve import access, application
from serve.admin import application as admin_application
from serve.admin import status, tokens
from serve.headers import Deprecated
from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform

STATIONS = "/admin/v1/stations"
ANSWERS = [
    ("GET", f"{STATIONS}/CP-1", 200), ("GET", f"{STATIONS}/nobody", 404), ("PUT", STATIONS, 405), ("GET", "/x", 404),
    ("POST", STATIONS, 422), ("GET", "/healthz", 200), ("GET", "/docs", 200), ("GET", "/admin/v1/docs", 200),
    ("GET", "/admin/v1/static-offline-docs/swagger-ui.css", 200), ("GET", "/admin/v1/openapi.json", 200),
]  # fmt: skip
Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Router([Mount("/admin/v1", app)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=bearer("admin")) as client:
        yield client


@pytest.fixture
def serving(platform: MemoryPlatform) -> Serving:
    """Serve the admin application with settings of the test's own."""

    def serve(**overrides: object) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        named = {f"api.{key}": value for key, value in overrides.items()}
        settings = Settings.load("embedded", env={}, overrides=named)
        return client_of(admin_application.build(platform.services(settings)))

    return serve


@pytest.mark.parametrize(("method", "path", "status_code"), ANSWERS)
async def test_every_answer_tells_browsers_to_be_careful(
    admin: httpx.AsyncClient, method: str, path: str, status_code: int
) -> None:
    answer = await admin.request(method, path)
    assert answer.status_code == status_code
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "strict-transport-security" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/docs", "/docs/relations", "/admin/v1/docs"])
async def test_a_page_runs_its_own_scripts_and_no_others(admin: httpx.AsyncClient, path: str) -> None:
    page = await admin.get(path)
    allowed = page.headers["content-security-policy"]
    assert "unsafe" not in allowed
    assert not re.search(r"\son\w+=|\sstyle=", page.text), "what no hash allows"
    for kind, inline in re.findall(r"<(script|style)>(.*?)</\1>", page.text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert re.search(rf"{kind}-src [^;]*'sha256-{re.escape(digest)}'", allowed)
    for source in re.findall(r"(?:src|href)=\"([^\"]+\.(?:js|css|png))\"", page.text):
        assert (await admin.get(source)).status_code == 200


@pytest.mark.parametrize("path", [f"{STATIONS}/CP-1/password", STATIONS])
async def test_what_shows_a_secret_is_stored_nowhere(admin: httpx.AsyncClient, path: str) -> None:
    """RFC 9111 section 5.2.2.5."""
    answer = await admin.post(path, json={"stationId": "CP-9", "password": True})
    assert "password" in answer.json()
    assert answer.headers["cache-control"] == "no-store"


async def test_browsers_are_told_of_tls_where_there_is_tls(serving: Serving) -> None:
    """RFC 6797."""
    async with serving(hsts_s=31536000) as client:
        assert (await client.get(STATIONS)).headers["strict-transport-security"] == "max-age=31536000"


async def test_scripts_of_named_sites_may_call(serving: Serving) -> None:
    wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key, authorization"}
    async with serving(cors_origins=["https://portal.example.org"]) as client:
        ours, theirs = {"Origin": "https://portal.example.org"}, {"Origin": "https://evil.example.org"}
        assert (await client.options(STATIONS, headers=ours | wish)).status_code == 200
        assert (await client.options(STATIONS, headers=theirs | wish)).status_code == 400
        answer = await client.get(STATIONS, headers=ours)
        assert answer.headers["access-control-allow-origin"] == "https://portal.example.org"
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in (await client.get(STATIONS, headers=theirs)).headers


@pytest.mark.parametrize("origin", ["*", "portal.example.org", "https://a/b", ""])
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(SettingsError, match="cors_origins"):
        Settings.load("embedded", env={}, overrides={"api.cors_origins": [origin]})


async def test_a_body_that_is_too_large(serving: Serving, platform: MemoryPlatform) -> None:
    """RFC 9110 section 15.5.14; with and without a Content-Length, with and without a token."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    async with serving(max_body_kb=1) as client:
        for content in (b" " * 2000, pieces()):
            answer = await client.post(
                STATIONS, content=content, headers={"Content-Type": "application/json", "Idempotency-Key": '"k"'}
            )
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        nobody = await client.post(STATIONS, content=b" " * 2000, headers={"Authorization": ""})
        assert nobody.status_code == 413
        assert (await client.post(STATIONS, json={"stationId": "CP-9"})).status_code == 201
        bad = await client.post(STATIONS, content=b"{}", headers={"Content-Length": "x"})
        assert bad.status_code == 413
    assert platform.claims.held == {}


async def test_headers_that_are_too_large(serving: Serving) -> None:
    """RFC 6585 section 5."""
    async with serving(max_header_kb=2) as client:
        answer = await client.get(STATIONS, headers={"X-Long": "x" * 3000})
    assert (answer.status_code, answer.json()["type"]) == (431, "urn:cloudbay:problem:request-header-fields-too-large")


async def test_an_operation_that_will_go_says_so(platform: MemoryPlatform) -> None:
    """RFC 9745 sections 2 and 3, RFC 8594 section 3."""
    goes = Deprecated(datetime(2026, 6, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC), "/docs/relations/status")
    planted = {"GET /status": goes, "DELETE /tokens/{id_token}": Deprecated(datetime(2026, 6, 1, tzinfo=UTC))}
    routers = [status.router, tokens.router]
    table = {
        operation: rule for operation, rule in access.ADMIN.items() if "/status" in operation or "/tokens" in operation
    }
    app = application.build(
        platform.services_of_tests(), application.Description("/admin/v1", "X", "", routers, table, planted)
    )
    app.state.message_rate = status.MessageRate()
    async with client_of(app) as client:
        told = (await client.get("/admin/v1/status")).headers
        assert told["deprecation"] == "@1780272000"
        assert told["sunset"] == "Tue, 01 Jun 2027 00:00:00 GMT"
        assert told["link"] == '</docs/relations/status>; rel="deprecation"; type="text/html"'
        refused = await client.delete("/admin/v1/tokens/AA")
        assert (refused.status_code, refused.headers["deprecation"]) == (404, "@1780272000")
        assert "sunset" not in refused.headers
        assert "deprecation" not in (await client.get("/admin/v1/tokens")).headers
    with pytest.raises(ValueError, match="deprecated, and not there"):
        application.assembled(application.Description("/", "X", "", routers, table, {"GET /nothing": goes}))
