"""Id tokens (cards): who may charge. Lists never show a whole one."""

from __future__ import annotations

import msgspec

from actors.domain.token import KnownToken
from cluster.store.views import masked
from serve.admin.wire import TokenAsked, TokenOut
from serve.context import Asking
from serve.hal import ListOf
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/tokens", "id tokens")


@router.get("", response_model=ListOf[TokenOut])
async def list_tokens(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List id tokens, masked, the first registered first."""
    page = await asking.services.queries.tokens(cursor, limit)
    forms = {
        "put": asking.form("POST /tokens", "Register an id token, or replace what is known of it", body=TokenAsked)
    }
    return listed(asking, "cb:token", page, lambda token: {**msgspec.structs.asdict(token), "links": {}}, forms)


@router.post("", status_code=201, response_model=TokenOut, dependencies=[Once])
async def put_token(asked: TokenAsked, asking: Asking) -> dict[str, object]:
    """Register an id token, or replace what is known of it."""
    known = asked.model_dump()
    await asking.services.tokens.put(KnownToken(**known))
    return {**known, "id_token": masked(asked.id_token), "links": {}}


@router.delete("/{id_token}", status_code=204)
async def remove_token(id_token: str, asking: Asking) -> None:
    """Forget an id token; a running transaction is not touched."""
    await asking.services.tokens.remove(id_token)
