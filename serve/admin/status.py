"""The platform in numbers, for people."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request
from pydantic.alias_generators import to_camel

from cluster.services import ApiServices, FleetStats
from cluster.store.views import FleetCounts
from serve.admin.wire import StatusOut
from serve.context import Asking
from serve.route import operations

router = operations("/status", "platform")

_FIRST_RATE_OVER_S = 0.5


class MessageRate:
    """Frames a second between two looks."""

    def __init__(self) -> None:
        self._last: FleetStats | None = None

    async def per_second(self, services: ApiServices, stats: FleetStats) -> float:
        """Return the rate since the last look; the first one takes half a second."""
        if self._last is None:
            self._last = stats
            await asyncio.sleep(_FIRST_RATE_OVER_S)
            stats = await services.stats()
        before, self._last = self._last, stats
        return max(0.0, _frames_in(stats) - _frames_in(before)) / max(stats.at_s - before.at_s, 1e-3)


def _rate(request: Request) -> MessageRate:
    rate: MessageRate = request.app.state.message_rate
    return rate


@router.get("", response_model=StatusOut)
async def status(asking: Asking, rate: Annotated[MessageRate, Depends(_rate)]) -> dict[str, object]:
    """Return the platform in numbers."""
    services = asking.services
    counts, stats = await asyncio.gather(services.queries.counts(), services.stats())
    return {
        **{name: getattr(counts, name) for name in FleetCounts.__struct_fields__},
        "messages_per_s": await rate.per_second(services, stats),
        "hosts": _camel(stats.hosts),
        "gateways": _camel(stats.gateways),
        "links": {"self": asking.here, "curies": asking.curies},
        "templates": {},
    }


def _frames_in(stats: FleetStats) -> float:
    found = [gateway.get("frames_in") for gateway in stats.gateways.values()]
    return sum(count for count in found if isinstance(count, int | float))


def _camel(members: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    return {name: {to_camel(key): value for key, value in member.items()} for name, member in members.items()}
