"""Attempts counted in Valkey: one script, so that counting and deciding are one step for every process.

Must not know: what is attempted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from redis.asyncio import Redis

from cluster.bus.client import PREFIX, reachable
from cluster.identity.brakes import MAX_DOUBLINGS, Brake

_TAKE: Final = """
local now, most_doublings = tonumber(ARGV[1]), tonumber(ARGV[2])
local wait, levels = 0, {}
for i, key in ipairs(KEYS) do
  local kept = redis.call('HMGET', key, 'level', 'at', 'until')
  local level, at = tonumber(kept[1] or 0), tonumber(kept[2] or now)
  levels[i] = math.max(0, level - math.max(0, now - at) * tonumber(ARGV[i * 4]))
  wait = math.max(wait, tonumber(kept[3] or 0) - now)
end
if wait > 0 then return tostring(wait) end
for i, key in ipairs(KEYS) do
  local burst, per_s = tonumber(ARGV[i * 4 - 1]), tonumber(ARGV[i * 4])
  local first, most = tonumber(ARGV[i * 4 + 1]), tonumber(ARGV[i * 4 + 2])
  local level, delay = levels[i] + 1, 0
  if level > burst then
    delay = math.min(most, first * 2 ^ math.min(most_doublings, math.max(0, level - burst - 1)))
  end
  redis.call('HSET', key, 'level', string.format('%.6f', level), 'at', ARGV[1],
             'until', string.format('%.6f', now + delay))
  redis.call('EXPIRE', key, math.ceil(level / per_s + delay) + 1)
end
return '0'
"""
_GIVE_BACK: Final = """
local forget = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  if i <= forget then
    redis.call('DEL', key)
  else
    local kept = redis.call('HMGET', key, 'level', 'at')
    if kept[1] then
      redis.call('HSET', key, 'level', string.format('%.6f', math.max(0, tonumber(kept[1]) - 1)), 'until', kept[2])
    end
  end
end
"""


class ValkeyAttempts:
    """Attempts on Valkey; what is counted expires when it has leaked away."""

    def __init__(self, client: Redis, prefix: str = PREFIX) -> None:
        self._prefix = prefix
        self._take = client.register_script(_TAKE)
        self._give_back = client.register_script(_GIVE_BACK)

    async def take(self, brakes: Sequence[Brake], now: datetime) -> float:
        """Count an attempt on all brakes and return 0; if one is closed, count nothing and return the wait."""
        numbers = [repr(float(number)) for brake in brakes for number in brake[1:]]
        with reachable():
            wait = await self._take(self._keys(brakes), [f"{now.timestamp():.6f}", str(MAX_DOUBLINGS), *numbers])
        return float(wait)

    async def give_back(self, forget: Sequence[Brake], lower: Sequence[Brake]) -> None:
        """Forget some counters, lower others by one and open them."""
        with reachable():
            await self._give_back(self._keys([*forget, *lower]), [str(len(forget))])

    def _keys(self, brakes: Sequence[Brake]) -> list[str]:
        return [f"{self._prefix}:{{attempts}}:{brake.key}" for brake in brakes]
