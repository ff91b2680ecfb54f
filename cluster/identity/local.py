"""The access token of whoever can read this machine's data folder: the `cloudbay` command calls the API with it.

Must not know: HTTP, stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from cluster.identity.caller import Role
from cluster.identity.signing import AccessClaims, Signer

LOCAL_CLIENT: Final = "cloudbay-cli"
LOCAL_SUBJECT: Final = "local:cli"
"""Who acts, in the records: no person of the database, but somebody with the files of the platform."""


def local_token(keys: str, issuer: str, audiences: Sequence[str], roles: frozenset[Role], life_s: int) -> str:
    """Return an access token that is good for `life_s` seconds; `keys` are the issuer's, as `load_keys` reads them."""
    signer = Signer(keys, issuer, lambda: datetime.now(UTC), lambda: str(uuid4()))
    about = AccessClaims(LOCAL_SUBJECT, LOCAL_CLIENT, audiences, (), roles, datetime.now(UTC))
    return signer.access_token(about, life_s)
