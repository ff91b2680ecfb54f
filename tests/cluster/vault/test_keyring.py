"""How processes come to their keys, and agree on the one that seals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from actors.errors import Unavailable
from cluster.vault.keyring import KeyRing, made
from cluster.vault.ports import DataKey
from tests.twins.vault import MemoryDataKeys, MemoryProvider

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CONTEXT = "people.email\0p-1"


class Platform:
    """Processes on one database; `now` is the time of all."""

    def __init__(self) -> None:
        self.keys = MemoryDataKeys()
        self.provider = MemoryProvider()
        self.now = NOON

    def process(self, refresh_s: float = 30.0) -> KeyRing:
        return KeyRing(self.keys, self.provider, refresh_s, lambda: self.now)

    async def add_key(self, active_after_s: float) -> DataKey:
        key = await made(self.provider, max(self.keys.keys) + 1, "seal", self.now, timedelta(seconds=active_after_s))
        await self.keys.add(key)
        return key


@pytest.fixture
def platform() -> Platform:
    return Platform()


async def test_processes_that_start_together_have_the_same_keys(platform: Platform) -> None:
    first, second = await asyncio.gather(platform.process().open(), platform.process().open())
    assert second.open(first.seal(b"anna", CONTEXT), CONTEXT) == b"anna"
    assert second.lookup("anna", "people.email") == first.lookup("anna", "people.email")
    assert [(key.key_id, key.purpose) for key in await platform.keys.all()] == [(1, "lookup"), (2, "seal")]


async def test_a_start_that_was_cut_short_is_completed(platform: Platform) -> None:
    await platform.keys.add(await made(platform.provider, 1, "lookup", NOON, timedelta()))
    assert (await platform.process().open()).current == 2


async def test_hashes_and_envelopes_have_keys_of_their_own(platform: Platform) -> None:
    await platform.process().open()
    plain = [await platform.provider.unwrap(key.wrapped, key.label) for key in await platform.keys.all()]
    assert len(set(plain)) == 2


async def test_a_new_key_is_known_to_everyone_before_it_seals(platform: Platform) -> None:
    early, late = platform.process(), platform.process()
    first, second = await early.open(), await late.open()
    new = await platform.add_key(active_after_s=60)

    await early.refresh()
    assert first.current == 2
    platform.now += timedelta(seconds=60)
    await late.refresh()
    assert second.current == new.key_id
    assert first.open(second.seal(b"anna", CONTEXT), CONTEXT) == b"anna", "the other has known the key for a minute"
    await early.refresh()
    assert first.current == new.key_id


async def test_a_process_keeps_its_keys_while_the_database_is_away(platform: Platform) -> None:
    ring = platform.process(refresh_s=0.01)
    vault = await ring.open()
    platform.keys.down = True
    keeping = asyncio.create_task(ring.run())
    with pytest.raises(Unavailable):
        await ring.refresh()
    sealed = vault.seal(b"anna", CONTEXT)
    new = await platform.add_key(active_after_s=0)
    platform.keys.down = False
    async with asyncio.timeout(5):
        while vault.current != new.key_id:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    assert vault.open(sealed, CONTEXT) == b"anna"
    keeping.cancel()


async def test_a_key_is_unwrapped_once_in_a_process(platform: Platform) -> None:
    ring = platform.process()
    await ring.open()
    for _ in range(3):
        await ring.refresh()
    assert platform.provider.unwrapped == 2


async def test_without_its_wrapping_keys_nothing_starts(platform: Platform) -> None:
    await platform.process().open()
    platform.provider.down = True
    with pytest.raises(Unavailable, match="wrapping keys"):
        await platform.process().open()
