"""`cloudbay keys`: the data keys of a platform that runs, listed and rotated from its own machine.

It speaks to the database and to the key provider, not to the API: keys are no affair of the network.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from actors.errors import BadRequest
from cluster import screens
from cluster.bootstrap.keys import key_file, open_rotation
from cluster.vault.keyring import current
from configs.settings import Settings

_SHOW_EVERY_S: Final = 2.0


async def list_keys(settings: Settings) -> None:
    """Print the data keys. Raises Unavailable."""
    async with open_rotation(settings) as (keys, _):
        stored = await keys.all()
        sealing = current(stored, datetime.now(UTC)).key_id if stored else None
        print(screens.keys(stored, sealing))


async def rotate_keys(settings: Settings, new_wrapping_key: bool) -> None:
    """Rotate, and print how far it is. Raises Unavailable, after which it can be begun again, and SealBroken."""
    if new_wrapping_key and settings.vault.provider != "file":
        raise BadRequest("wrapping keys of AWS KMS are rotated there; for another key set vault.kms_key_id")
    async with open_rotation(settings) as (keys, rotation):
        await keys.all()  # no wrapping key is made for a database that is away
        if new_wrapping_key:
            print(f"new wrapping key file:{key_file(settings).add()}")
        key = await rotation.begin()
        print(f"rotating to data key {key.key_id}, which seals from {key.active_at:%H:%M:%S} UTC on", flush=True)
        shown_at = time.monotonic()
        async for progress in rotation.run(key):
            if progress.finished or time.monotonic() - shown_at > _SHOW_EVERY_S:
                shown_at = time.monotonic()
                print(screens.rotation(progress), flush=True)
        print(f"all is sealed with data key {key.key_id}; the older keys stay, for backups and the frame log")
