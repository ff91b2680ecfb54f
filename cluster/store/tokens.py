"""What an admin decides about id tokens.

Stations are not written here: what an admin decides about one is a turn of its charger, the only writer of its row.
Must not know: who asks, and may they.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.token import KnownToken, token_key
from actors.errors import BadRequest, NotFound
from cluster.store.engine import blames_content, reachable
from cluster.store.tables import id_tokens


class PostgresTokens:
    """Id tokens as an admin writes them; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put(self, token: KnownToken) -> None:
        """Register an id token, or replace what is known of it; upper and lower case are one token.

        Raises BadRequest for a value that cannot be stored.
        """
        values = msgspec.structs.asdict(token)
        del values["open_transactions"]
        row = insert(id_tokens).values(token_key=token_key(token.id_token), **values)
        row = row.on_conflict_do_update(index_elements=[id_tokens.c.token_key], set_=values)
        try:
            async with reachable(), self._engine.begin() as connection:
                await connection.execute(row)
        except Exception as error:
            if blames_content(error):
                raise BadRequest("the id token holds a character that cannot be stored") from error
            raise

    async def remove(self, id_token: str) -> None:
        """Forget an id token. Raises NotFound."""
        statement = delete(id_tokens).where(id_tokens.c.token_key == token_key(id_token))
        async with reachable(), self._engine.begin() as connection:
            found = await connection.execute(statement.returning(id_tokens.c.token_key))
            if found.first() is None:
                raise NotFound("there is no such id token")
