"""Idempotency keys that are claimed, and the sealed answers kept under them.

Must not know: what was asked, who asks, how answers are sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Insert, and_, case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from cluster.idempotency import Claim, Held
from cluster.store.engine import reachable
from cluster.store.tables.records import idempotency_keys as keys

_COLUMNS: Final = [keys.c[name] for name in Claim.__struct_fields__]
_TRIES: Final = 3


class PostgresClaims:
    """Claims as rows; every method is one short transaction and raises Unavailable without a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, name: bytes, mine: Claim, now: datetime) -> Held:
        """Return the claim that holds, and whether it is the caller's to carry out."""
        earlier = select(*_COLUMNS).where(keys.c.name == name)
        async with reachable(), self._engine.begin() as connection:
            for _ in range(_TRIES):
                if (row := (await connection.execute(_claimed(name, mine, now))).first()) is not None:
                    return Held(Claim(**row._mapping), ours=True)
                if (row := (await connection.execute(earlier)).first()) is not None:
                    return Held(Claim(**row._mapping), ours=False)
        raise Unavailable("the Idempotency-Key cannot be claimed now")  # it was forgotten between the two, each time

    async def keep(self, name: bytes, claim_id: str, answer: bytes) -> None:
        """Keep the answer to a claim, unless it has one."""
        await self._change(name, claim_id, answer=answer)

    async def give_back(self, name: bytes, claim_id: str, now: datetime) -> None:
        """Let a claim without an answer be taken over from now on."""
        await self._change(name, claim_id, locked_until=now)

    async def purge(self, now: datetime) -> int:
        """Forget what need not be kept any longer; return how many that were."""
        async with reachable(), self._engine.begin() as connection:
            return (await connection.execute(delete(keys).where(keys.c.kept_until <= now))).rowcount

    async def _change(self, name: bytes, claim_id: str, **values: Any) -> None:
        mine = and_(keys.c.name == name, keys.c.id == claim_id, keys.c.answer.is_(None))
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(keys).where(mine).values(**values))


def _claimed(name: bytes, mine: Claim, now: datetime) -> Insert:
    """Insert a claim, or make the earlier one ours if it may be; in one statement, so that of two only one has it."""
    values = msgspec.structs.asdict(mine)
    row = insert(keys).values(name=name, **values)
    over = keys.c.kept_until <= now
    abandoned = and_(keys.c.answer.is_(None), keys.c.locked_until <= now, keys.c.fingerprint == mine.fingerprint)
    row = row.on_conflict_do_update(
        index_elements=[keys.c.name],
        set_={**values, "id": case((over, row.excluded.id), else_=keys.c.id)},
        where=or_(over, abandoned),
    )
    return row.returning(*_COLUMNS)
