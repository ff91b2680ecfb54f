"""Clients of the embedded issuer: applications people log in with, and machines that log in themselves.

Must not know: HTTP, SQL.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol
from urllib.parse import unquote_plus, urlsplit

import msgspec

from actors.errors import BadRequest, Conflict, NotFound
from cluster.identity.caller import ROLES, Role
from cluster.identity.oauth import BadClient, OAuthError, Parameters
from cluster.identity.opaque import digest, is_secret_of, make_secret
from cluster.store.views import Page

GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]

PERSON_SCOPES: Final = frozenset({"openid", "profile", "email"})
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9.\[\]:-]+")
_NOBODYS: Final = digest("")


class Client(msgspec.Struct, frozen=True):
    """An application. Without a secret it is public: a page in a browser, an app."""

    id: str
    name: str
    secret: bytes | None
    redirect_uris: frozenset[str]
    logout_uris: frozenset[str]
    scopes: frozenset[str]
    audiences: tuple[str, ...]
    grant_types: frozenset[GrantType]
    created_at: datetime
    roles: frozenset[Role] = frozenset()
    """What a machine that logs in itself may do, within its scopes."""

    def redirects_to(self, uri: str) -> bool:
        """Tell whether a redirect URI is one of the client's, letter by letter (RFC 9700 section 2.1).

        Only the port of a loopback address may differ: an app takes a free one at each start (RFC 8252 section 7.3).
        """
        here = _without_port(uri)
        return uri in self.redirect_uris or (here is not None and here in map(_without_port, self.redirect_uris))


class ClientStore(Protocol):
    """The clients. Raises Unavailable."""

    async def add(self, client: Client) -> None:
        """Add a client. Raises Conflict when there is one with its id."""

    async def replace(self, client: Client) -> None:
        """Replace the client with its id. Raises NotFound."""

    async def find(self, client_id: str) -> Client | None:
        """Return a client."""

    async def remove(self, client_id: str) -> None:
        """Forget a client and all it was granted. Raises NotFound."""

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[Client]:
        """List clients by id. Raises BadRequest."""


class NewClient(NamedTuple):
    """A client and its secret, which is shown once; None for a public client."""

    client: Client
    secret: str | None


class Clients:
    """Registers clients and knows them again."""

    def __init__(
        self,
        store: ClientStore,
        audiences: tuple[str, ...],
        machine_scopes: frozenset[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._audiences = audiences
        self._machine_scopes = machine_scopes
        self._clock = clock

    async def register_application(
        self, client_id: str, name: str, redirect_uris: frozenset[str], logout_uris: frozenset[str] = frozenset()
    ) -> NewClient:
        """Register a public client that people log in with.

        Raises Conflict for an id that is taken, BadRequest for a URI that cannot be one.
        """
        for uri in redirect_uris | logout_uris:
            check_redirect_uri(uri)
        grants: frozenset[GrantType] = frozenset({"authorization_code", "refresh_token"})
        now = self._clock()
        client = Client(client_id, name, None, redirect_uris, logout_uris, PERSON_SCOPES, self._audiences, grants, now)
        await self._store.add(client)
        return NewClient(client, None)

    async def register_machine(
        self, client_id: str, name: str, scopes: frozenset[str], roles: frozenset[Role] = frozenset()
    ) -> NewClient:
        """Register a client that logs in itself with a secret (client credentials).

        Raises Conflict for an id that is taken, BadRequest for a role or scope that there is not.
        """
        if roles - ROLES:
            raise BadRequest(f"there are no roles {', '.join(sorted(roles - ROLES))}")
        if not scopes or scopes - self._machine_scopes:
            raise BadRequest(f"a machine needs scopes among {', '.join(sorted(self._machine_scopes))}")
        secret, grants = make_secret(), frozenset[GrantType]({"client_credentials"})
        nowhere: frozenset[str] = frozenset()
        kept, now = digest(secret), self._clock()
        client = Client(client_id, name, kept, nowhere, nowhere, scopes, self._audiences, grants, now, roles)
        await self._store.add(client)
        return NewClient(client, secret)

    async def ensure_application(
        self, client_id: str, name: str, redirect_uris: frozenset[str], logout_uris: frozenset[str]
    ) -> None:
        """See that a public client is there as told, whatever it was before. Raises BadRequest."""
        try:
            await self.register_application(client_id, name, redirect_uris, logout_uris)
        except Conflict:
            client = await self.find(client_id)
            told = msgspec.structs.replace(client, name=name, redirect_uris=redirect_uris, logout_uris=logout_uris)
            await self._store.replace(told)

    async def rotate_secret(self, client_id: str) -> NewClient:
        """Give a client another secret; the old one is void. Raises NotFound, Conflict for a public client."""
        client, secret = await self.find(client_id), make_secret()
        if client.secret is None:
            raise Conflict("this client is public, it has no secret")
        client = msgspec.structs.replace(client, secret=digest(secret))
        await self._store.replace(client)
        return NewClient(client, secret)

    async def find(self, client_id: str) -> Client:
        """Return a client. Raises NotFound."""
        client = await self._store.find(client_id)
        if client is None:
            raise NotFound("there is no such client")
        return client

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[Client]:
        """List clients by id. Raises BadRequest."""
        return await self._store.page(cursor, limit)

    async def remove(self, client_id: str) -> None:
        """Forget a client and all it was granted; access tokens it holds run out. Raises NotFound."""
        await self._store.remove(client_id)

    async def named(self, client_id: str | None) -> Client:
        """Return a client by its id alone. Raises BadClient."""
        client = await self._store.find(client_id) if client_id else None
        if client is None:
            raise BadClient
        return client

    async def authenticated(self, given: Parameters, authorization: str | None) -> Client:
        """Return the client that sends a request, after it has proved it if it has a secret (RFC 6749 section 2.3).

        Raises BadClient, and OAuthError when it does so in two ways at once.
        """
        client_id, secret = given.get("client_id"), given.get("client_secret")
        if authorization is not None:
            if secret is not None:
                raise OAuthError("invalid_request", "the client authenticates in two ways")
            basic_id, secret = _basic(authorization)
            if client_id not in (None, basic_id):
                raise BadClient
            client_id = basic_id
        client = await self._store.find(client_id) if client_id else None
        kept = client.secret if client is not None and client.secret is not None else _NOBODYS
        right = is_secret_of(secret or "", kept)
        if client is None or (client.secret is not None and not right) or (client.secret is None and secret):
            raise BadClient
        return client


def check_redirect_uri(uri: str) -> None:
    """Raise BadRequest for a URI that no browser may be sent to."""
    parts = urlsplit(uri)
    web = parts.scheme in ("http", "https")
    if not parts.scheme or parts.fragment or "*" in uri or (web and not parts.hostname):
        raise BadRequest("a redirect URI is absolute and has neither a fragment nor a wildcard")
    if parts.scheme in ("javascript", "data", "vbscript", "file", "blob"):
        raise BadRequest(f"a redirect URI cannot have the scheme {parts.scheme}")
    if web and not _AUTHORITY.fullmatch(parts.netloc):
        raise BadRequest("a redirect URI names a host, and nobody's login")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise BadRequest("a redirect URI needs https, except on a loopback address")


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        client_id, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise BadClient from None
    if scheme.lower() != "basic" or not colon:
        raise BadClient
    return unquote_plus(client_id), unquote_plus(secret)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _without_port(uri: str) -> str | None:
    """Return a loopback URI without its port, None for any other."""
    try:
        parts = urlsplit(uri)
        if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "::1") or parts.username is not None:
            return None
        if not (uri.isascii() and uri.isprintable()):
            return None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        _ = parts.port
    except ValueError:
        return None
    return parts._replace(netloc=host).geturl()
