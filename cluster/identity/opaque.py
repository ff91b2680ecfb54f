"""Opaque secrets: made by machine, 256 random bits, kept only as a SHA-256.

A fast hash is enough because nobody can guess them; passwords of people are another matter (passwords.py).
Must not know: what a secret opens.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

_BYTES: Final = 32
_MAX_CHARS: Final = 512


def make_secret() -> str:
    """Make a secret of 43 characters that may stand in a URL."""
    return secrets.token_urlsafe(_BYTES)


def digest(secret: str) -> bytes:
    """Return what is kept of a secret: 32 bytes. A text too long to be one is cut, and so matches none."""
    return hashlib.sha256(secret[:_MAX_CHARS].encode()).digest()


def is_secret_of(secret: str, kept: bytes) -> bool:
    """Tell whether `kept` is the digest of `secret`, in a time that says nothing."""
    return hmac.compare_digest(digest(secret), kept)
