"""What a refused request is told about how to be let in: the header WWW-Authenticate.

Sources: RFC 6750 section 3, RFC 9470 section 3, RFC 9110 section 11.6.1. Must not know: who may do what.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import HTTPConnection

from actors.errors import CloudBayError
from cluster.identity.oauth import ScopeMissing
from serve.access import InsufficientScope, StaleLogin

_REALM: Final = "cloudbay"
_NOT_IN_DESCRIPTIONS: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_UNAUTHENTICATED: Final = 401


def challenge(error: CloudBayError, *, has_token: bool) -> dict[str, str]:
    """Return the header for an error, none for one that no other token would mend."""
    said: dict[str, str] = {}
    if isinstance(error, InsufficientScope | ScopeMissing):
        said = {"error": "insufficient_scope", "scope": error.scope}
    elif isinstance(error, StaleLogin):
        said = {"error": "insufficient_user_authentication", "max_age": str(error.max_age_s)}
    elif error.http_status != _UNAUTHENTICATED:
        return {}
    elif has_token:  # whoever has sent none learns of no error: there was nothing to be wrong
        said = {"error": "invalid_token"}
    if said:
        said["error_description"] = _NOT_IN_DESCRIPTIONS.sub("'", str(error))
    pairs = [f'{name}="{value}"' for name, value in {"realm": _REALM, **said}.items()]
    return {"WWW-Authenticate": f"Bearer {', '.join(pairs)}"}


def carries_token(request: HTTPConnection) -> bool:
    """Tell whether a request has sent a bearer token in its header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())
