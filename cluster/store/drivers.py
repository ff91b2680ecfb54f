"""The id tokens that app users charge with: made at first use, registered among the id tokens, shown to nobody.

They are not derived from anything: without the row of `drivers` a charge cannot be traced to its person.
Must not know: who may charge where.
"""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cluster.store.engine import reachable
from cluster.store.holders import token_hash
from cluster.store.sealed import DRIVER_TOKEN, TOKEN
from cluster.store.tables.chargers import id_tokens
from cluster.store.tables.sharing import drivers
from cluster.vault.vault import Vault, place

_BYTES: Final = 10
"""As 20 hexadecimal digits, which is all that an idTag of OCPP 1.6 can hold."""


class PostgresDrivers:
    """Drivers on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    async def id_token(self, subject: str) -> str:
        """Return somebody's id token, registered as one that may charge. Raises Unavailable."""
        mine = select(drivers.c.id_token).where(drivers.c.subject == subject)
        registered = mine.join(id_tokens, id_tokens.c.token_key == drivers.c.token_key)
        async with reachable(), self._engine.begin() as connection:
            sealed = await connection.scalar(registered)
            if sealed is not None:
                return self._opened(subject, sealed)
            await self._make(connection, subject)
            # Read back: somebody may have been quicker, and an admin may have forgotten the id token since.
            id_token = self._opened(subject, (await connection.execute(mine)).scalar_one())
            await self._register(connection, id_token)
        return id_token

    async def _make(self, connection: AsyncConnection, subject: str) -> None:
        """Give somebody an id token who has none."""
        id_token = secrets.token_hex(_BYTES)
        row = insert(drivers).values(
            subject=subject,
            token_key=token_hash(self._vault, id_token),
            id_token=self._vault.seal(id_token.encode(), place(DRIVER_TOKEN, subject)),
        )
        await connection.execute(row.on_conflict_do_nothing(index_elements=[drivers.c.subject]))

    async def _register(self, connection: AsyncConnection, id_token: str) -> None:
        key = token_hash(self._vault, id_token)
        row = insert(id_tokens).values(
            token_key=key,
            id_token=self._vault.seal(id_token.encode(), place(TOKEN, key.hex())),
            status="Accepted",
            master_pass=False,
            concurrent=True,
        )
        await connection.execute(row.on_conflict_do_nothing())

    def _opened(self, subject: str, sealed: bytes) -> str:
        return self._vault.open(sealed, place(DRIVER_TOKEN, subject)).decode()
