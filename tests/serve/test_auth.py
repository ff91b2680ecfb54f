"""Tokens: whose are taken."""

import httpx
import pytest

from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_load_balancers_need_no_token(anonymous: httpx.AsyncClient, path: str) -> None:
    assert (await anonymous.get(path)).status_code == 200


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
    assert (await anonymous.get("/admin/v1/stations", headers=headers)).status_code == 401


async def test_metrics_need_a_token_even_from_here(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/metrics")).status_code == 401
    assert (await anonymous.get("/metrics", headers=bearer("auditor"))).status_code == 200


async def test_a_command_says_who_asked_for_it(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    answer = await admin.post("/admin/v1/stations/CP-1/commands", json={"action": "Reset"})
    assert answer.json()["requestedBy"] == "ann"
