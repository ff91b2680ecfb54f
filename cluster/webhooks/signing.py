"""Signatures after the Standard Webhooks specification 1.0.0, symmetric scheme `v1`. Pure.

Must not know: where secrets are kept, how a request is sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""The specification asks for 24 to 64."""


def new_secret() -> bytes:
    """Return a secret that nobody can guess."""
    return secrets.token_bytes(SECRET_BYTES)


def shown_secret(secret: bytes) -> str:
    """Return a secret as its user is shown it ("Signature scheme", secret serialization)."""
    return PREFIX + base64.b64encode(secret).decode()


def signed_headers(message_id: str, at: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the three headers of a request that is sent `at` this moment ("Webhook headers").

    There is a signature for each key, so that a receiver goes on while it changes from the old key to the new one.
    Raises ValueError for an id with a full stop, which would make what is signed ambiguous.
    """
    if "." in message_id:
        raise ValueError("a message id may not hold a full stop")
    timestamp = str(int(at.timestamp()))
    content = b".".join([message_id.encode(), timestamp.encode(), body])
    digests = [hmac.new(key, content, hashlib.sha256).digest() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
