"""The stores of identity in memory, on shared tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from actors.errors import BadRequest, Changed, Conflict, NotFound, Unavailable
from cluster.identity.assembly import IdentityStores
from cluster.identity.brakes import Brake, Counter
from cluster.identity.clients import Client
from cluster.identity.grants import Grant, Held, Link
from cluster.identity.machine_keys import MachineKey
from cluster.identity.people import EVERYBODY, LOCAL_ISSUER, Credential, User, UserChange, UserFilter
from cluster.identity.sessions import Session
from cluster.store.views import Page

T = TypeVar("T")
replace = msgspec.structs.replace


def page_of(rows: Sequence[T], key: Callable[[T], str], cursor: str | None, limit: int) -> Page[T]:
    """Return the rows after the one whose key is the cursor."""
    if not 1 <= limit <= 1000:
        raise BadRequest("limit must be 1 to 1000")
    keys = [key(row) for row in rows]
    if cursor is not None and cursor not in keys:
        raise BadRequest("the cursor is not one that a page of this list has given")
    first = 0 if cursor is None else keys.index(cursor) + 1
    items = list(rows[first : first + limit])
    return Page(items, key(items[-1]) if items and first + limit < len(rows) else None, None)


class MemoryIdentity:
    """The tables."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.credentials: dict[str, Credential] = {}
        self.sessions: dict[str, tuple[Session, bytes]] = {}
        self.clients: dict[str, Client] = {}
        self.grants: dict[str, Grant] = {}
        self.revoked: dict[str, datetime] = {}
        self.secrets: dict[bytes, tuple[str, Link, datetime | None]] = {}
        self.machine_keys: dict[str, MachineKey] = {}
        self.erased: dict[str, datetime] = {}
        self.former: dict[tuple[str, str], str] = {}
        """People of outside issuers who are erased, by what they were called there."""

    def end(self, user_id: str, at: datetime, only: str | None = None, but: str | None = None) -> int:
        """End sessions of a person."""
        count = 0
        for session_id, (session, secret) in self.sessions.items():
            ended = session.ended_at is not None or session.user_id != user_id
            if not ended and only in (None, session_id) and but != session_id:
                self.sessions[session_id] = replace(session, ended_at=at), secret
                count += 1
        return count

    def erase(self, user_id: str, at: datetime) -> None:
        """Leave nothing of a person but an id, and their sessions ended."""
        for key in self.machine_keys.values():
            if key.created_by == user_id:
                self.machine_keys[key.id] = replace(key, created_by="erased")
        user = self.users.get(user_id)
        if user is None or user.status == "erased":
            return
        if user.issuer != LOCAL_ISSUER:
            self.former[user.issuer, user.subject] = user_id
        self.users[user_id] = replace(
            user, subject=user_id, login=None, email=None, name=None, last_login_at=None, roles=frozenset(),
            status="erased", version=user.version + 1,
        )  # fmt: skip
        self.erased[user_id] = at
        self.credentials.pop(user_id, None)
        self.end(user_id, at)
        for session_id, (session, secret) in self.sessions.items():
            if session.user_id == user_id:
                self.sessions[session_id] = replace(session, address=None, user_agent=None), secret
        for grant_id in [grant.id for grant in self.grants.values() if grant.user_id == user_id]:
            del self.grants[grant_id]


class MemoryUsers:
    """UserStore."""

    def __init__(self, tables: MemoryIdentity) -> None:
        self._tables = tables

    async def add(self, user: User, credential: Credential) -> None:
        if any(known.login == user.login for known in self._tables.users.values()):
            raise Conflict(f"the login name {user.login} is taken")
        self._tables.users[user.id] = user
        self._tables.credentials[user.id] = credential

    async def find(self, user_id: str) -> User:
        if user_id not in self._tables.users:
            raise NotFound("there is no such person")
        return self._tables.users[user_id]

    async def change(self, user_id: str, change: UserChange, now: datetime, version: int | None = None) -> User:
        before = await self.find(user_id)
        if before.status == "erased":
            raise Conflict("this person is erased")
        if version not in (None, before.version):
            raise Changed("the person was changed by somebody else meanwhile")
        given = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
        after = replace(before, version=before.version + 1, **given)
        admins = {user.id for user in self._tables.users.values() if _may_administer(user)}
        if admins == {user_id} and not _may_administer(after):
            raise Conflict("this is the last admin; make another one first")
        self._tables.users[user_id] = after
        if change.ends_sessions:
            self._tables.end(user_id, now)
        return after

    async def page(self, cursor: str | None = None, limit: int = 100, wanted: UserFilter = EVERYBODY) -> Page[User]:
        rows = sorted(
            (user for user in self._tables.users.values() if _matches(user, wanted)),
            key=lambda user: (user.created_at, user.id),
        )
        return page_of(rows, lambda user: user.id, cursor, limit)

    async def seen(self, newcomer: User) -> User:
        same = (newcomer.issuer, newcomer.subject)
        if same in self._tables.former:
            return self._tables.users[self._tables.former[same]]
        known = next((u for u in self._tables.users.values() if (u.issuer, u.subject) == same), newcomer)
        if known.status == "active":
            known = replace(known, name=newcomer.name, email=newcomer.email)
        self._tables.users[known.id] = known
        return known


