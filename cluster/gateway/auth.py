"""HTTP Basic credentials of a charging station (OCPP security profiles 1 and 2).

Must not know: which password is right; the host decides. Nothing here logs or repeats a credential.
"""

from __future__ import annotations

import base64
import binascii


class BadCredentials(Exception):
    """An Authorization header that cannot be this station's; the message is safe to send back."""


def basic_password(authorization: list[str], station_id: str) -> bytes | None:
    """Return the password of the request's Authorization headers, or None when there is none.

    RFC 7617: the user name ends at the first ':', so the password may contain more of them; it is returned as bytes
    because 1.6 stations may send a raw 20-byte key. The user name must be the station's identity (A00.FR.204,
    A00.FR.207); that is an identifierString, so case does not matter. Raises BadCredentials.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise BadCredentials("more than one Authorization header")
    scheme, _, token = authorization[0].strip().partition(" ")
    if scheme.lower() != "basic":
        raise BadCredentials("the Authorization scheme is not Basic")
    try:
        username, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
        name = username.decode()
    except (binascii.Error, ValueError):
        raise BadCredentials("the Authorization header is not valid base64 of user-name:password") from None
    if not colon:
        raise BadCredentials("the Authorization header has no ':' between user name and password")
    if name.casefold() != station_id.casefold():
        raise BadCredentials("the user name is not the station identity of the URL")
    return password
