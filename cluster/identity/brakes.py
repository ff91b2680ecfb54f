"""Brakes on guessing passwords: per account, per address and for everybody, with delays that double.

Every attempt is counted before it is known how it ends, so a thousand at once gain nothing; one that succeeds is taken
back. An account that does not exist is counted like any other. What is counted leaks away with time.
Must not know: Valkey, SQL, what is attempted.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from actors.errors import TooMany, Unavailable

T = TypeVar("T")

log = logging.getLogger(__name__)

_STAY_AWAY: Final = timedelta(seconds=10)
"""How long the fallback counts before the first choice is tried again; each try may cost a time-out."""
MAX_DOUBLINGS: Final = 30
_SITE_BITS_V6: Final = 64


class Brake(NamedTuple):
    """One counter: `burst` attempts are free, `per_s` of them are forgotten a second, delays double up to a bound."""

    key: str
    burst: int
    per_s: float
    first_delay_s: float
    max_delay_s: float

    def delay_s(self, level: float) -> float:
        """Return how long to wait after the attempt that has brought the counter to `level`."""
        if level <= self.burst:
            return 0.0
        doublings = min(MAX_DOUBLINGS, max(0.0, level - self.burst - 1))
        return min(self.max_delay_s, self.first_delay_s * math.exp2(doublings))


class Counter(NamedTuple):
    """What is kept of a brake."""

    level: float
    at: datetime
    closed_until: datetime

    def leaked(self, brake: Brake, now: datetime) -> float:
        """Return the level now."""
        return max(0.0, self.level - max(0.0, (now - self.at).total_seconds()) * brake.per_s)

    def struck(self, brake: Brake, now: datetime) -> Counter:
        """Return the counter after one more attempt."""
        level = self.leaked(brake, now) + 1
        return Counter(level, now, now + timedelta(seconds=brake.delay_s(level)))

    def given_back(self) -> Counter:
        """Return the counter without its last attempt, and open."""
        return Counter(max(0.0, self.level - 1), self.at, self.at)


class Attempts(Protocol):
    """Where attempts are counted; each method is atomic. Raises Unavailable."""

    async def take(self, brakes: Sequence[Brake], now: datetime) -> float:
        """Count an attempt on all brakes and return 0; if one is closed, count nothing and return the wait."""

    async def give_back(self, forget: Sequence[Brake], lower: Sequence[Brake]) -> None:
        """Take a successful attempt back: forget some counters, lower others by one and open them."""


class BrakeLimits(msgspec.Struct, frozen=True):
    """How many attempts are free, how fast they are forgotten, and the bounds of the delays."""

    account_burst: int = 5
    account_per_hour: float = 10.0
    address_burst: int = 50
    address_per_hour: float = 200.0
    total_burst: int = 500
    total_per_hour: float = 20_000.0
    first_delay_s: float = 1.0
    max_delay_s: float = 900.0
    max_total_delay_s: float = 5.0


class TooManyAttempts(TooMany):
    """Too many attempts at this account, from this address, or at all; the same text for each."""

    title = "Too many attempts"

    def __init__(self, wait_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(wait_s))
        super().__init__(f"too many attempts; try again in {self.retry_after_s} s")


class Brakes:
    """Counts in `first`, and in `fallback` while that is away; names are kept as hashes with `key`."""

    def __init__(
        self, first: Attempts, fallback: Attempts, limits: BrakeLimits, key: bytes, clock: Callable[[], datetime]
    ) -> None:
        self._first = first
        self._fallback = fallback
        self._limits = limits
        self._key = key
        self._clock = clock
        self._away_until: datetime | None = None

    async def attempt(self, account: str, address: str) -> None:
        """Count an attempt. Raises TooManyAttempts, and Unavailable when nobody can count: then nobody gets in."""
        brakes = (self._account(account), self._address(address), self._everybody())
        now = self._clock()
        wait_s = await self._counted(lambda attempts: attempts.take(brakes, now))
        if wait_s > 0:
            raise TooManyAttempts(wait_s)

    async def succeeded(self, account: str, address: str) -> None:
        """Take an attempt back and forget the account's failures."""
        forget, lower = [self._account(account)], [self._address(address), self._everybody()]
        await self._counted(lambda attempts: attempts.give_back(forget, lower))

    async def _counted(self, ask: Callable[[Attempts], Awaitable[T]]) -> T:
        now = self._clock()
        if self._away_until is None or now >= self._away_until:
            try:
                counted = await ask(self._first)
            except Unavailable as error:
                if self._away_until is None:
                    log.warning("attempts are counted in the database", extra={"error": str(error)})
                self._away_until = now + _STAY_AWAY
            else:
                self._away_until = None
                return counted
        return await ask(self._fallback)

    def _account(self, account: str) -> Brake:
        limits = self._limits
        return self._brake("account", account, limits.account_burst, limits.account_per_hour)

    def _address(self, address: str) -> Brake:
        limits = self._limits
        return self._brake("address", network_of(address), limits.address_burst, limits.address_per_hour)

    def _everybody(self) -> Brake:
        limits = self._limits
        per_s = limits.total_per_hour / 3600
        return Brake("everybody", limits.total_burst, per_s, limits.first_delay_s, limits.max_total_delay_s)

    def _brake(self, kind: str, name: str, burst: int, per_hour: float) -> Brake:
        hidden = hmac.new(self._key, f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()
        limits = self._limits
        return Brake(f"{kind}:{hidden}", burst, per_hour / 3600, limits.first_delay_s, limits.max_delay_s)


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 that an IPv6 site has to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _SITE_BITS_V6), strict=False))
    return str(parsed)
