"""Data keys: who wraps them, the vault that uses them, and their rotation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cluster.bootstrap.connections import now
from cluster.embedded import EmbeddedPostgres
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.engine import make_engine
from cluster.store.sealed import PostgresSealedRows
from cluster.vault.key_file import KeyFile
from cluster.vault.keyring import KeyRing
from cluster.vault.ports import DataKeys, KeyProvider
from cluster.vault.rotation import Rotation
from cluster.vault.vault import Vault
from configs.settings import Settings


def key_provider(settings: Settings) -> KeyProvider:
    """Return who wraps the data keys."""
    vault = settings.vault
    if vault.provider == "aws-kms" and vault.kms_key_id is not None:
        from cluster.vault.aws_kms import AwsKms  # boto3 takes a while to import

        return AwsKms(vault.kms_key_id, vault.kms_region, vault.kms_endpoint_url)
    return key_file(settings)


def key_file(settings: Settings) -> KeyFile:
    """Return the local file of wrapping keys."""
    return KeyFile(settings.data_dir / "secrets" / "wrapping.keys")


async def make_first_keys(settings: Settings) -> None:
    """Make the data keys of a new database here, before processes on other machines look for them."""
    async with open_rotation(settings) as (keys, _):
        await KeyRing(keys, key_provider(settings), settings.vault.refresh_s, now).open()


async def open_vault(settings: Settings, keys: DataKeys, stack: AsyncExitStack) -> Vault:
    """Open the vault and keep its keys up to date until the stack is closed."""
    ring = KeyRing(keys, key_provider(settings), settings.vault.refresh_s, now)
    vault = await ring.open()
    stack.callback(asyncio.create_task(ring.run()).cancel)
    return vault


@asynccontextmanager
async def open_rotation(settings: Settings) -> AsyncIterator[tuple[DataKeys, Rotation]]:
    """Lend the data keys and what rotates them, on the database of a platform that runs."""
    url = settings.database.url or EmbeddedPostgres(settings.data_dir).url
    # The last look at a column goes through the whole table, however large.
    engine = make_engine(url, "cloudbay keys", pool_size=2, command_timeout_s=None)
    try:
        keys = PostgresDataKeys(engine)
        yield (
            keys,
            Rotation(keys, key_provider(settings), PostgresSealedRows(engine), settings.vault.refresh_s, clock=now),
        )
    finally:
        await engine.dispose()
