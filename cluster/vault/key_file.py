"""Wrapping keys in a file that only its owner can read: `<id> <base64>` a line, the last one wraps.

The file is made with the first data key. Without it nothing that was sealed can be read again: it belongs into the
backup, but not into the one of the database. Must not know: what data keys are for.
"""

from __future__ import annotations

import asyncio
import binascii
import os
import secrets
import tempfile
from base64 import b64decode, b64encode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.errors import Unavailable
from cluster.vault.ports import Wrapped
from cluster.vault.vault import SealBroken

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_PREFIX: Final = "file:"


class KeyFile:
    """KeyProvider on a local file. Wraps with AES-256-GCM, bound to the label."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def generate(self, label: str) -> tuple[bytes, Wrapped]:
        """Make a data key; makes the file first if there is none."""
        if not self._path.exists():
            await asyncio.to_thread(_create, self._path)
        key = secrets.token_bytes(_KEY_BYTES)
        return key, self._wrap(key, label)

    async def unwrap(self, wrapped: Wrapped, label: str) -> bytes:
        """Return the data key again. Raises Unavailable when its wrapping key is not in the file, SealBroken."""
        wrapping = self._read().get(wrapped.by.removeprefix(_PREFIX))
        if wrapping is None:
            raise Unavailable(f"the data keys are wrapped by {wrapped.by}, which is not in {self._path}")
        nonce, data = wrapped.data[:_NONCE_BYTES], wrapped.data[_NONCE_BYTES:]
        try:
            return AESGCM(wrapping).decrypt(nonce, data, label.encode())
        except InvalidTag:
            raise SealBroken("a wrapped data key has been changed or is another one") from None

    async def rewrap(self, wrapped: Wrapped, label: str) -> Wrapped:
        """Wrap with the last key of the file."""
        if wrapped.by == f"{_PREFIX}{list(self._read())[-1]}":
            return wrapped
        return self._wrap(await self.unwrap(wrapped, label), label)

    def add(self) -> str:
        """Add a wrapping key and return its id: it wraps from now on, and the others stay until they are removed."""
        key_id, line = _made()
        with suppress(FileNotFoundError):
            line = self._path.read_text() + line
        _replace(self._path, line)
        return key_id

    def _wrap(self, key: bytes, label: str) -> Wrapped:
        key_id, wrapping = list(self._read().items())[-1]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return Wrapped(f"{_PREFIX}{key_id}", nonce + AESGCM(wrapping).encrypt(nonce, key, label.encode()))

    def _read(self) -> dict[str, bytes]:
        """Return the wrapping keys by id, in the order of the file. Raises Unavailable."""
        try:
            pairs = (line.split() for line in self._path.read_text().splitlines() if line.strip())
            keys = {key_id: b64decode(text, validate=True) for key_id, text in pairs}
        except OSError as error:
            raise Unavailable(f"the key file {self._path} cannot be read: {error.strerror}") from error
        except (ValueError, binascii.Error):
            raise Unavailable(f"the key file {self._path} is damaged") from None
        if not keys or any(len(key) != _KEY_BYTES for key in keys.values()):
            raise Unavailable(f"the key file {self._path} is damaged")
        return keys


def _made() -> tuple[str, str]:
    key = secrets.token_bytes(_KEY_BYTES)
    key_id = sha256(key).hexdigest()[:8]
    return key_id, f"{key_id} {b64encode(key).decode()}\n"


def _create(path: Path) -> None:
    """Write the first key, unless another process is faster: a file that exists is whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = _private(path, _made()[1])
    with suppress(FileExistsError):
        os.link(new, path)
    new.unlink()


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _private(path, text).replace(path)


def _private(path: Path, text: str) -> Path:
    """Write a file beside `path`, down to the disk: a key that is lost takes all data with it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
