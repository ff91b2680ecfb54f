"""Station passwords: made by machine, kept only as a keyed hash.

Must not know: HTTP, stores, who asks.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b

_KEY_BYTES_MIN = 16
_HEX_KEY = re.compile(rb"(?:[0-9A-Fa-f]{2}){16,20}")


def make_password() -> str:
    """Make a password of 160 random bits, written as 40 hexadecimal digits.

    Every OCPP version can carry it: it is a passwordString of 16 to 40 characters (A00.FR.205) and also the text form
    of a 20-byte AuthorizationKey (OCPP-J 1.6 section 6).
    """
    return secrets.token_hex(20)


def digest(password: bytes, key: bytes) -> str:
    """Return the keyed BLAKE2b hash of a station's password as 64 hexadecimal digits.

    A fast hash is enough because passwords are made by machine. Text of 32 to 40 hexadecimal digits counts as the bytes
    it spells: a 1.6 station is given its AuthorizationKey as such text and may send either form back. `key` has 16 to
    64 bytes, else ValueError.
    """
    if len(key) < _KEY_BYTES_MIN:
        raise ValueError(f"the password key has {len(key)} bytes; at least {_KEY_BYTES_MIN} are needed")
    if _HEX_KEY.fullmatch(password):
        password = bytes.fromhex(password.decode())
    return blake2b(password, key=key, digest_size=32).hexdigest()
