"""Who calls the API, as every part that decides or records sees them.

Must not know: HTTP, tokens, where people are kept.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

Role = Literal["admin", "operator", "production", "firmware", "support", "auditor"]
"""What staff may do. App users have none: what they may do follows from their relations to stations."""

ROLES: Final[frozenset[str]] = frozenset(get_args(Role))


class Caller(msgspec.Struct, frozen=True):
    """A person, or a machine with a key."""

    subject: str
    """The platform's own id of the person, or `key:<id>` of a machine's key."""
    issuer: str
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] | None = None
    """What a machine is limited to; None for a person, who is not."""
    logged_in_at: datetime | None = None
    """When the person last proved who they are; None for a machine."""
    session_id: str | None = None
