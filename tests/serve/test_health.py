"""How the platform says it is."""

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.webhooks.model import Delivery, Filter, Subscription
from tests.cluster.bus.facts import NOON, fact
from tests.serve.fakes import MemoryPlatform
from tests.twins.webhooks import MemorySubscriptions


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


async def shown(auditor: httpx.AsyncClient) -> dict[tuple[object, ...], float]:
    """Return what Prometheus reads."""
    answer = await auditor.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }


async def test_metrics_for_prometheus(auditor: httpx.AsyncClient) -> None:
    await auditor.get("/docs/relations/nothing")
    samples = await shown(auditor)
    assert samples[("cloudbay_connected",)] == 1
    assert samples[("cloudbay_host_turns", ("host", "host-0"))] == 9
    assert samples[("cloudbay_gateway_connected", ("gateway", "gateway-a"))] == 2
    route = (("method", "GET"), ("route", "/docs/relations/{name}"), ("status", "404"))
    assert samples[("cloudbay_api_requests_total", *route)] == 1


async def test_metrics_tell_of_webhooks_that_are_not_delivered(
    auditor: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    hooks = MemorySubscriptions(platform.hooks)
    made = Subscription("well", "ann", True, "https://a.example/", Filter(), NOON, NOON)
    for one in (made, msgspec.structs.replace(made, id="ill", state="paused")):
        await hooks.add(one, b"", 9)
    waiting = Delivery("1", "well", fact(), NOON)
    for delivery in (
        waiting,
        msgspec.structs.replace(waiting, id="2", attempts=3),
        msgspec.structs.replace(waiting, id="3", state="dead"),
        msgspec.structs.replace(waiting, id="4", state="delivered"),
    ):
        platform.hooks.deliveries[delivery.id] = delivery
    samples = await shown(auditor)
    assert samples[("cloudbay_webhook_deliveries_waiting",)] == 2
    assert samples[("cloudbay_webhook_deliveries_retried",)] == 1
    assert samples[("cloudbay_webhook_deliveries_dead",)] == 1
    assert samples[("cloudbay_webhook_subscriptions_paused",)] == 1


async def test_metrics_tell_of_every_process_of_the_api_how_it_is(
    auditor: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    """Each application has processes of its own, and only one of them answers."""
    await platform.vitals.tell("here:7", {"live_listeners": 12, "audit_ok": 1})
    await platform.vitals.tell("there:8", {"live_listeners": 0, "audit_ok": 0})
    samples = await shown(auditor)
    assert samples[("cloudbay_live_listeners", ("process", "here:7"))] == 12
    assert samples[("cloudbay_audit_ok", ("process", "there:8"))] == 0


@pytest.mark.parametrize(
    ("down", "left_out", "there"),
    [
        ("database", "cloudbay_stations", "cloudbay_live_listeners"),
        ("redis", "cloudbay_live_listeners", "cloudbay_stations"),
        ("fleet", "cloudbay_host_turns", "cloudbay_webhook_deliveries_waiting"),
    ],
)
async def test_metrics_show_what_answers_while_a_part_does_not(
    auditor: httpx.AsyncClient, platform: MemoryPlatform, down: str, left_out: str, there: str
) -> None:
    await platform.vitals.tell("here:7", {"live_listeners": 12})
    platform.down.add(down)
    platform.vitals.down = down == "redis"
    samples = await shown(auditor)
    names = {name for name, *_ in samples}
    assert left_out not in names
    assert there in names
    assert samples[("cloudbay_part_ok", ("part", down))] == 0
