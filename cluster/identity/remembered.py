"""What was found out about tokens, so that a signature that comes with every request is checked once.

Tokens are known by a digest; nothing that is secret is kept. What ends a token (its time, its session) is for who
remembers to look at, every time. Must not know: what is found out.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MAX_REMEMBERED: Final = 2048


class Remembered(Generic[T]):
    """The latest `max_remembered` tokens that were not known before."""

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._max = max_remembered
        self._found: dict[bytes, T] = {}

    def get(self, token: str) -> T | None:
        """Return what was found out about a token, None if nothing was."""
        return self._found.get(_digest(token))

    def keep(self, token: str, found: T) -> None:
        """Remember it; the oldest is forgotten."""
        if len(self._found) >= self._max:
            del self._found[next(iter(self._found))]
        self._found[_digest(token)] = found


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
