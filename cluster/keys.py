"""The platform's own secrets: made on first use, kept in files only their owner can read."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

_KEY_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """What signs API tokens, and what station passwords are hashed with; 32 bytes each."""

    token: bytes = field(repr=False)
    password: bytes = field(repr=False)


def load_keys(data_dir: Path) -> Keys:
    """Read the keys of this data folder; make those that do not exist."""
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keys(token=_key(folder / "token.key"), password=_key(folder / "password.key"))


def _key(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(_KEY_BYTES)
        file.write(key)
    return key
