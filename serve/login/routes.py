"""How errors leave the issuer's endpoints: as JSON after RFC 6749 for programs, as a page or a redirect for people."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import APIRoute

from actors.errors import BadRequest, CloudBayError, Unavailable
from cluster.identity.brakes import TooManyAttempts
from cluster.identity.oauth import BadClient, OAuthError, RefusedByRedirect, ScopeMissing
from cluster.identity.signing import NotOurToken
from serve.challenge import carries_token, challenge
from serve.login.pages import fault_page

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_RETRY_AFTER_S: Final = 1

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ProtocolRoute(APIRoute):
    """An endpoint for programs."""

    def get_route_handler(self) -> _Handler:
        """Answer errors as RFC 6749 section 5.2 and RFC 6750 section 3 ask."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except CloudBayError as error:
                content = {"error": _code(error), "error_description": str(error)}
                return JSONResponse(content, error.http_status, _challenge(request, error) | retry_after(error))

        return answer


class PageRoute(APIRoute):
    """An endpoint for people's browsers."""

    def get_route_handler(self) -> _Handler:
        """Answer errors with a page, or send the browser back to the client with them."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RefusedByRedirect as error:
                return redirect(error.location)
            except CloudBayError as error:
                status = 400 if isinstance(error, BadClient) else error.http_status
                page = fault_page(error.title, _for_people(error), status)
                page.headers.update(retry_after(error))
                return page

        return answer


def redirect(location: str) -> Response:
    """Send the browser on with a GET, and without the address it comes from."""
    return RedirectResponse(location, 303, {**NO_STORE, "Referrer-Policy": "no-referrer"})


def retry_after(error: CloudBayError) -> dict[str, str]:
    """Return the header that tells when to try again."""
    if isinstance(error, TooManyAttempts):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": str(_RETRY_AFTER_S)} if isinstance(error, Unavailable) else {}


def _for_people(error: CloudBayError) -> str:
    """Say what to do besides: a person cannot mend what an application has asked wrongly."""
    if isinstance(error, OAuthError):
        return f"{error}; go back to the application that has sent you here, and tell who runs it"
    return str(error)


def _code(error: CloudBayError) -> str:
    match error:
        case OAuthError():
            return error.code
        case NotOurToken():
            return "invalid_token"
        case Unavailable():
            return "temporarily_unavailable"
        case BadRequest():
            return "invalid_request"
    return "server_error"


def _challenge(request: Request, error: CloudBayError) -> dict[str, str]:
    headers = dict(NO_STORE)
    if isinstance(error, BadClient):
        headers["WWW-Authenticate"] = 'Basic realm="cloudbay"'
    elif isinstance(error, NotOurToken | ScopeMissing):
        headers |= challenge(error, has_token=carries_token(request))
    return headers
