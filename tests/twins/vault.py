"""KeyProvider, DataKeys and SealedRows in memory, and a vault with keys that never change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from actors.errors import Conflict, Unavailable
from cluster.vault.ports import DataKey, Progress, Wrapped
from cluster.vault.vault import SealBroken, Vault, sealed_with


def fixed_vault() -> Vault:
    """Return a vault for tests of what it is used by."""
    return Vault({2: b"s" * 32}, 2, b"l" * 32)


class MemoryProvider:
    """KeyProvider whose wrapping keys are numbers; `renew` gives it another one, `down` makes it fail."""

    def __init__(self) -> None:
        self.newest = 1
        self.down = False
        self.unwrapped = 0
        self._keys: dict[bytes, tuple[str, bytes]] = {}

    def renew(self) -> None:
        """Wrap with another key from now on."""
        self.newest += 1

    async def generate(self, label: str) -> tuple[bytes, Wrapped]:
        """Make a data key: another one each time, the same in each test."""
        self._reach()
        key = hashlib.sha256(f"data key {len(self._keys)}".encode()).digest()
        return key, self._wrap(key, label)

    async def unwrap(self, wrapped: Wrapped, label: str) -> bytes:
        """Return the data key again."""
        self._reach()
        self.unwrapped += 1
        bound, key = self._keys.get(wrapped.data, ("", b""))
        if bound != label:
            raise SealBroken("a wrapped data key has been changed or is another one")
        return key

    async def rewrap(self, wrapped: Wrapped, label: str) -> Wrapped:
        """Wrap with the newest key."""
        if wrapped.by == f"memory:{self.newest}":
            return wrapped
        return self._wrap(await self.unwrap(wrapped, label), label)

    def _wrap(self, key: bytes, label: str) -> Wrapped:
        data = f"wrapped {len(self._keys)}".encode()
        self._keys[data] = (label, key)
        return Wrapped(f"memory:{self.newest}", data)

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the wrapping keys cannot be reached now")


class MemoryDataKeys:
    """DataKeys in memory; `down` makes it fail."""

    def __init__(self) -> None:
        self.keys: dict[int, DataKey] = {}
        self.down = False

    async def all(self) -> list[DataKey]:
        """Return every data key, by id."""
        if self.down:
            raise Unavailable("the database cannot be reached now")
        return [self.keys[key_id] for key_id in sorted(self.keys)]

    async def add(self, key: DataKey) -> None:
        """Keep a new one."""
        if key.key_id in self.keys:
            raise Conflict(f"there is a data key {key.key_id} already")
        self.keys[key.key_id] = key

    async def rewrap(self, key_id: int, wrapped: Wrapped) -> None:
        """Replace how one is wrapped."""
        self.keys[key_id] = msgspec.structs.replace(self.keys[key_id], wrapped=wrapped)

    async def retire(self, key_ids: Sequence[int], at: datetime) -> None:
        """Note that nothing is sealed with these any more."""
        for key_id in key_ids:
            if self.keys[key_id].retired_at is None:
                self.keys[key_id] = msgspec.structs.replace(self.keys[key_id], retired_at=at)


class MemorySealedRows:
    """SealedRows in memory: `values` by context, all of one place."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self._done: dict[int, Progress] = {}

    def places(self) -> Sequence[str]:
        """Return every place."""
        return ["memory.value"]

    async def step(self, place: str, key_id: int, limit: int, reseal: Callable[[bytes, str], bytes]) -> Progress:
        """Seal the next few values anew."""
        old = [context for context, value in self.values.items() if sealed_with(value) != key_id]
        for context in old[:limit]:
            self.values[context] = reseal(self.values[context], context)
        before = self._done.get(key_id, Progress(place, 0, 0, finished=False))
        count = len(old[:limit])
        self._done[key_id] = Progress(place, before.rows + count, before.resealed + count, len(old) <= limit)
        return self._done[key_id]
