"""Who is staff no longer, as far as this database knows it: people with accounts here, and machines with keys.

Roles of people of outside issuers come with each of their tokens, so of them only a closed account is known.
Must not know: what staff may do.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Text, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.identity.people import LOCAL_ISSUER
from cluster.store.reader import Reader
from cluster.store.tables.people import machine_keys, users


class PostgresStaff:
    """StaffDirectory of cluster/webhooks/sight.py."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = Reader(engine)

    async def dismissed(self, subjects: Collection[str]) -> frozenset[str]:
        """Return those who are known not to be staff any more."""
        names, key = list(subjects), func.concat("key:", machine_keys.c.id).label("subject")
        without_roles = (users.c.issuer == LOCAL_ISSUER) & (func.cardinality(users.c.roles) == 0)
        people = select(users.c.id.cast(Text).label("subject")).where(
            users.c.id.cast(Text).in_(names), or_(users.c.status != "active", without_roles)
        )
        ended = or_(machine_keys.c.revoked_at.is_not(None), machine_keys.c.expires_at <= func.now())
        machines = select(key).where(key.in_(names), ended)
        rows = await self._reader.all(select(union(people, machines).subquery()))
        return frozenset(row.subject for row in rows)
