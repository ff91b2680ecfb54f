"""One entry of the audit log: who did what, on what, when, from where, and how it ended.

An entry is made to be stored whatever a caller sends: texts are bounded, what PostgreSQL cannot hold is replaced, and
what looks like a secret is hidden. Its text form is the one that is hashed, so it never changes.
Must not know: HTTP, where entries are kept, how they are chained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from cluster.identity.caller import Caller

MAX_ID: Final = 200
MAX_TEXT: Final = 500
MAX_DETAILS: Final = 32
HIDDEN: Final = "(hidden)"

_SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase|code)|secret|token|credential|cookie|authori[sz]ation|assertion|(api|private|access).?key|otp$",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|\b(?:bearer|basic)\s+[\w+/=.~-]{8,}"
    r"|\bwhsec_[\w+/=-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.IGNORECASE | re.DOTALL,
)


class Target(NamedTuple):
    """What was acted upon: a kind of thing, and which."""

    kind: str
    id: str


class Origin(NamedTuple):
    """Where a request came from."""

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


class Outcome(NamedTuple):
    """How a request ended: the HTTP status, and the type of the problem it was answered with."""

    status: int
    problem: str | None = None


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One entry. A field that is added later has a default: spooled entries of an older version must be readable."""

    id: str
    """By which a repeat is known."""
    at: datetime
    subject: str | None
    """None when nobody was known, as in a failed login."""
    issuer: str | None
    roles: tuple[str, ...]
    """In alphabetical order."""
    session_id: str | None
    action: str
    target_kind: str
    target_id: str
    address: str | None
    user_agent: str | None
    request_id: str | None
    status: int
    problem: str | None
    details: dict[str, str]


_encode = msgspec.json.Encoder(order="sorted").encode
decode: Final = msgspec.json.Decoder(Entry).decode
"""Reads the canonical form back."""


def canonical(entry: Entry) -> bytes:
    """Return the one text form of an entry (RFC 8785), which is hashed.

    Only text, whole numbers, null, arrays and objects with ASCII names occur, for which sorted JSON without spaces is
    that form.
    """
    return _encode(entry)


def make_entry(
    entry_id: str,
    at: datetime,
    caller: Caller | None,
    action: str,
    target: Target,
    origin: Origin,
    outcome: Outcome,
    details: Mapping[str, str | int | bool | None] | None = None,
) -> Entry:
    """Return the entry of one deed; `details` whose name or text looks like a secret are hidden.

    `at` must be aware, else ValueError. Details beyond MAX_DETAILS are left out and counted in the last one.
    """
    if at.tzinfo is None:
        raise ValueError("an entry needs an aware time")
    return Entry(
        id=_text(entry_id, MAX_ID),
        at=at.astimezone(UTC),
        subject=None if caller is None else _text(caller.subject, MAX_ID),
        issuer=None if caller is None else _text(caller.issuer, MAX_TEXT),
        roles=() if caller is None else tuple(sorted(caller.roles)),
        session_id=None if caller is None else _optional(caller.session_id, MAX_ID),
        action=_text(action, MAX_ID),
        target_kind=_text(target.kind, MAX_ID),
        target_id=_text(target.id, MAX_ID),
        address=_optional(origin.address, MAX_ID),
        user_agent=_optional(origin.user_agent, MAX_TEXT),
        request_id=_optional(origin.request_id, MAX_ID),
        status=outcome.status,
        problem=_optional(outcome.problem, MAX_TEXT),
        details=_details(details or {}),
    )


def _details(details: Mapping[str, str | int | bool | None]) -> dict[str, str]:
    kept = {}
    for name, value in list(details.items())[:MAX_DETAILS]:
        text = HIDDEN if _SECRET_NAME.search(name) else _text(_written(value), MAX_TEXT)
        kept[_ascii(name)] = text
    if len(details) > MAX_DETAILS:
        kept["leftOut"] = str(len(details) - MAX_DETAILS)
    return kept


def _written(value: str | int | bool | None) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _ascii(name: str) -> str:
    return _text(name.encode("ascii", "replace").decode(), MAX_ID)


def _optional(text: str | None, limit: int) -> str | None:
    return None if text is None else _text(text, limit)


def _text(text: str, limit: int) -> str:
    storable = text[: 4 * limit].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    shown = _SECRET_TEXT.sub(HIDDEN, storable)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
