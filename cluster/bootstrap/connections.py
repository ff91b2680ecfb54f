"""Where the servers are, what time it is, and new ids."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from configs.settings import Settings


def database_url(settings: Settings) -> str:
    """Return where the database is. Raises ValueError before it is known."""
    if settings.database.url is None:
        raise ValueError("database.url is not filled in yet")
    return settings.database.url


def redis_url(settings: Settings) -> str:
    """Return where Valkey or Redis is. Raises ValueError before it is known."""
    if settings.redis.url is None:
        raise ValueError("redis.url is not filled in yet")
    return settings.redis.url


def new_id() -> str:
    """Return an id nobody else has."""
    return str(uuid4())


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)
