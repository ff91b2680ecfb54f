"""Who may call what."""

import httpx
import pytest

from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform

READS = [
    "/metrics", "/api/v1/status", "/api/v1/stations", "/api/v1/stations/CP-1", "/api/v1/stations/CP-1/commands",
    "/api/v1/stations/CP-1/commands/x", "/api/v1/stations/CP-1/variables", "/api/v1/stations/CP-1/notices",
    "/api/v1/transactions", "/api/v1/transactions/x", "/api/v1/transactions/x/meter-values", "/api/v1/tokens",
]  # fmt: skip
ADMIN_ONLY = [
    ("POST", "/api/v1/stations"), ("PATCH", "/api/v1/stations/CP-1"), ("POST", "/api/v1/stations/CP-1/password"),
    ("POST", "/api/v1/stations/CP-1/commands"), ("DELETE", "/api/v1/stations/CP-1/commands/x"),
    ("GET", "/api/v1/stations/CP-1/log"), ("GET", "/api/v1/stations/CP-1/log.jsonl"),
    ("POST", "/api/v1/tokens"), ("DELETE", "/api/v1/tokens/AA"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), [*(("GET", path) for path in READS), *ADMIN_ONLY])
async def test_nothing_is_told_or_done_without_a_token(anonymous: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await anonymous.request(method, path, json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:cloudbay:problem:bad-token"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_load_balancers_need_no_token(anonymous: httpx.AsyncClient, path: str) -> None:
    assert (await anonymous.get(path)).status_code == 200


@pytest.mark.parametrize(("method", "path"), ADMIN_ONLY)
async def test_a_viewer_changes_nothing_and_sees_no_frames(viewer: httpx.AsyncClient, method: str, path: str) -> None:
    body = {"stationId": "N", "action": "Reset", "idToken": "AA"}
    answer = await viewer.request(method, path, json=body)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:cloudbay:problem:not-allowed"
    assert "admin" in answer.json()["detail"]


@pytest.mark.parametrize("path", [path for path in READS if not path.endswith(("/x", "/x/meter-values"))])
async def test_a_viewer_reads(viewer: httpx.AsyncClient, path: str) -> None:
    assert (await viewer.get(path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        bearer("admin", life_s=-60),
        bearer("admin", key=b"x" * 32),
        bearer("root"),  # type: ignore[arg-type]
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YTpi"},
    ],
    ids=["expired", "other key", "unknown role", "no token", "other scheme"],
)
async def test_a_token_that_is_not_ours_is_refused(anonymous: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await anonymous.get("/api/v1/stations", headers=headers)).status_code == 401


async def test_a_command_says_who_asked_for_it(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    answer = await admin.post("/api/v1/stations/CP-1/commands", json={"action": "Reset"})
    assert answer.json()["requestedBy"] == "ann"
