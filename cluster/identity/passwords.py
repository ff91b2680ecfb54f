"""Passwords of people: hashed with argon2id on threads of their own, a few at a time.

An attempt on an account that does not exist costs the same work as one that does.
Must not know: whose password it is, where it is kept.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from actors.errors import BadRequest, TooMany

T = TypeVar("T")

MAX_CHARS: Final = 256
_MAX_WAITING_EACH: Final = 32
_ONE_TIME_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: it is read from a screen and typed
_ONE_TIME_GROUPS: Final = 4
_ONE_TIME_CHARS: Final = 5


class WeakPassword(BadRequest):
    """A new password that is too easy to guess."""

    title = "Password too weak"


class Passwords:
    """Hashes and checks passwords (argon2id, RFC 9106); `max_at_once` bounds memory and CPU, a bounded queue waits."""

    def __init__(
        self, memory_kib: int = 65536, iterations: int = 3, lanes: int = 4, max_at_once: int = 2, min_chars: int = 12
    ) -> None:
        self._hasher = PasswordHasher(time_cost=iterations, memory_cost=memory_kib, parallelism=lanes)
        self._pool = ThreadPoolExecutor(max_at_once, "argon2")
        self._max_waiting = max_at_once * _MAX_WAITING_EACH
        self._waiting = 0
        self._min_chars = min_chars
        self.rule = f"a password has {min_chars} to {MAX_CHARS} characters"
        """What people are told before they choose one."""
        self._nobodys = self._hasher.hash(secrets.token_urlsafe())

    async def matches(self, password: str, kept: str | None) -> bool:
        """Tell whether `kept` is the hash of a password; None (nobody's) takes as long. Raises TooMany."""
        right = await self._off_the_loop(lambda: self._verified(password, kept or self._nobodys))
        return right and kept is not None

    async def hashed(self, password: str) -> str:
        """Return the hash to keep. Raises TooMany."""
        return await self._off_the_loop(lambda: self._hasher.hash(_normal(password)))

    def outdated(self, kept: str) -> bool:
        """Tell whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def check_new(self, password: str, login: str) -> None:
        """Raise WeakPassword unless a new password is long enough and not the login name (NIST SP 800-63B)."""
        normal = _normal(password)
        if not self._min_chars <= len(normal) <= MAX_CHARS:
            raise WeakPassword(self.rule)
        if login and login.casefold() in normal.casefold():
            raise WeakPassword("the password must not contain the login name")
        if len(set(normal)) < self._min_chars // 2:
            raise WeakPassword("the password repeats too few characters")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verified(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept, _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _off_the_loop(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._max_waiting:
            raise TooMany("too many people log in at this moment; try again in some seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def make_one_time_password() -> str:
    """Make a password of 100 random bits that is easy to read and type."""
    groups = (
        "".join(secrets.choice(_ONE_TIME_ALPHABET) for _ in range(_ONE_TIME_CHARS)) for _ in range(_ONE_TIME_GROUPS)
    )
    return "-".join(groups)


def _normal(password: str) -> str:
    """Return one spelling for all ways to type the same characters; what no password can be is cut."""
    return unicodedata.normalize("NFKC", password[: MAX_CHARS * 4])
