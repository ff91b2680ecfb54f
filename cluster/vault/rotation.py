"""A rotation: a new data key, and all that older ones have sealed is sealed anew, while the platform runs.

Old and new values are read all the time; the old keys stay for backups and for what is not rewritten (the frame log,
which ends by itself). A rotation that was interrupted goes on where it stopped. Must not know: tables, who wraps keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Final

from cluster.vault.keyring import KeyRing, made
from cluster.vault.ports import DataKey, DataKeys, KeyProvider, Progress, SealedRows

BATCH_ROWS: Final = 500


class Rotation:
    """Brings every sealed value to the newest data key."""

    def __init__(
        self,
        keys: DataKeys,
        provider: KeyProvider,
        rows: SealedRows,
        refresh_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._keys = keys
        self._provider = provider
        self._rows = rows
        self._refresh = timedelta(seconds=refresh_s)
        self._ring = KeyRing(keys, provider, refresh_s, clock)
        self._clock = clock

    async def begin(self) -> DataKey:
        """Return the key to bring everything to: of the rotation that was interrupted, else a new one.

        All data keys are wrapped with the wrapping key of today first. Raises Conflict when two begin at once.
        """
        await self._ring.open()
        stored = await self._keys.all()
        for key in stored:
            wrapped = await self._provider.rewrap(key.wrapped, key.label)
            if wrapped != key.wrapped:
                await self._keys.rewrap(key.key_id, wrapped)
        in_use = [key for key in stored if key.purpose == "seal" and key.retired_at is None]
        if len(in_use) > 1:
            return in_use[-1]
        new = await made(self._provider, stored[-1].key_id + 1, "seal", self._clock(), 2 * self._refresh)
        await self._keys.add(new)
        return new

    async def run(self, key: DataKey, batch_rows: int = BATCH_ROWS) -> AsyncIterator[Progress]:
        """Seal everything anew with `key`, telling how far it is after each batch; then retire the older keys.

        Raises Unavailable, after which it can be begun again, and SealBroken for a value that no key opens.
        """
        await self._until_everyone_seals_with(key)
        vault = await self._ring.open()

        def reseal(envelope: bytes, context: str) -> bytes:
            return vault.seal(vault.open(envelope, context), context)

        for place in self._rows.places():
            finished = False
            while not finished:
                progress = await self._rows.step(place, key.key_id, batch_rows, reseal)
                yield progress
                finished = progress.finished
        older = [k.key_id for k in await self._keys.all() if k.purpose == "seal" and k.key_id < key.key_id]
        await self._keys.retire(older, self._clock())

    async def _until_everyone_seals_with(self, key: DataKey) -> None:
        """Wait for the last process to take the key up; what is sealed after that needs no second look."""
        left = key.active_at + self._refresh - self._clock()
        await asyncio.sleep(max(0.0, left.total_seconds()))
