"""What an admin decides about id tokens. They are stored sealed, and found by a keyed hash.

Stations are not written here: what an admin decides about one is a turn of its charger, the only writer of its row.
Must not know: who asks, and may they.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.token import KnownToken
from actors.errors import BadRequest, NotFound
from cluster.store.engine import blames_content, reachable
from cluster.store.holders import token_hash
from cluster.store.sealed import TOKEN, TOKEN_GROUP
from cluster.store.tables.chargers import id_tokens
from cluster.vault.vault import Vault, place


class PostgresTokens:
    """Id tokens as an admin writes them; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    async def put(self, token: KnownToken) -> None:
        """Register an id token, or replace what is known of it; upper and lower case are one token.

        Raises BadRequest for a value that cannot be stored.
        """
        values = msgspec.structs.asdict(token)
        del values["open_transactions"]
        key = token_hash(self._vault, token.id_token)
        values["id_token"] = self._vault.seal(token.id_token.encode(), place(TOKEN, key.hex()))
        if token.group_id is not None:
            values["group_id"] = self._vault.seal(token.group_id.encode(), place(TOKEN_GROUP, key.hex()))
        row = insert(id_tokens).values(token_key=key, **values)
        row = row.on_conflict_do_update(index_elements=[id_tokens.c.token_key], set_=values)
        try:
            async with reachable(), self._engine.begin() as connection:
                await connection.execute(row)
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the id token has a value that cannot be stored") from error
            raise

    async def remove(self, id_token: str) -> None:
        """Forget an id token. Raises NotFound."""
        statement = delete(id_tokens).where(id_tokens.c.token_key == token_hash(self._vault, id_token))
        async with reachable(), self._engine.begin() as connection:
            found = await connection.execute(statement.returning(id_tokens.c.token_key))
            if found.first() is None:
                raise NotFound("there is no such id token")
