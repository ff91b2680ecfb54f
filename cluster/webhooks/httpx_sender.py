"""Sends requests to endpoints with httpx, and only to addresses that the rules permit.

A name is resolved once for a claim, every address it has is checked, and the connection goes to a checked address, so a
name that resolves otherwise a moment later (DNS rebinding) gains nothing. No redirect is followed and no proxy of the
environment used. An answer is its status: of the body only so much is read as lets a connection be used again.
Must not know: what is sent, why, and when again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.model import Answer

MAX_READ_BYTES: Final = 4096
MAX_READ_S: Final = 1.0
MAX_ADDRESSES: Final = 8
"""Tried one after the other while none lets itself be connected to."""

_HEADERS: Final = {
    "user-agent": "CloudBay-Webhooks",
    "content-type": "application/json",
    "accept": "*/*",
    "accept-encoding": "identity",
}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, the preferred first. Raises OSError."""


class RefusedAddress(httpx.ConnectError):
    """The name leads to an address that may not be called."""


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HttpxSender:
    """Sender of cluster/webhooks/ports.py; `timeout_s` is for a whole request, up to the answer's headers."""

    def __init__(
        self, rules: AddressRules, timeout_s: float, tls: ssl.SSLContext, resolving: Resolve = resolve
    ) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        self._tls = tls
        self._resolving = resolving

    def endpoint(self, url: str) -> HttpxEndpoint:
        """Return the way to one endpoint; nothing is sent yet."""
        return HttpxEndpoint(url, self._timeout_s, _CheckedTransport(self._rules, self._tls, self._resolving))


class HttpxEndpoint:
    """One endpoint; its connections are its own, so a certificate seen for one name never vouches for another."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.AsyncBaseTransport) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False, headers=_HEADERS
        )

    async def post(self, headers: dict[str, str], body: bytes) -> Answer:
        """Send one request and return its status, or why there is none."""
        try:
            request = self._client.build_request("POST", self._url, content=body, headers=headers)
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.send(request, stream=True)
        except (TimeoutError, httpx.TimeoutException):
            return Answer(error=f"no answer within {self._timeout_s:g} s")
        except RefusedAddress as error:
            return Answer(error=str(error))
        except httpx.ConnectError:
            return Answer(error="no connection")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(error=f"no answer ({type(error).__name__})")
        await _finish(response)
        return Answer(response.status_code, retry_after_s=_retry_after_s(response))

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to the addresses of the first look-up; TLS and the Host header still speak of the name."""

    def __init__(self, rules: AddressRules, tls: ssl.SSLContext, resolving: Resolve) -> None:
        self._rules = rules
        self._resolving = resolving
        self._inner = httpx.AsyncHTTPTransport(verify=tls, trust_env=False)
        self._looking = asyncio.Lock()
        self._addresses: Sequence[str] = ()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send to the first checked address that can be connected to."""
        url = request.url
        for address in await self._checked(url):
            request.url = url.copy_with(host=address)
            request.extensions = {**request.extensions, "sni_hostname": url.host}
            try:
                return await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        raise httpx.ConnectError("none of the addresses can be connected to")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _checked(self, url: httpx.URL) -> Sequence[str]:
        async with self._looking:
            if not self._addresses:
                port = url.port or (443 if url.scheme == "https" else 80)
                try:
                    found = await self._resolving(url.host, port)
                except OSError as error:
                    raise httpx.ConnectError("the name has no address") from error
                if not all(self._rules.permit(address) for address in found):
                    raise RefusedAddress("the name leads to an address that may not be called")
                self._addresses = found[:MAX_ADDRESSES]
            return self._addresses


async def _finish(response: httpx.Response) -> None:
    """Read what is left of a short answer, so that the connection can be used again; drop it with a long one."""
    read = 0
    try:
        async with asyncio.timeout(MAX_READ_S):
            async for piece in response.aiter_raw():
                read += len(piece)
                if read > MAX_READ_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError, OSError):
        pass  # The status is known; nothing else was wanted.
    finally:
        await response.aclose()


def _retry_after_s(response: httpx.Response) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds, or a date; None for anything else."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)
