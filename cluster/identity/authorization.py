"""Authorization requests: read strictly, answered with a code once somebody has logged in (RFC 6749, RFC 9700, OIDC).

Until client and redirect URI are known to belong together nobody is redirected anywhere; from then on the client is
told what is wrong. PKCE with S256 is required of every client.
Must not know: HTTP, pages, how people log in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from cluster.identity.clients import Client, Clients
from cluster.identity.grants import Grant, Grants
from cluster.identity.oauth import OAuthError, Parameters, RefusedByRedirect, challenge_of, required, with_query, words
from cluster.identity.sessions import Session

PROMPTS: Final = ("none", "login", "consent", "select_account")
_UNSUPPORTED: Final = {"request": "request_not_supported", "request_uri": "request_uri_not_supported"}
_MAX_STATE_CHARS: Final = 2048


class AuthorizationRequest(msgspec.Struct, frozen=True):
    """A request that may be granted as soon as it is known for whom."""

    client: Client
    redirect_uri: str
    state: str | None
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    code_challenge: str
    nonce: str | None
    prompts: frozenset[str]
    max_age: timedelta | None
    login_hint: str | None


class Authorization:
    """Reads requests, and grants them for a session."""

    def __init__(
        self, clients: Clients, grants: Grants, issuer: str, clock: Callable[[], datetime], new_id: Callable[[], str]
    ) -> None:
        self._clients = clients
        self._grants = grants
        self._issuer = issuer
        self._clock = clock
        self._new_id = new_id

    async def read(self, given: Parameters) -> AuthorizationRequest:
        """Return a sound request. Raises RefusedByRedirect to tell the client, other OAuthErrors to tell the person."""
        client = await self._clients.named(given.get("client_id"))
        redirect_uri = required(given, "redirect_uri")
        if not client.redirects_to(redirect_uri):
            raise OAuthError("invalid_request", "the redirect URI is not registered for this client")
        state = given.get("state")
        try:
            return self._checked(client, redirect_uri, state, given)
        except OAuthError as error:
            raise self.refusal(error.code, str(error), redirect_uri, state) from None

    def refusal(self, code: str, text: str, redirect_uri: str, state: str | None) -> RefusedByRedirect:
        """Return the error that tells a client; it names who answers (RFC 9207)."""
        state = state if state is None or len(state) <= _MAX_STATE_CHARS else None
        more = {"error": code, "error_description": text, "state": state, "iss": self._issuer}
        return RefusedByRedirect(code, text, with_query(redirect_uri, more))

    def needs_login(self, asked: AuthorizationRequest, session: Session | None) -> bool:
        """Tell whether the person must (again) log in. Raises RefusedByRedirect if they may not be asked."""
        needed = session is None or bool(asked.prompts & {"login", "select_account"})
        if session is not None and asked.max_age is not None:
            needed = needed or self._clock() - session.authenticated_at >= asked.max_age
        if needed and "none" in asked.prompts:
            raise self.refusal("login_required", "the person must log in", asked.redirect_uri, asked.state)
        return needed

    async def grant(self, asked: AuthorizationRequest, session: Session) -> str:
        """Return where the browser goes with the code."""
        grant = Grant(
            id=self._new_id(),
            client_id=asked.client.id,
            user_id=session.user_id,
            session_id=session.id,
            scopes=asked.scopes,
            audiences=asked.audiences,
            redirect_uri=asked.redirect_uri,
            code_challenge=asked.code_challenge,
            nonce=asked.nonce,
            authenticated_at=session.authenticated_at,
            created_at=self._clock(),
        )
        code = await self._grants.begin(grant)
        return with_query(asked.redirect_uri, {"code": code, "state": asked.state, "iss": self._issuer})

    def _checked(self, client: Client, redirect_uri: str, state: str | None, given: Parameters) -> AuthorizationRequest:
        for name, code in _UNSUPPORTED.items():
            if name in given:
                raise OAuthError(code, f"the parameter {name} is not supported")
        if required(given, "response_type") != "code":
            raise OAuthError("unsupported_response_type", "only response_type=code is supported")
        if given.get("response_mode", "query") != "query":
            raise OAuthError("invalid_request", "only response_mode=query is supported")
        if "authorization_code" not in client.grant_types:
            raise OAuthError("unauthorized_client", "nobody logs in with this client")
        if state is not None and len(state) > _MAX_STATE_CHARS:
            raise OAuthError("invalid_request", "the state is too long")
        return AuthorizationRequest(
            client=client,
            redirect_uri=redirect_uri,
            state=state,
            scopes=scopes_for(client, given.get("scope")),
            audiences=audiences_for(client, given.get("resource")),
            code_challenge=challenge_of(given),
            nonce=given.get("nonce"),
            prompts=_prompts(given.get("prompt")),
            max_age=_max_age(given.get("max_age")),
            login_hint=given.get("login_hint"),
        )


def scopes_for(client: Client, asked: str | None) -> tuple[str, ...]:
    """Return the scopes asked for, all of the client's without a wish. Raises OAuthError for others."""
    scopes = words(asked) or tuple(sorted(client.scopes))
    if set(scopes) - client.scopes:
        raise OAuthError("invalid_scope", "the client may not ask for one of these scopes")
    return scopes


def audiences_for(client: Client, asked: str | None) -> tuple[str, ...]:
    """Return the resources asked for (RFC 8707), all of the client's without a wish. Raises OAuthError for others."""
    audiences = words(asked) or client.audiences
    if set(audiences) - set(client.audiences):
        raise OAuthError("invalid_target", "the client may not ask for one of these resources")
    return audiences


def _prompts(text: str | None) -> frozenset[str]:
    found = frozenset(words(text))
    if found - set(PROMPTS) or ("none" in found and len(found) > 1):
        raise OAuthError("invalid_request", "prompt is none alone, or some of login, consent and select_account")
    return found


def _max_age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise OAuthError("invalid_request", "max_age is a number of seconds")
    return timedelta(seconds=int(text))
