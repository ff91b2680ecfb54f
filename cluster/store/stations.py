"""What an admin decides about stations and id tokens.

Admission, validation and password of a station are written here only; a host's rows leave them alone (ADMIN_COLUMNS). A
charger that is awake has read them before: whoever changes one tells it.
Must not know: who asks, and may they.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy import Executable, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Registration, Station
from actors.domain.token import KnownToken, token_key
from actors.errors import BadRequest, Conflict, NotFound
from cluster.store.engine import blames_content, reachable
from cluster.store.tables import id_tokens, stations


class PostgresStations:
    """Stations and id tokens as an admin writes them; raises Unavailable when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, station: Station) -> None:
        """Register a station before its first contact. Raises Conflict when it is known already."""
        values = msgspec.structs.asdict(station)
        for name in ("connectors", "violations"):
            values[name] = msgspec.json.encode(values[name]).decode()
        row = insert(stations).values(values).on_conflict_do_nothing()
        if not await self._write(row.returning(stations.c.station_id)):
            raise Conflict(f"station {station.station_id} exists already")

    async def set_admission(self, station_id: str, admission: Registration | None) -> None:
        """Decide how the station's boots are answered; None goes by the platform's rule. Raises NotFound."""
        await self._set(station_id, admission=admission)

    async def set_validation(self, station_id: str, validation: Literal["tolerant", "strict"] | None) -> None:
        """Decide how strictly the station's messages are read; None goes by the platform's rule. Raises NotFound."""
        await self._set(station_id, validation=validation)

    async def set_password_digest(self, station_id: str, digest: str | None) -> None:
        """Replace the station's password, or let it in without one. Raises NotFound."""
        await self._set(station_id, password_digest=digest)

    async def put_token(self, token: KnownToken) -> None:
        """Register an id token, or replace what is known of it; upper and lower case are one token."""
        values = msgspec.structs.asdict(token)
        del values["open_transactions"]
        row = insert(id_tokens).values(token_key=token_key(token.id_token), **values)
        row = row.on_conflict_do_update(index_elements=[id_tokens.c.token_key], set_=values)
        await self._write(row.returning(id_tokens.c.token_key))

    async def _set(self, station_id: str, **values: str | None) -> None:
        statement = update(stations).where(stations.c.station_id == station_id).values(**values)
        if not await self._write(statement.returning(stations.c.station_id)):
            raise NotFound(f"there is no station {station_id}")

    async def _write(self, statement: Executable) -> bool:
        try:
            async with reachable(), self._engine.begin() as connection:
                return (await connection.execute(statement)).first() is not None
        except Exception as error:
            if blames_content(error):
                raise BadRequest("a value cannot be stored; check it for unprintable characters") from error
            raise
