"""A rotation on stores in memory: what it does with keys and values, whatever interrupts it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors.errors import Unavailable
from cluster.vault.keyring import KeyRing
from cluster.vault.ports import Progress
from cluster.vault.rotation import Rotation
from cluster.vault.vault import SealBroken, Vault, sealed_with
from tests.twins.vault import MemoryDataKeys, MemoryProvider, MemorySealedRows

REFRESH_S = 0.01


def now() -> datetime:
    return datetime.now(UTC)


class Platform:
    """A database with ten sealed values, and a process that runs all the time."""

    def __init__(self) -> None:
        self.keys = MemoryDataKeys()
        self.provider = MemoryProvider()
        self.rows = MemorySealedRows()
        self.ring = KeyRing(self.keys, self.provider, REFRESH_S, now)
        self.vault: Vault

    async def start(self) -> None:
        self.vault = await self.ring.open()
        for number in range(10):
            self.rows.values[f"memory.value\0{number}"] = self.vault.seal(b"%d" % number, f"memory.value\0{number}")

    def rotation(self) -> Rotation:
        return Rotation(self.keys, self.provider, self.rows, REFRESH_S, now)

    def keys_in_use(self) -> set[int]:
        return {sealed_with(value) for value in self.rows.values.values()}

    def contents(self) -> list[bytes]:
        return [self.vault.open(value, context) for context, value in self.rows.values.items()]


@pytest.fixture
async def platform() -> Platform:
    it = Platform()
    await it.start()
    return it


async def rotated(platform: Platform) -> list[Progress]:
    rotation = platform.rotation()
    key = await rotation.begin()
    return [progress async for progress in rotation.run(key, batch_rows=4)]


async def test_everything_is_sealed_with_the_new_key_and_the_old_one_is_retired(platform: Platform) -> None:
    progress = await rotated(platform)
    await platform.ring.refresh()
    assert platform.keys_in_use() == {3}
    assert platform.contents() == [b"%d" % number for number in range(10)]
    assert [step.resealed for step in progress] == [4, 8, 10]
    assert [(k.key_id, k.retired_at is None) for k in await platform.keys.all()] == [(1, True), (2, False), (3, True)]


async def test_while_it_goes_on_old_and_new_values_are_read(platform: Platform) -> None:
    rotation = platform.rotation()
    key = await rotation.begin()
    await platform.ring.refresh()
    async for _ in rotation.run(key, batch_rows=3):
        assert platform.contents() == [b"%d" % number for number in range(10)]


async def test_the_new_key_seals_nothing_before_everyone_knows_it(platform: Platform) -> None:
    rotation = platform.rotation()
    key = await rotation.begin()
    assert (key.active_at - key.created_at).total_seconds() == 2 * REFRESH_S
    async for _ in rotation.run(key):
        assert (now() - key.active_at).total_seconds() >= REFRESH_S


async def test_one_that_was_interrupted_goes_on(platform: Platform) -> None:
    first = platform.rotation()
    key = await first.begin()
    async for _ in first.run(key, batch_rows=4):
        break
    assert platform.keys_in_use() == {2, 3}
    again = platform.rotation()
    assert await again.begin() == key
    steps = [progress async for progress in again.run(key, batch_rows=4)]
    assert [step.resealed for step in steps] == [8, 10]
    assert platform.keys_in_use() == {3}


async def test_the_next_one_makes_the_next_key(platform: Platform) -> None:
    await rotated(platform)
    await rotated(platform)
    assert platform.keys_in_use() == {4}


async def test_data_keys_are_wrapped_by_the_wrapping_key_of_today(platform: Platform) -> None:
    platform.provider.renew()
    await platform.rotation().begin()
    assert {key.wrapped.by for key in await platform.keys.all()} == {"memory:2"}
    started_later = await KeyRing(platform.keys, platform.provider, REFRESH_S, now).open()
    context, value = next(iter(platform.rows.values.items()))
    assert started_later.open(value, context) == b"0"


async def test_a_value_that_no_key_opens_ends_it_and_the_old_key_stays_in_use(platform: Platform) -> None:
    platform.rows.values["memory.value\0x"] = platform.rows.values["memory.value\0" + "1"]
    with pytest.raises(SealBroken):
        await rotated(platform)
    assert [key.retired_at for key in await platform.keys.all()] == [None, None, None]


async def test_without_wrapping_keys_nothing_has_begun(platform: Platform) -> None:
    platform.provider.down = True
    with pytest.raises(Unavailable):
        await platform.rotation().begin()
    assert len(await platform.keys.all()) == 2
