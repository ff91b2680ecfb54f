"""API keys of machines: `cb_<id>_<secret>`, shown once, limited to scopes, ending by themselves.

Their secrets have 256 random bits, so guessing needs no brake, and only a digest is kept.
Must not know: HTTP, SQL, what a scope allows.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from actors.errors import BadRequest, NotFound
from cluster.identity.caller import ROLES, Caller, Role
from cluster.identity.errors import BadToken
from cluster.identity.opaque import digest, is_secret_of, make_secret
from cluster.store.views import Page

PREFIX: Final = "cb_"
_FORM: Final = re.compile(r"cb_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_ID_BYTES: Final = 8
MAX_LIFE: Final = timedelta(days=366)
_USED_EVERY: Final = timedelta(seconds=60)
_NOBODYS: Final = digest(make_secret())


KeyState = Literal["active", "expired", "revoked"]


class MachineKey(msgspec.Struct, frozen=True):
    """A key: it may do what its roles allow and its scopes name; `created_by` is the subject of who made it."""

    id: str
    name: str
    secret: bytes
    roles: frozenset[Role]
    scopes: frozenset[str]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def state_at(self, now: datetime) -> KeyState:
        """Return the state at a time."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if now < self.expires_at else "expired"


class MachineKeyStore(Protocol):
    """The keys. Raises Unavailable."""

    async def add(self, key: MachineKey) -> None:
        """Keep a new key."""

    async def find(self, key_id: str) -> MachineKey | None:
        """Return a key, revoked or not."""

    async def revoke(self, key_id: str, at: datetime) -> None:
        """End a key; one that has ended stays as it is. Raises NotFound."""

    async def used(self, key_id: str, at: datetime) -> None:
        """Note that a key is in use."""

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[MachineKey]:
        """List keys, the newest first. Raises BadRequest."""


class NewKey(NamedTuple):
    """A key and its text, which is shown once."""

    key: MachineKey
    text: str


class BadKey(BadToken):
    """The API key is unknown, has ended or was revoked."""

    def __init__(self) -> None:
        super().__init__("the API key is not valid; an admin can make a new one")


class MachineKeys:
    """Makes keys and knows them again."""

    def __init__(self, store: MachineKeyStore, scopes: frozenset[str], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._scopes = scopes
        self._clock = clock

    async def make(
        self, caller: Caller, name: str, roles: frozenset[Role], scopes: frozenset[str], life: timedelta
    ) -> NewKey:
        """Make a key. Raises BadRequest for a role or scope that there is not, or a life that is too long."""
        if not timedelta(0) < life <= MAX_LIFE:
            raise BadRequest(f"a key lives {MAX_LIFE.days} days at most")
        if roles - ROLES:
            raise BadRequest(f"there are no roles {', '.join(sorted(roles - ROLES))}")
        if not scopes or scopes - self._scopes:
            raise BadRequest(f"a key needs scopes among {', '.join(sorted(self._scopes))}")
        now, secret = self._clock(), make_secret()
        key_id, by = secrets.token_hex(_ID_BYTES), caller.subject
        key = MachineKey(key_id, name, digest(secret), roles, scopes, by, now, now + life)
        await self._store.add(key)
        return NewKey(key, f"{PREFIX}{key.id}_{secret}")

    async def read(self, text: str) -> MachineKey:
        """Return the key a machine shows. Raises BadKey, Unavailable."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise BadKey
        key_id, secret = form.groups()
        key, now = await self._store.find(key_id), self._clock()
        right = is_secret_of(secret, _NOBODYS if key is None else key.secret)
        if key is None or not right or key.state_at(now) != "active":
            raise BadKey
        if key.last_used_at is None or now - key.last_used_at >= _USED_EVERY:
            await self._store.used(key_id, now)
        return key

    async def find(self, key_id: str) -> MachineKey:
        """Return a key, ended or not. Raises NotFound."""
        key = await self._store.find(key_id)
        if key is None:
            raise NotFound("there is no such key")
        return key

    async def revoke(self, key_id: str) -> None:
        """End a key at once. Raises NotFound."""
        await self._store.revoke(key_id, self._clock())

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[MachineKey]:
        """List keys, the newest first. Raises BadRequest."""
        return await self._store.page(cursor, limit)
