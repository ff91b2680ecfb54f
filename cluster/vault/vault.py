"""Seals values for the database (AES-256-GCM) and hashes what is looked up by equality (HMAC-SHA-256).

Three methods are all that a store needs:

    vault.seal(value: bytes, context: str) -> bytes      an envelope, for a LargeBinary column
    vault.open(envelope: bytes, context: str) -> bytes   the value again
    vault.lookup(value: str, context: str) -> bytes      32 bytes, the same for the same value: for an index

The context of a sealed value is its place, `place("people.email", person_id)`: table and column, then the row's primary
key. What was sealed for one place opens at no other. The context of a lookup is its table and column alone.

An envelope tells how it is read, byte by byte: 0 the format, 1 the algorithm, 2 to 5 the id of the data key, 6 to 17
the nonce; then the ciphertext and its tag of 16 bytes. The first six bytes and the context are authenticated.
Must not know: tables, where keys come from.
"""

from __future__ import annotations

import hmac
import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple
from weakref import WeakMethod

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.errors import CloudBayError, Unavailable

HEADER_BYTES: Final = 6
OVERHEAD_BYTES: Final = HEADER_BYTES + 12 + 16
_AES_256_GCM: Final = b"\x01\x01"
_SEALS_A_COUNT: Final = 2**32


class SealBroken(CloudBayError):
    """A stored value is no envelope, has been changed, or was sealed for another place."""

    title = "Stored value unreadable"


class KeyMissing(Unavailable):
    """A stored value needs a key that this process does not have (yet)."""

    title = "Key missing"


def place(column: str, *key: str) -> str:
    """Name one value of one row: `column` is "table.column", `key` the row's primary key."""
    return "\0".join((column, *key))  # PostgreSQL stores no NUL, so two places never have one name


def header(key_id: int) -> bytes:
    """Return how every envelope of a data key begins."""
    return _AES_256_GCM + key_id.to_bytes(4, "big")


def sealed_with(envelope: bytes) -> int:
    """Return the id of the data key of an envelope. Raises SealBroken."""
    if len(envelope) < OVERHEAD_BYTES or envelope[:2] != _AES_256_GCM:
        raise SealBroken("a stored value is not sealed in a way that is known")
    return int.from_bytes(envelope[2:HEADER_BYTES], "big")


class Vault:
    """Seals and opens with data keys of 32 bytes by their ids; safe to use in threads and after a fork.

    Random nonces of 96 bits would allow 2**32 envelopes a key (NIST SP 800-38D, 8.3), which a large platform writes in
    a day. So a nonce begins with 64 random bits that belong to this vault in this process, and counts in the other 32:
    two of 100,000 vaults begin alike with a probability of 2**-32.
    """

    def __init__(self, keys: Mapping[int, bytes], current: int, lookup_key: bytes) -> None:
        self._lookup_key = lookup_key
        self._numbers = _new_numbers()
        self.take(keys, current)
        _when_forked(WeakMethod(self._begin_to_count))

    def __repr__(self) -> str:
        return f"Vault(keys={sorted(self._ciphers)}, current={self.current})"

    def take(self, keys: Mapping[int, bytes], current: int) -> None:
        """Replace the data keys; from now on `current` seals."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current = current
        self._sealing = _Sealing(self._ciphers[current], header(current), *self._numbers)

    def seal(self, value: bytes, context: str) -> bytes:
        """Return the envelope of a value for the place that `context` names."""
        cipher, head, prefix, counts = self._sealing
        count = next(counts)
        if count >= _SEALS_A_COUNT:
            self._begin_to_count()
            return self.seal(value, context)
        nonce = prefix + count.to_bytes(4, "big")
        return head + nonce + cipher.encrypt(nonce, value, head + context.encode())

    def open(self, envelope: bytes, context: str) -> bytes:
        """Return what was sealed for this place. Raises SealBroken, KeyMissing."""
        key_id = sealed_with(envelope)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyMissing(f"data key {key_id} is not known here")
        try:
            return cipher.decrypt(envelope[6:18], envelope[18:], envelope[:6] + context.encode())
        except InvalidTag:
            raise SealBroken("a stored value has been changed or moved") from None

    def lookup(self, value: str, context: str) -> bytes:
        """Return the keyed hash of a value, without regard to case, outer blanks and how accents are composed."""
        normal = unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).strip().lower())
        message = f"{context}\0{normal}".encode(errors="surrogatepass")
        return hmac.digest(self._lookup_key, message, "sha256")

    def _begin_to_count(self) -> None:
        self._numbers = _new_numbers()
        self._sealing = _Sealing(self._sealing.cipher, self._sealing.head, *self._numbers)


class _Sealing(NamedTuple):
    """What seals; replaced as one, so that no envelope names another key than its own and no nonce is used twice."""

    cipher: AESGCM
    head: bytes
    prefix: bytes
    counts: Iterator[int]


def _new_numbers() -> tuple[bytes, Iterator[int]]:
    return os.urandom(8), itertools.count()


def _when_forked(method: WeakMethod[Callable[[], None]]) -> None:
    """Call a method in each forked child, which must not go on with its parent's count."""

    def call() -> None:
        if (alive := method()) is not None:
            alive()

    os.register_at_fork(after_in_child=call)
