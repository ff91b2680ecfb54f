"""Where a request came from."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

_KEPT_BITS: Final[Mapping[int, int]] = {4: 24, 6: 48}


def address_of(request: Request) -> str:
    """Return the address of who calls; behind a proxy on this machine, the one that the proxy has seen."""
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    if forwarded and _is_loopback(peer):
        return forwarded[-1].rpartition(",")[2].strip()
    return peer


def network_of(address: str) -> str | None:
    """Return the network that an address is in, too large to know a person by; None for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(ipaddress.ip_network((found.packed, _KEPT_BITS[found.version]), strict=False))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
