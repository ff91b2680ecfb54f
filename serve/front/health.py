"""How the platform is: for load balancers (`healthz`), deployments (`readyz`) and Prometheus (`metrics`).

`healthz` and `readyz` need no token. `metrics` needs one even from here: behind a proxy every caller looks local.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import TypeVar

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.errors import CloudBayError
from cluster.partitions import PartitionMap
from cluster.services import FleetStats
from cluster.store.views import FleetCounts, Ownership
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
    """Return hosts, gateways, fleet and this process' requests in Prometheus' text format."""
    counts, stats = await asyncio.gather(services.queries.counts(), services.stats())
    fleet = CollectorRegistry()
    fleet.register(_Fleet(counts, stats))
    own: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(own) + generate_latest(fleet), media_type=CONTENT_TYPE_LATEST)


class _Fleet(Collector):
    """The fleet as gauges; counters of hosts and gateways too, because they begin anew with each life."""

    def __init__(self, counts: FleetCounts, stats: FleetStats) -> None:
        self._counts = counts
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """Return all gauges."""
        for name in self._counts.__struct_fields__:
            yield GaugeMetricFamily(f"cloudbay_{name}", name.replace("_", " "), getattr(self._counts, name))
        yield from _gauges("host", self._stats.hosts)
        yield from _gauges("gateway", self._stats.gateways)


def _gauges(kind: str, members: Mapping[str, Mapping[str, object]]) -> Iterable[Metric]:
    for name in sorted({name for member in members.values() for name in member}):
        gauge = GaugeMetricFamily(f"cloudbay_{kind}_{name}", f"{name.replace('_', ' ')} of a {kind}", labels=[kind])
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
