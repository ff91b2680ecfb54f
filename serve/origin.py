"""Where a request came from."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request


def address_of(request: Request) -> str:
    """Return the address of who calls; behind a proxy on this machine, the one that the proxy has seen."""
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    if forwarded and _is_loopback(peer):
        return forwarded[-1].rpartition(",")[2].strip()
    return peer


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
