"""May this token charge: the one place that decides (OCPP 2.0.1 C01-C17, E05; 1.6 sections 4.1, 4.8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from actors.ocpp.messages import IdToken, IdTokenInfo

Purpose = Literal["authorize", "start", "go on", "stop"]


class KnownToken(msgspec.Struct, frozen=True):
    """A token in the database; `open_transactions` are the platform ids of what it charges now, anywhere."""

    id_token: str
    status: str = "Accepted"
    valid_until: datetime | None = None
    group_id: str | None = None
    master_pass: bool = False
    concurrent: bool = True
    open_transactions: tuple[str, ...] = ()


class TokenRules(msgspec.Struct, frozen=True):
    """What to say of a token that is not in the database."""

    unknown_status: str = "Accepted"


def token_key(id_token: str) -> str:
    """Fold a token for look-up: tokens are case-insensitive (CiString)."""
    return id_token.lower()


def decide(
    id_token: IdToken,
    tokens: Mapping[str, KnownToken | None],
    rules: TokenRules,
    now: datetime,
    purpose: Purpose,
    own_transaction: str | None = None,
) -> IdTokenInfo:
    """Return what the station is told of a token.

    `tokens` are the looked-up ones by key. `own_transaction` is the platform id of the transaction asked for: its own
    replay is not concurrency, and stopping never is.
    """
    if id_token.type == "NoAuthorization":
        return IdTokenInfo("Accepted")  # C02.FR.02
    token = tokens.get(token_key(id_token.id_token))
    if token is None:
        return IdTokenInfo(rules.unknown_status)
    group = IdToken(token.group_id, "Central") if token.group_id else None
    return IdTokenInfo(_status(token, now, purpose, own_transaction), token.valid_until, group)


def _status(token: KnownToken, now: datetime, purpose: Purpose, own_transaction: str | None) -> str:
    if token.status != "Accepted":
        return token.status
    if token.valid_until is not None and now >= token.valid_until:
        return "Expired"
    if token.master_pass and purpose == "start":
        return "Invalid"  # C16: a master pass stops transactions, it never starts one
    others = [t for t in token.open_transactions if t != own_transaction]
    if others and not token.concurrent and purpose in ("authorize", "start"):
        return "ConcurrentTx"
    return "Accepted"
