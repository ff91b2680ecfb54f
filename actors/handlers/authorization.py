"""Block C, authorization: may this token charge (C01)."""

from __future__ import annotations

from actors.domain.token import decide, token_key
from actors.ocpp.messages import Authorize, AuthorizeResponse
from actors.ports import Needs
from actors.turn import Turn


def needs(turn: Turn, request: Authorize) -> Needs:
    """Ask for the token."""
    key = token_key(request.id_token.id_token)
    return Needs(turn.station.station_id, () if key in turn.facts.tokens else (key,))


def authorize(turn: Turn, request: Authorize) -> AuthorizeResponse:
    """Answer with what is known of the token."""
    return AuthorizeResponse(decide(request.id_token, turn.facts.tokens, turn.rules.tokens, turn.now, "authorize"))
