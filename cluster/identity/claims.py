"""What an access token says of its caller, read where its issuer's settings say the facts are.

Must not know: signatures, HTTP, where people are kept. Takes claims that were verified before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cluster.identity.caller import Role
from cluster.identity.errors import BadToken
from configs.identity import TrustedIssuer

_MAX_ID: Final = 255
"""OpenID Connect Core, section 2, of `sub`; the other ids have no bound of their own."""
_MAX_TEXT: Final = 320
"""The longest e-mail address (RFC 3696, section 3); no name is shown in more."""

Claims = Mapping[str, object]


class Identity(msgspec.Struct, frozen=True):
    """A caller as an issuer knows them. Only issuer and subject together tell people apart."""

    issuer: str
    subject: str
    client: str | None = None
    """The application that got the token."""
    name: str | None = None
    email: str | None = None
    """None when the issuer says that it has not verified it."""
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] = frozenset()
    logged_in_at: datetime | None = None
    """When the person last proved who they are; None for a machine, and when the issuer does not tell."""
    session_id: str | None = None
    is_machine: bool = False


def identity_of(claims: Claims, issuer: TrustedIssuer, now: datetime) -> Identity:
    """Return whom verified claims speak of. Raises BadToken when they name nobody."""
    mapping = issuer.claims
    subject = _text(value_at(claims, mapping.subject), _MAX_ID)
    if subject is None:
        raise BadToken("the access token does not say whom it is for; log in at an issuer that tells")
    client = _text(value_at(claims, mapping.client), _MAX_ID)
    is_machine = subject == client or (bool(mapping.machine) and has_all(claims, mapping.machine))
    return Identity(
        issuer=issuer.issuer,
        subject=subject,
        client=client,
        name=_text(value_at(claims, mapping.name), _MAX_TEXT),
        email=None if claims.get("email_verified") is False else _text(value_at(claims, mapping.email), _MAX_TEXT),
        roles=_roles(claims, issuer),
        scopes=frozenset(_words(value_at(claims, mapping.scopes))),
        logged_in_at=None if is_machine else _login(value_at(claims, mapping.logged_in_at), issuer, now),
        session_id=_text(value_at(claims, mapping.session_id), _MAX_ID),
        is_machine=is_machine,
    )


def value_at(claims: Claims, path: str | Sequence[str]) -> object:
    """Return what is at a path into nested claims, None when nothing is; a text is names joined by dots."""
    value: object = claims
    for name in path.split(".") if isinstance(path, str) else path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def texts(value: object) -> frozenset[str]:
    """Return the texts of a claim that is one text or a list of them (RFC 7519, section 4.1.3)."""
    values = value if isinstance(value, list) else [value]
    return frozenset(item for item in values if isinstance(item, str))


def has_all(claims: Claims, wanted: Mapping[str, str]) -> bool:
    """Tell whether the claims have all these values."""
    return all(claims.get(name) == value for name, value in wanted.items())


def _roles(claims: Claims, issuer: TrustedIssuer) -> frozenset[Role]:
    if issuer.claims.roles is None:
        return frozenset()
    names = issuer.claims.role_names
    return frozenset(names[name] for name in texts(value_at(claims, issuer.claims.roles)) if name in names)


def _words(value: object) -> frozenset[str]:
    """Return scopes from one text with spaces between them (RFC 8693, section 4.2), or from a list."""
    return frozenset(word for text in texts(value) for word in text.split())


def _login(value: object, issuer: TrustedIssuer, now: datetime) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        login = datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    # A login in the future would be a fresh one for as long as it stays there.
    return login if login <= now + timedelta(seconds=issuer.leeway_s) else None


def _text(value: object, max_length: int) -> str | None:
    """Return a text that can be stored and shown as it is; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable() else None
