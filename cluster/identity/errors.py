"""What is wrong with who calls. The texts are for callers: what to do, and nothing of how a token was looked at."""

from __future__ import annotations

from actors.errors import CloudBayError


class BadToken(CloudBayError):
    """There is no access token, or it is not one that this API takes now (RFC 6750, section 3.1: invalid_token)."""

    http_status = 401
    title = "Not authenticated"
