"""The connections to PostgreSQL: one pool a process, and one way to tell its errors apart.

Must not know: tables.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from actors.errors import BadRequest, CloudBayError, Unavailable

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
POOL_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 30.0
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 10_000
"""A process that hangs inside a transaction loses it, and with it the fence that a successor waits for."""

CONTENT_CLASSES: Final = ("22", "23", "54")
"""SQLSTATE classes that blame the rows: data exception, integrity, limit exceeded (an index entry, JSON nesting)."""


def database_url(url: str) -> URL:
    """Return the URL with the driver in it. Raises BadRequest for a database other than PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise BadRequest(f"database.url names {parsed.get_backend_name()}; only postgresql:// is supported")
    return parsed.set(drivername="postgresql+asyncpg")


def make_engine(
    url: str, application_name: str, pool_size: int = 8, command_timeout_s: float | None = COMMAND_TIMEOUT_S
) -> AsyncEngine:
    """Return a pool of at most `pool_size` connections, opened when first needed."""
    engine = create_async_engine(
        database_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # the connection that is warm
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,  # they would be in the text of every error, and so in logs
        json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,
        connect_args=_connect_arguments(application_name, command_timeout_s),
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """Lend a pooled connection as asyncpg's own, for what is too hot for another layer.

    It is lent again only when its state is known. After a BEGIN that timed out asyncpg takes the next transaction for a
    nested one: its COMMIT would release a savepoint, say so, and be lost with the connection.
    """
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, asyncpg.Connection)  # noqa: S101 - the engine is ours
        try:
            yield driver
        except BaseException as error:
            if not (blames_content(error) or isinstance(error, CloudBayError)):
                await connection.invalidate()
            raise


async def driver_pool(engine: AsyncEngine, application_name: str, size: int) -> asyncpg.Pool[asyncpg.Record]:
    """Return a pool of asyncpg's own to an engine's database, for single reads; it connects when first needed."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    arguments = _connect_arguments(application_name, COMMAND_TIMEOUT_S)
    return await asyncpg.create_pool(url, min_size=0, max_size=size, reset=_nothing, **arguments)


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Turn a database that is down, slow or refusing into Unavailable; what blames the content passes as it is."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError, TimeoutError) as error:
        if blames_content(error):
            raise
        log.warning("database unavailable", extra={"error": type(error).__name__, "detail": _first_line(error)})
        raise Unavailable("the database cannot be reached now") from error


def blames_content(error: BaseException) -> bool:
    """Tell whether the database (or its driver) refuses the values themselves, so that a repeat cannot help."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(origin, asyncpg.DataError):
        return True
    sqlstate = getattr(origin, "sqlstate", None)
    return isinstance(sqlstate, str) and sqlstate[:2] in CONTENT_CLASSES


def _connect_arguments(application_name: str, command_timeout_s: float | None) -> dict[str, Any]:
    return {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": command_timeout_s,
        "server_settings": {
            "application_name": application_name,
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            "timezone": "UTC",
            "jit": "off",
        },
    }


async def _nothing(_: object) -> None:
    """A single read leaves nothing behind that had to be undone."""


def _refuse_closed(dbapi_connection: object, _record: ConnectionPoolEntry, _proxy: object) -> None:
    """Let the pool replace connections that a restarted server has closed, without a ping for each use."""
    driver = getattr(dbapi_connection, "driver_connection", None)
    if driver is not None and driver.is_closed():
        raise InvalidatePoolError


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