class MemoryCredentials:
    """CredentialStore."""

    def __init__(self, tables: MemoryIdentity) -> None:
        self._tables = tables

    async def of_login(self, login: str) -> Credential | None:
        user = next((user for user in self._tables.users.values() if user.login == login), None)
        return None if user is None else await self.of_user(user.id)

    async def of_user(self, user_id: str) -> Credential | None:
        user = self._tables.users.get(user_id)
        if user is None or user.issuer != LOCAL_ISSUER:
            return None
        nothing = Credential(user_id, None, must_change=False, expires_at=None)
        return replace(self._tables.credentials.get(user_id, nothing), status=user.status)

    async def put(self, credential: Credential, now: datetime, replaces: str | None, keep_session: str | None) -> bool:
        before = self._tables.credentials.get(credential.user_id)
        if before is None or replaces not in (None, before.password_hash):
            return False
        self._tables.credentials[credential.user_id] = credential
        self._tables.end(credential.user_id, now, but=keep_session)
        return True

    async def rehash(self, user_id: str, old: str, new: str) -> None:
        before = self._tables.credentials[user_id]
        if before.password_hash == old:
            self._tables.credentials[user_id] = replace(before, password_hash=new)

    async def logged_in(self, user_id: str, at: datetime) -> None:
        self._tables.users[user_id] = replace(self._tables.users[user_id], last_login_at=at)


class MemorySessions:
    """SessionStore and EndedQuery."""

    def __init__(self, tables: MemoryIdentity) -> None:
        self._tables = tables

    async def begin(self, session: Session, secret: bytes) -> None:
        self._tables.sessions[session.id] = session, secret

    async def find(self, secret: bytes) -> Session | None:
        return next((session for session, kept in self._tables.sessions.values() if kept == secret), None)

    async def renew(self, session_id: str, at: datetime, secret: bytes | None = None) -> None:
        session, kept = self._tables.sessions[session_id]
        session = replace(session, seen_at=at)
        if secret is not None:
            session, kept = replace(session, authenticated_at=at), secret
        self._tables.sessions[session_id] = session, kept

    async def end(self, user_id: str, session_id: str | None, at: datetime) -> int:
        return self._tables.end(user_id, at, only=session_id)

    async def page(self, user_id: str, cursor: str | None = None, limit: int = 100) -> Page[Session]:
        rows = [session for session, _ in self._tables.sessions.values() if session.user_id == user_id]
        rows.sort(key=lambda session: (session.began_at, session.id), reverse=True)
        return page_of(rows, lambda session: session.id, cursor, limit)

    async def ended_since(self, at: datetime) -> frozenset[str]:
        sessions = (session for session, _ in self._tables.sessions.values())
        ended = {session.id for session in sessions if session.ended_at and session.ended_at >= at}
        ended |= {user_id for user_id, when in self._tables.erased.items() if when >= at}
        return frozenset(ended | {grant_id for grant_id, when in self._tables.revoked.items() if when >= at})


class MemoryClients:
    """ClientStore."""

    def __init__(self, tables: MemoryIdentity) -> None:
        self._tables = tables

    async def add(self, client: Client) -> None:
        if client.id in self._tables.clients:
            raise Conflict(f"there is a client {client.id} already")
        self._tables.clients[client.id] = client

    async def replace(self, client: Client) -> None:
        if client.id not in self._tables.clients:
            raise NotFound("there is no such client")
        self._tables.clients[client.id] = client

    async def find(self, client_id: str) -> Client | None:
        return self._tables.clients.get(client_id)

    async def remove(self, client_id: str) -> None:
        if self._tables.clients.pop(client_id, None) is None:
            raise NotFound("there is no such client")
        for grant_id in [grant.id for grant in self._tables.grants.values() if grant.client_id == client_id]:
            del self._tables.grants[grant_id]

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[Client]:
        rows = sorted(self._tables.clients.values(), key=lambda client: client.id)
        return page_of(rows, lambda client: client.id, cursor, limit)


