"""The hosts: how many there should be, and which partitions of the fleet each holds."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends

from cluster.services import ApiServices
from serve.auth import admin, viewer
from serve.services import Services
from serve.wire import HostsAsked, HostsOut

router = APIRouter(prefix="/api/v1/hosts", tags=["hosts"], dependencies=[Depends(viewer)])


@router.get("", response_model=HostsOut)
async def list_hosts(services: Services) -> dict[str, object]:
    """List the hosts and what they hold; `free` partitions are between two owners."""
    return await _shown(services)


@router.put("", response_model=HostsOut, status_code=202, dependencies=[Depends(admin)])
async def scale_hosts(asked: HostsAsked, services: Services) -> dict[str, object]:
    """Ask for another number of hosts. They come, or hand over and go, within seconds; no socket is closed."""
    await services.hosts.want_hosts(asked.count)
    return await _shown(services)


async def _shown(services: ApiServices) -> dict[str, object]:
    ownership = await services.hosts.ownership()
    return {
        "wanted": ownership.wanted,
        "partitions": ownership.map.total,
        "free": ownership.map.free,
        "hosts": [
            {**share._asdict(), "partitions": len(share.partitions), "ranges": ranges(share.partitions)}
            for share in ownership.shares()
        ],
    }


def ranges(numbers: Sequence[int]) -> str:
    """Write sorted numbers as ranges: `0-2047, 4000`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
