"""Real servers for the tests of cluster/: one PostgreSQL and one Valkey, a database or a key prefix for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.embedded import EmbeddedPostgres, EmbeddedValkey
from cluster.store.engine import database_url as parsed_url
from cluster.store.engine import make_engine
from cluster.store.migrate import migrate

TEMPLATE = "migrated"


async def administer(url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    engine = make_engine(url, "cloudbay tests", pool_size=1)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(statement))
    await engine.dispose()


def named(url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    return parsed_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start PostgreSQL with a migrated template and return the URL of its first database."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("servers"))
    url = server.start()
    try:
        asyncio.run(administer(url, f"CREATE DATABASE {TEMPLATE}"))
        asyncio.run(migrate(named(url, TEMPLATE)))
        yield url
    finally:
        server.stop()


@pytest.fixture
async def empty_database(postgres: str) -> AsyncIterator[str]:
    """Make a database without tables and return its URL."""
    name = f"empty_{uuid4().hex[:12]}"
    await administer(postgres, f"CREATE DATABASE {name}")
    yield named(postgres, name)
    await administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[str]:
    """Make a migrated, empty database and return its URL."""
    name = f"test_{uuid4().hex[:12]}"
    await administer(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield named(postgres, name)
    await administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """Return a pool on a migrated, empty database."""
    engine = make_engine(database, "cloudbay tests")
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """Start Valkey."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("servers"))
    server.start()
    try:
        yield server
    finally:
        server.stop()
