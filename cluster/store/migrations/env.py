"""Alembic's entry: runs the migrations on the connection that migrate.py lends, or on the one of `-x url=...`."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from cluster.store.engine import make_engine
from cluster.store.tables import metadata
from cluster.store.tables.chargers import ocpp_frames


def ours(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out the partitions of the frame log, which come and go by themselves."""
    return not (kind == "table" and name is not None and name.startswith(f"{ocpp_frames.name}_"))


def run(connection: Connection) -> None:
    """Run the migrations that alembic has chosen."""
    context.configure(connection=connection, target_metadata=metadata, include_name=ours, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_on(url: str) -> None:
    """Connect for a developer's command."""
    engine = make_engine(url, "cloudbay alembic")
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


lent = context.config.attributes.get("connection")
if lent is not None:
    run(lent)
else:
    asyncio.run(run_on(context.get_x_argument(as_dictionary=True)["url"]))
