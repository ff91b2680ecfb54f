"""Who may call what: a bearer token on every request, viewers read, admins do all."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from cluster.bearer import BadToken, Bearer, read
from serve.problems import NotAllowed
from serve.services import Services

_scheme = HTTPBearer(auto_error=False, description="A token of `cloudbay token`, role admin or viewer.")


def viewer(services: Services, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]) -> Bearer:
    """Return who calls. Raises BadToken."""
    if credentials is None:
        raise BadToken("a bearer token is needed; get one with `cloudbay token`")
    return read(credentials.credentials, services.token_key)


def admin(caller: Annotated[Bearer, Depends(viewer)]) -> Bearer:
    """Return the admin who calls. Raises BadToken, NotAllowed."""
    if caller.role != "admin":
        raise NotAllowed(f"this needs the role admin; the token has {caller.role}")
    return caller


Admin = Annotated[Bearer, Depends(admin)]
