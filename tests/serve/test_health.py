"""How the platform says it is."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serve.fakes import MemoryPlatform


async def test_ready_when_every_part_answers(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/readyz")
    parts = {"database": "ok", "redis": "ok", "hosts": "ok", "partitions": "ok", "gateways": "ok"}
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "parts": parts})


async def test_not_ready_while_hosts_are_missing(anonymous: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.wanted = 2
    answer = await anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["hosts"]) == (503, "1 of 2 answer")


async def test_not_ready_while_partitions_have_no_host(anonymous: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    del platform.owners[7]
    answer = await anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["partitions"]) == (503, "1 of 4096 have no host")


@pytest.mark.parametrize(
    ("down", "part", "said"),
    [
        ("database", "database", "the database does not answer"),
        ("redis", "redis", "the redis does not answer"),
        ("hosts", "hosts", "0 of 1 answer"),
        ("fleet", "gateways", "the fleet does not answer"),
    ],
)
async def test_not_ready_says_what_is_missing(
    anonymous: httpx.AsyncClient, platform: MemoryPlatform, down: str, part: str, said: str
) -> None:
    platform.down.add(down)
    answer = await anonymous.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"][part] == said
    assert (await anonymous.get("/healthz")).status_code == 200


async def test_metrics_for_prometheus(auditor: httpx.AsyncClient) -> None:
    await auditor.get("/docs/relations/nothing")
    answer = await auditor.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }
    assert samples[("cloudbay_connected",)] == 1
    assert samples[("cloudbay_host_turns", ("host", "host-0"))] == 9
    assert samples[("cloudbay_gateway_connected", ("gateway", "gateway-a"))] == 2
    route = (("method", "GET"), ("route", "/docs/relations/{name}"), ("status", "404"))
    assert samples[("cloudbay_api_requests_total", *route)] == 1
