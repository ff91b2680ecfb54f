"""The hosts: how many there should be, and which partitions of the fleet each holds."""

from __future__ import annotations

from collections.abc import Sequence

from serve.admin.wire import HostsAsked, HostsOut
from serve.context import Asking, Context
from serve.hal import present
from serve.route import operations

router = operations("/hosts", "platform")


@router.get("", response_model=HostsOut)
async def list_hosts(asking: Asking) -> dict[str, object]:
    """List the hosts and what they hold; `free` partitions are between two owners."""
    return await _shown(asking)


@router.put("", response_model=HostsOut, status_code=202)
async def scale_hosts(asked: HostsAsked, asking: Asking) -> dict[str, object]:
    """Ask for another number of hosts. They come, or hand over and go, within seconds; no socket is closed."""
    await asking.services.hosts.want_hosts(asked.count)
    return await _shown(asking)


async def _shown(asking: Context) -> dict[str, object]:
    ownership = await asking.services.hosts.ownership()
    return {
        "wanted": ownership.wanted,
        "partitions": ownership.map.total,
        "free": ownership.map.free,
        "hosts": [
            {**share._asdict(), "partitions": len(share.partitions), "ranges": ranges(share.partitions)}
            for share in ownership.shares()
        ],
        "links": {"self": asking.here, "curies": asking.curies},
        "templates": present({"scale": asking.form("PUT /hosts", "Run another number of hosts", body=HostsAsked)}),
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