class MemoryGrants:
    """GrantStore."""

    def __init__(self, tables: MemoryIdentity) -> None:
        self._tables = tables

    async def begin(self, grant: Grant, first: Link) -> None:
        self._tables.grants[grant.id] = grant
        self._tables.secrets[first.secret] = grant.id, first, None

    async def find(self, secret: bytes) -> Held | None:
        grant_id, link, used_at = self._tables.secrets.get(secret, ("", None, None))
        grant = self._tables.grants.get(grant_id)
        if grant is None or link is None:
            return None
        session, _ = self._tables.sessions[grant.session_id]
        return Held(grant, link, used_at, grant.id in self._tables.revoked or session.ended_at is not None)

    async def exchange(self, secret: bytes, following: Link | None, at: datetime) -> bool:
        grant_id, link, used_at = self._tables.secrets[secret]
        if used_at is not None:
            return False
        self._tables.secrets[secret] = grant_id, link, at
        if following is not None:
            self._tables.secrets[following.secret] = grant_id, following, None
        return True

    async def revoke(self, grant_id: str, at: datetime) -> None:
        self._tables.revoked.setdefault(grant_id, at)


class MemoryMachineKeys:
    """MachineKeyStore."""

    def __init__(self, tables: MemoryIdentity) -> None:
        self._keys = tables.machine_keys

    async def add(self, key: MachineKey) -> None:
        self._keys[key.id] = key

    async def find(self, key_id: str) -> MachineKey | None:
        return self._keys.get(key_id)

    async def revoke(self, key_id: str, at: datetime) -> None:
        if key_id not in self._keys:
            raise NotFound("there is no such key")
        if self._keys[key_id].revoked_at is None:
            self._keys[key_id] = replace(self._keys[key_id], revoked_at=at)

    async def used(self, key_id: str, at: datetime) -> None:
        self._keys[key_id] = replace(self._keys[key_id], last_used_at=at)

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[MachineKey]:
        rows = sorted(self._keys.values(), key=lambda key: (key.created_at, key.id), reverse=True)
        return page_of(rows, lambda key: key.id, cursor, limit)


class MemoryAttempts:
    """Attempts; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.counters: dict[str, Counter] = {}
        self.down = False
        self.asked = 0

    async def take(self, brakes: Sequence[Brake], now: datetime) -> float:
        self._reach()
        fresh = Counter(0.0, now, now)
        counters = {brake: self.counters.get(brake.key, fresh) for brake in brakes}
        wait_s = max((counter.closed_until - now).total_seconds() for counter in counters.values())
        if wait_s > 0:
            return wait_s
        self.counters |= {brake.key: counter.struck(brake, now) for brake, counter in counters.items()}
        return 0.0

    async def give_back(self, forget: Sequence[Brake], lower: Sequence[Brake]) -> None:
        self._reach()
        for brake in forget:
            self.counters.pop(brake.key, None)
        for brake in lower:
            if brake.key in self.counters:
                self.counters[brake.key] = self.counters[brake.key].given_back()

    def _reach(self) -> None:
        self.asked += 1
        if self.down:
            raise Unavailable("Valkey cannot be reached now")


class KeepsAll:
    """Retention that forgets nothing."""

    async def forget(self, before: datetime) -> int:
        return 0


def memory_stores(tables: MemoryIdentity | None = None, attempts: Any = None) -> IdentityStores:
    """Return all stores on one set of tables."""
    tables = tables or MemoryIdentity()
    sessions = MemorySessions(tables)
    return IdentityStores(
        users=MemoryUsers(tables),
        credentials=MemoryCredentials(tables),
        sessions=sessions,
        ended=sessions,
        clients=MemoryClients(tables),
        grants=MemoryGrants(tables),
        machine_keys=MemoryMachineKeys(tables),
        attempts=attempts or MemoryAttempts(),
        retention=KeepsAll(),
    )


def _matches(user: User, wanted: UserFilter) -> bool:
    return (
        wanted.login in (None, user.login)
        and (wanted.role is None or wanted.role in user.roles)
        and wanted.status in (None, user.status)
    )


def _may_administer(user: User) -> bool:
    return user.issuer == LOCAL_ISSUER and user.status == "active" and "admin" in user.roles
