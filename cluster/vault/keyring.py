"""Opens the vault of a process and keeps its keys up to date; makes the first keys of a new database.

Every process looks for new data keys each `refresh_s`, and a new one seals only after twice that time: whoever reads a
value has then had the chance to learn its key. Must not know: where keys are kept, who wraps them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from actors.errors import CloudBayError, Conflict
from cluster.vault.ports import DataKey, DataKeys, KeyProvider, Purpose
from cluster.vault.vault import Vault

log = logging.getLogger(__name__)

_LOOKUP_ID: Final = 1
_FIRST_SEALING_ID: Final = 2


class KeyRing:
    """The data keys of one process, unwrapped; they are in its memory only."""

    def __init__(self, keys: DataKeys, provider: KeyProvider, refresh_s: float, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._provider = provider
        self._refresh_s = refresh_s
        self._clock = clock
        self._plain: dict[int, bytes] = {}
        self._vault: Vault | None = None

    async def open(self) -> Vault:
        """Return the vault, once; makes the first keys. Raises Unavailable, SealBroken."""
        stored = await self._keys.all()
        if {key.purpose for key in stored} != {"lookup", "seal"}:
            stored = await self._first()
        await self._unwrap(stored)
        lookup = next(key.key_id for key in stored if key.purpose == "lookup")
        self._vault = Vault(self._sealing(stored), current(stored, self._clock()).key_id, self._plain[lookup])
        return self._vault

    async def refresh(self) -> None:
        """Learn what keys there are now, and which of them seals."""
        if self._vault is None:
            raise RuntimeError("the vault is not open")
        stored = await self._keys.all()
        await self._unwrap(stored)
        self._vault.take(self._sealing(stored), current(stored, self._clock()).key_id)

    async def run(self) -> None:
        """Refresh until cancelled; without a database or provider the keys stay as they are."""
        away = False
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                await self.refresh()
                away = False
            except CloudBayError as error:
                if not away:
                    log.warning("data keys cannot be refreshed", extra={"reason": str(error)})
                away = True

    async def _first(self) -> list[DataKey]:
        purposes: list[tuple[int, Purpose]] = [(_LOOKUP_ID, "lookup"), (_FIRST_SEALING_ID, "seal")]
        for key_id, purpose in purposes:
            try:
                await self._keys.add(await made(self._provider, key_id, purpose, self._clock(), timedelta()))
            except Conflict:
                continue  # another process was faster, and its key is the one
        return await self._keys.all()

    async def _unwrap(self, stored: Sequence[DataKey]) -> None:
        for key in stored:
            if key.key_id not in self._plain:
                self._plain[key.key_id] = await self._provider.unwrap(key.wrapped, key.label)

    def _sealing(self, stored: Sequence[DataKey]) -> dict[int, bytes]:
        return {key.key_id: self._plain[key.key_id] for key in stored if key.purpose == "seal"}


def current(stored: Sequence[DataKey], now: datetime) -> DataKey:
    """Return the key that seals now: the newest that is active."""
    sealing = [key for key in stored if key.purpose == "seal"]
    active = [key for key in sealing if key.active_at <= now]
    return max(active or sealing[:1], key=lambda key: key.key_id)


async def made(provider: KeyProvider, key_id: int, purpose: Purpose, now: datetime, active_after: timedelta) -> DataKey:
    """Make a data key; its plain bytes are forgotten at once."""
    label = f"{purpose} {key_id}"
    _, wrapped = await provider.generate(label)
    return DataKey(key_id, purpose, wrapped, now, now + active_after)
