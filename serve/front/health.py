"""How the platform is: for load balancers (`healthz`), deployments (`readyz`) and Prometheus (`metrics`).

`healthz` and `readyz` need no token. `metrics` needs one even from here: behind a proxy every caller looks local.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.errors import CloudBayError
from cluster.partitions import PartitionMap
from cluster.services import FleetStats
from cluster.store.views import FleetCounts, Ownership
from cluster.webhooks.model import Backlog
from serve.context import caller
from serve.services import Services
from serve.wire import Wire

T = TypeVar("T")

router = APIRouter(tags=["health"])

_CHECK_TIMEOUT_S = 5.0


class ReadyOut(Wire):
    """Whether the platform can serve, part by part: `ok`, or what is wrong."""

    ready: bool
    parts: dict[str, str]


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that this API process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=ReadyOut, responses={503: {"model": ReadyOut}})
async def readyz(services: Services, response: Response) -> ReadyOut:
    """Tell whether database, Redis and as many hosts and gateways as wanted answer; 503 when one does not."""
    database, redis, stats, owned = await asyncio.gather(
        _outcome(services.queries.counts()),
        _outcome(services.ping_redis()),
        _outcome(services.stats()),
        _outcome(services.hosts.ownership()),
    )
    settings = services.settings
    parts = {
        "database": database if isinstance(database, str) else "ok",
        "redis": redis if isinstance(redis, str) else "ok",
        "hosts": _hosts(stats, owned),
        "partitions": owned if isinstance(owned, str) else _all_owned(owned.map),
        "gateways": stats if isinstance(stats, str) else _all_answer(len(stats.gateways), settings.gateway.count),
    }
    ready = all(state == "ok" for state in parts.values())
    if not ready:
        response.status_code = 503
    return ReadyOut(ready=ready, parts=parts)


@router.get("/metrics", dependencies=[Depends(caller)], response_class=Response)
async def metrics(request: Request, services: Services) -> Response:
    """Return hosts, gateways, fleet, webhooks, API processes and this one's requests in Prometheus' text format.

    What does not answer now is left out, and `cloudbay_part_ok` says so.
    """
    found = _Found(
        *await asyncio.gather(
            _outcome(services.queries.counts()),
            _outcome(services.deliveries.backlog()),
            _outcome(services.stats()),
            _outcome(services.vitals()),
        )
    )
    platform = CollectorRegistry()
    platform.register(_Platform(found))
    own: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(own) + generate_latest(platform), media_type=CONTENT_TYPE_LATEST)


class _Found(NamedTuple):
    """What the parts of the platform have answered, or what is wrong with them."""

    database: FleetCounts | str
    webhooks: Backlog | str
    fleet: FleetStats | str
    redis: Mapping[str, Mapping[str, float]] | str


class _Platform(Collector):
    """The platform as gauges; counters of its processes too, because they begin anew with each life."""

    def __init__(self, found: _Found) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Return all gauges."""
        parts = GaugeMetricFamily("cloudbay_part_ok", "1 while this part of the platform answers", labels=["part"])
        for part, answer in self._found._asdict().items():
            parts.add_metric([part], not isinstance(answer, str))
        yield parts
        for totals in (self._found.database, self._found.webhooks):
            if not isinstance(totals, str):
                yield from _totals(msgspec.structs.asdict(totals))
        if not isinstance(self._found.fleet, str):
            yield from _gauges("host", self._found.fleet.hosts, "host_")
            yield from _gauges("gateway", self._found.fleet.gateways, "gateway_")
        if not isinstance(self._found.redis, str):
            yield from _gauges("process", self._found.redis)


def _totals(numbers: Mapping[str, int]) -> Iterable[Metric]:
    for name, number in numbers.items():
        yield GaugeMetricFamily(f"cloudbay_{name}", name.replace("_", " "), number)


def _gauges(kind: str, members: Mapping[str, Mapping[str, object]], prefix: str = "") -> Iterable[Metric]:
    for name in sorted({name for member in members.values() for name in member}):
        gauge = GaugeMetricFamily(f"cloudbay_{prefix}{name}", f"{name.replace('_', ' ')} of a {kind}", labels=[kind])
        numbers = {key: member[name] for key, member in members.items() if isinstance(member.get(name), int | float)}
        for key, number in numbers.items():
            gauge.add_metric([key], _number(number))
        if numbers:
            yield gauge


async def _outcome(part: Awaitable[T]) -> T | str:
    """Return what a part answers, or what is wrong with it."""
    try:
        return await asyncio.wait_for(part, _CHECK_TIMEOUT_S)
    except TimeoutError:
        return f"no answer within {_CHECK_TIMEOUT_S:.0f} s"
    except CloudBayError as error:
        return str(error)


def _hosts(stats: FleetStats | str, owned: Ownership | str) -> str:
    if isinstance(stats, str):
        return stats
    if isinstance(owned, str):
        return owned
    dedicated = sum(member.own_partition is not None for member in owned.members)
    return _all_answer(len(stats.hosts), owned.wanted + dedicated)


def _all_answer(answering: int, expected: int) -> str:
    return "ok" if answering >= expected else f"{answering} of {expected} answer"


def _all_owned(partitions: PartitionMap) -> str:
    return "ok" if not partitions.free else f"{partitions.free} of {partitions.total} have no host"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
