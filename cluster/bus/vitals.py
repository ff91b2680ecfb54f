"""What the processes of the API say of themselves, on Valkey: any of them can tell how all are.

A process that has said nothing for KEPT_S is left out, by the server's clock. Must not know: what is said, who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
from redis.asyncio import Redis

from actors.errors import Unavailable
from cluster.bus.client import PREFIX, reachable

EVERY_S: Final = 5.0
KEPT_S: Final = 3 * EVERY_S

Numbers = Mapping[str, float]

_TELL: Final = "return redis.call('HSET', KEYS[1], ARGV[1], redis.call('TIME')[1] .. ' ' .. ARGV[2])"
_LATEST: Final = """
local now, found, told = tonumber(redis.call('TIME')[1]), {}, redis.call('HGETALL', KEYS[1])
for i = 1, #told, 2 do
  local at, numbers = string.match(told[i + 1], '^(%d+) (.*)$')
  if now - tonumber(at) > tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], told[i])
  else
    found[#found + 1] = told[i]
    found[#found + 1] = numbers
  end
end
return found
"""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, float]).decode


class Vitals(Protocol):
    """Numbers of processes by their names. Raises Unavailable."""

    async def tell(self, process: str, numbers: Numbers) -> None:
        """Say how a process is now."""

    async def latest(self) -> Mapping[str, Numbers]:
        """Return what each process has said last, of those that go on saying something."""


class ValkeyVitals:
    """Vitals on one hash."""

    def __init__(self, client: Redis, prefix: str = PREFIX, kept_s: float = KEPT_S) -> None:
        self._key = f"{prefix}:vitals"
        self._kept_s = kept_s
        self._tell = client.register_script(_TELL)
        self._latest = client.register_script(_LATEST)

    async def tell(self, process: str, numbers: Numbers) -> None:
        """Say how a process is now."""
        with reachable():
            await self._tell([self._key], [process, _encode(numbers)])

    async def latest(self) -> Mapping[str, Numbers]:
        """Return what each process has said last."""
        with reachable():
            found: list[bytes] = await self._latest([self._key], [repr(self._kept_s)])
        return {name.decode(): _decode(numbers) for name, numbers in zip(found[::2], found[1::2], strict=True)}


async def telling(vitals: Vitals, process: str, numbers: Callable[[], Numbers], every_s: float = EVERY_S) -> None:
    """Say again and again how a process is, until cancelled; while nobody can hear it, nothing is lost."""
    while True:
        with contextlib.suppress(Unavailable):  # `metrics` shows that Valkey is away
            await vitals.tell(process, numbers())
        await asyncio.sleep(every_s)
