"""Migrations make exactly the tables of cluster/store/tables, once, whoever runs them."""

import asyncio

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from cluster.store.engine import make_engine
from cluster.store.migrate import migrate
from cluster.store.tables import metadata

SCHEMA = """
SELECT relname, indexdef, reloptions::text, relpersistence::text, pg_get_partkeydef(pg_class.oid), (
    SELECT array_agg((attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
        (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)
    ) ORDER BY attname)::text FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
), (
    SELECT array_agg(conname || pg_get_constraintdef(oid) ORDER BY conname)::text
    FROM pg_constraint WHERE conrelid = pg_class.oid
) FROM pg_class LEFT JOIN pg_indexes ON indexname = relname AND schemaname = 'public'
WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%' ORDER BY relname"""


async def schema(url: str) -> list[tuple[object, ...]]:
    """Return every table, column, constraint and index as PostgreSQL describes it."""
    engine = make_engine(url, "cloudbay tests")
    async with engine.connect() as connection:
        found = [tuple(row) for row in await connection.execute(text(SCHEMA))]
    await engine.dispose()
    return found


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


async def test_models_and_migrations_agree(database: str) -> None:
    engine = make_engine(database, "cloudbay tests")
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_migrations_make_the_same_schema_as_the_models_in_every_detail(
    database: str, empty_database: str
) -> None:
    engine = make_engine(empty_database, "cloudbay tests")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    assert await schema(database) == await schema(empty_database)


async def test_two_processes_that_start_together_migrate_once(empty_database: str) -> None:
    first, second = await asyncio.gather(migrate(empty_database), migrate(empty_database))
    assert sorted([first, second])[0] == []
    applied = [entry.split(":")[0] for entry in first + second]
    assert applied == sorted(set(applied))
    assert await migrate(empty_database) == []
