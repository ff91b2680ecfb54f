"""The platform's own secrets: made on first use, kept in files only their owner can read."""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cluster.identity.signing import make_signing_keys

_KEY_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """What signs API tokens, and what station passwords are hashed with; 32 bytes each."""

    token: bytes = field(repr=False)
    password: bytes = field(repr=False)
    issuer: str = field(repr=False)
    """The embedded issuer's signing keys: a private JSON Web Key set."""


def load_keys(data_dir: Path) -> Keys:
    """Read the keys of this data folder; make those that do not exist."""
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keys(
        token=_key(folder / "token.key"),
        password=_key(folder / "password.key"),
        issuer=_signing_keys(folder / "issuer.jwks"),
    )


def derived(key: bytes, purpose: str) -> bytes:
    """Return a key for one purpose, of 32 bytes, from which the key itself cannot be told."""
    return hmac.digest(key, purpose.encode(), "sha256")


def _key(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(_KEY_BYTES)
        file.write(key)
    return key


def _signing_keys(path: Path) -> str:
    """Read the signing keys; make them whole before they have their name, so that nobody reads half of them."""
    if not path.exists():
        made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(make_signing_keys())
        with suppress(FileExistsError):  # another process was faster
            os.link(made, path)
        made.unlink()
    return path.read_text()
