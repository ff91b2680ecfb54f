"""Id tokens (cards): who may charge. Lists never show a whole one."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from actors.domain.token import KnownToken
from cluster.store.views import masked
from serve.auth import admin, viewer
from serve.pages import Cursor, Limit, PageOut, shown
from serve.services import Services
from serve.wire import TokenAsked, TokenOut

router = APIRouter(prefix="/api/v1/tokens", tags=["id tokens"], dependencies=[Depends(viewer)])
_ADMIN = [Depends(admin)]


@router.get("", response_model=PageOut[TokenOut])
async def list_tokens(
    request: Request, services: Services, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, object]:
    """List id tokens, masked, the first registered first."""
    return shown(request, await services.queries.tokens(cursor, limit))


@router.post("", status_code=201, response_model=TokenOut, dependencies=_ADMIN)
async def put_token(asked: TokenAsked, services: Services) -> dict[str, object]:
    """Register an id token, or replace what is known of it."""
    known = asked.model_dump()
    await services.tokens.put(KnownToken(**known))
    return {**known, "id_token": masked(asked.id_token)}


@router.delete("/{id_token}", status_code=204, dependencies=_ADMIN)
async def remove_token(id_token: str, services: Services) -> None:
    """Forget an id token; a running transaction is not touched."""
    await services.tokens.remove(id_token)
