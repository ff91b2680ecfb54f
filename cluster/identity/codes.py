"""Codes that stand for an offer: 100 random bits in letters that people read to each other without mistakes.

No guess of a hundred bits comes true, so that the codes need no counter of attempts; what is kept is a keyed hash.
Must not know: what a code is good for, where it is kept.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from typing import Final

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_LENGTH: Final = 20
_GROUP: Final = 4
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})
_PURPOSE: Final = b"offer code"
"""Keeps these hashes apart from others under the same key."""


def make_code() -> str:
    """Make a code like `7ZKM-04QX-P8TE-6D3W-HN1R`."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return "-".join(letters[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))


def code_digest(code: str, key: bytes) -> str:
    """Return the keyed hash of a code, however it was typed: case, spaces, dashes, O for 0 and I or L for 1."""
    letters = re.sub(r"[\s-]", "", code).upper().translate(_READ_AS)
    return blake2b(letters.encode(), key=key, digest_size=32, person=_PURPOSE).hexdigest()
