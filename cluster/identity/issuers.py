"""The public keys of issuers: found by OpenID Connect Discovery, kept, and asked for again when they may have changed.

Must not know: what tokens say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import httpx
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, RSAKey
from joserfc.jws import JWSRegistry

from actors.errors import Unavailable
from cluster.identity.errors import BadToken
from configs.fields import safe_address
from configs.identity import Identity, TrustedIssuer

log = logging.getLogger(__name__)

MAX_DOCUMENT_BYTES: Final = 256 * 1024
MIN_RSA_BITS: Final = 2048
"""RFC 7518, section 3.3."""

_DISCOVERY: Final = "/.well-known/openid-configuration"
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""A compressed document would have no bound before it is unpacked."""


class IssuerKeys(Protocol):
    """The keys of one issuer."""

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """Return the public key of that id that signs so; without an id, the only one that does.

        Raises BadToken when the issuer has none, Unavailable when it cannot be asked.
        """

    async def close(self) -> None:
        """End what is under way."""


class KnownKeys:
    """Keys that are here already: those of the platform's own issuer."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """Return a key."""
        key = _fitting(self._keys, kid, algorithm)
        if key is None:
            raise _unknown_key()
        return key

    async def close(self) -> None:
        """Have nothing to end."""


class DiscoveredKeys:
    """Keys that an issuer publishes.

    Soft state only. Known keys serve for as long as the issuer is away. An unknown key id makes one question, never two
    within `keys_pause_s`: whoever sends tokens cannot make this process a load on the issuer.
    """

    def __init__(
        self, issuer: TrustedIssuer, settings: Identity, http: httpx.AsyncClient, monotonic: Callable[[], float]
    ) -> None:
        self._issuer = issuer
        self._settings = settings
        self._http = http
        self._monotonic = monotonic
        self._keys: tuple[Key, ...] = ()
        self._got_at: float | None = None
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._away = False

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """Return a key."""
        if self._got_at is not None and self._monotonic() - self._got_at >= self._settings.keys_max_age_s:
            self._ask()
        key = _fitting(self._keys, kid, algorithm)
        if key is None:
            asking = self._ask()
            if asking is not None:
                await asyncio.shield(asking)  # others wait for it too
            key = _fitting(self._keys, kid, algorithm)
        if key is not None:
            return key
        if self._away:
            raise Unavailable(f"the issuer {self._issuer.name} does not give its keys now")
        raise _unknown_key()

    async def close(self) -> None:
        """End the question under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _ask(self) -> asyncio.Task[None] | None:
        """Return the question under way, or begin one; None when the last one was a moment ago."""
        if self._asking is not None and not self._asking.done():
            return self._asking
        now = self._monotonic()
        if self._asked_at is not None and now - self._asked_at < self._settings.keys_pause_s:
            return None
        self._asked_at = now
        self._asking = asyncio.create_task(self._refresh())
        return self._asking

    async def _refresh(self) -> None:
        about = {"issuer": self._issuer.name}
        try:
            async with asyncio.timeout(self._settings.keys_timeout_s):
                self._keys = await self._published()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, _Unfit) as error:
            if not self._away:
                reason = str(error) or type(error).__name__
                log.warning("an issuer does not give its keys", extra={**about, "error": reason})
            self._away = True
            return
        if self._away:
            log.info("an issuer gives its keys again", extra=about)
        self._away = False
        self._got_at = self._monotonic()

    async def _published(self) -> tuple[Key, ...]:
        keys = _usable_keys(await self._get(self._issuer.keys_url or await self._discovered()))
        if not keys:
            raise _Unfit("its key set has no key that could sign")
        return keys

    async def _discovered(self) -> str:
        document = await self._get(self._issuer.issuer.rstrip("/") + _DISCOVERY)
        found = _decoded(document, _Discovery)
        if found.issuer != self._issuer.issuer:  # OpenID Connect Discovery, section 4.3
            raise _Unfit("its discovery document names another issuer")
        is_downgrade = self._issuer.issuer.startswith("https:") and not found.jwks_uri.startswith("https:")
        if is_downgrade:
            raise _Unfit("its discovery document leads to keys without https")
        try:
            return safe_address(found.jwks_uri)
        except ValueError as error:
            raise _Unfit(f"its discovery document leads astray: {error}") from None

    async def _get(self, url: str) -> bytes:
        async with self._http.stream("GET", url, headers=_HEADERS, follow_redirects=False) as response:
            if response.status_code != httpx.codes.OK:
                raise _Unfit(f"it answers {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise _Unfit(f"its answer is longer than {MAX_DOCUMENT_BYTES} bytes")
        return bytes(body)


Document = TypeVar("Document")


class _Unfit(Exception):
    """What an issuer answered is of no use; the text is for the log."""


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable_keys(document: bytes) -> tuple[Key, ...]:
    """Return those public keys of a JSON Web Key Set that may sign tokens (RFC 7517, section 5).

    A symmetric key is never one: what is published is no secret. Raises _Unfit.
    """
    keys = (_usable(data) for data in _decoded(document, _KeySet).keys if data.get("kty") != "oct")
    return tuple(key for key in keys if key is not None)


def _usable(data: dict[str, Any]) -> Key | None:
    try:
        key = JWKRegistry.import_key(data)
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        return None
    return None if isinstance(key, RSAKey) and key.raw_value.key_size < MIN_RSA_BITS else key


def _fitting(keys: Sequence[Key], kid: str | None, algorithm: str) -> Key | None:
    signing = JWSRegistry(algorithms=[algorithm]).get_alg(algorithm)
    found = []
    for key in keys:
        if kid is not None and key.kid != kid:
            continue
        try:
            signing.check_key(key)
        except JoseError:
            continue
        found.append(key)
    # OpenID Connect Core, section 10.1: only the key of a set of one may go without its id.
    return found[0] if found and (kid is not None or len(found) == 1) else None


def _decoded(document: bytes, kind: type[Document]) -> Document:
    try:
        return msgspec.json.decode(document, type=kind)
    except (ValueError, RecursionError):
        raise _Unfit("its answer is not what the standard asks for") from None


def _unknown_key() -> BadToken:
    return BadToken("the access token is signed with a key its issuer does not have; log in again")
