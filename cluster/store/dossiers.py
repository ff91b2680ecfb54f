"""All that the tables hold of one person: read for them, and erased (erasure.py).

Must not know: who asks, and may they.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, Text, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import NotFound
from cluster.identity.circle import Offer
from cluster.identity.people import User
from cluster.personal_data import MAX_LISTED, Consent, Dossier, Mentions, Ordered
from cluster.store.charges import PostgresCharges
from cluster.store.engine import reachable
from cluster.store.erasure import erase, hindrance
from cluster.store.people import PostgresUsers
from cluster.store.reader import Reader, is_uuid
from cluster.store.sealed import DRIVER_TOKEN
from cluster.store.sessions import PostgresSessions
from cluster.store.tables.chargers import commands
from cluster.store.tables.people import grants, machine_keys
from cluster.store.tables.records import approvals, audit_entries
from cluster.store.tables.sharing import drivers, offers
from cluster.store.views import Page, masked
from cluster.store.webhooks import PostgresSubscriptions
from cluster.vault.vault import Vault, place

T = TypeVar("T")

_PAGE: Final = 1000
_ORDERED: Final = [commands.c[name] for name in Ordered.__struct_fields__]
_decode_offer = msgspec.json.Decoder(Offer).decode


class PostgresPersonalRecords:
    """PersonalRecords of cluster/personal_data.py on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault
        self._reader = Reader(engine)
        self._users = PostgresUsers(engine, vault)
        self._sessions = PostgresSessions(engine, vault)
        self._charges = PostgresCharges(engine)
        self._webhooks = PostgresSubscriptions(engine, vault)

    async def dossier(self, subject: str) -> Dossier:
        """Return all that is known of somebody but their charges."""
        known = is_uuid(subject)  # who is not has no account here, but may have been named by a token of the machine
        return Dossier(
            person=await self._person(subject) if known else None,
            sessions=await _all(lambda cursor: self._sessions.page(subject, cursor, _PAGE)) if known else [],
            consents=await self._consents(subject) if known else [],
            ties=await _all(lambda cursor: self._charges.ties_of(subject, cursor, _PAGE)),
            offers=await self._offers(subject),
            id_token=await self._id_token(subject),
            commands=await self._commands(subject),
            webhooks=await _all(lambda cursor: self._webhooks.page(subject, cursor, _PAGE)),
            mentions=await self._mentions(subject),
        )

    async def hindrance(self, subject: str, now: datetime) -> str | None:
        """Return why somebody cannot be erased now."""
        async with reachable(), self._engine.connect() as connection:
            return await hindrance(connection, subject, now)

    async def erase(self, subject: str, pseudonym: str, now: datetime) -> None:
        """Erase somebody in one transaction."""
        async with reachable(), self._engine.begin() as connection:
            await erase(connection, self._vault, subject, pseudonym, now)

    async def _person(self, subject: str) -> User | None:
        try:
            return await self._users.find(subject)
        except NotFound:
            return None

    async def _consents(self, subject: str) -> list[Consent]:
        query = select(grants.c.client_id, grants.c.scopes, grants.c.created_at).where(grants.c.user_id == subject)
        rows = await self._reader.all(query.order_by(grants.c.created_at.desc()).limit(MAX_LISTED))
        return [Consent(row.client_id, tuple(row.scopes), row.created_at) for row in rows]

    async def _offers(self, subject: str) -> list[Offer]:
        mine = or_(offers.c.subject == subject, offers.c.state["offered_by"].as_string() == subject)
        query = select(offers.c.state.cast(Text).label("state")).where(mine)
        rows = await self._reader.all(query.order_by(offers.c.offered_at, offers.c.id).limit(MAX_LISTED))
        return [_decode_offer(row.state) for row in rows]

    async def _id_token(self, subject: str) -> str | None:
        row = await self._reader.one(select(drivers.c.id_token).where(drivers.c.subject == subject))
        return None if row is None else masked(self._vault.open(row.id_token, place(DRIVER_TOKEN, subject)).decode())

    async def _commands(self, subject: str) -> list[Ordered]:
        query = select(*_ORDERED).where(commands.c.requested_by == subject)
        rows = await self._reader.all(query.order_by(commands.c.created_at.desc()).limit(MAX_LISTED))
        return [Ordered(*tuple(row)) for row in rows]

    async def _mentions(self, subject: str) -> Mentions:
        named = or_(*(approvals.c[name] == subject for name in ("requested_by", "decided_by", "used_by")))
        row = await self._reader.one(
            select(
                _count(audit_entries.c.subject == subject),
                _count(or_(named, approvals.c.target == f"person/{subject}")),
                _count(machine_keys.c.created_by == subject),
                _count(commands.c.requested_by == subject),
            )
        )
        return Mentions(*tuple(row or ()))


async def _all(page: Callable[[str | None], Awaitable[Page[T]]]) -> list[T]:
    """Read a list to its end, or as far as a dossier goes."""
    found: list[T] = []
    cursor: str | None = None
    while len(found) < MAX_LISTED:
        some = await page(cursor)
        found += some.items
        if (cursor := some.cursor) is None:
            break
    return found[:MAX_LISTED]


def _count(which: ColumnElement[bool]) -> Any:
    query: Select[Any] = select(func.count()).where(which)
    return query.scalar_subquery()
