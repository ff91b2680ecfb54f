"""The connection to Valkey or Redis: short time-outs, no silent repeats, one error for all that can go wrong.

Must not know: which streams there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from actors.errors import Unavailable

TIMEOUT_S: Final = 5.0
PREFIX: Final = "cloudbay"


def make_client(url: str, client_name: str) -> Redis:
    """Return a client that connects when first needed and again after every failure."""
    return Redis.from_url(
        url,
        client_name=client_name,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a server that is down, slow or refusing into Unavailable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Valkey cannot be reached now ({type(error).__name__})") from error
