"""The token endpoint: codes, refresh tokens and clients' own secrets into access tokens (RFC 6749, 7636, 9068, 9700).

Must not know: HTTP, SQL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from actors.errors import NotFound
from cluster.identity.authorization import audiences_for, scopes_for
from cluster.identity.clients import Client, Clients
from cluster.identity.grants import Grant, Grants
from cluster.identity.oauth import OAuthError, Parameters, proves, required, words
from cluster.identity.people import User, UserStore
from cluster.identity.sessions import Sessions
from cluster.identity.signing import AccessClaims, Signer

Answer = dict[str, Any]


class Exchange:
    """Answers token requests; access tokens live `access_life_s`."""

    def __init__(
        self,
        clients: Clients,
        grants: Grants,
        sessions: Sessions,
        users: UserStore,
        signer: Signer,
        access_life_s: int,
    ) -> None:
        self._clients = clients
        self._grants = grants
        self._sessions = sessions
        self._users = users
        self._signer = signer
        self._access_life_s = access_life_s
        self._by_type: Final[Mapping[str, Callable[[Client, Parameters], Awaitable[Answer]]]] = {
            "authorization_code": self._code,
            "refresh_token": self._refresh,
            "client_credentials": self._client_credentials,
        }

    async def token(self, given: Parameters, authorization: str | None) -> Answer:
        """Return the JSON of a token response. Raises OAuthError, BadClient."""
        client = await self._clients.authenticated(given, authorization)
        asked = required(given, "grant_type")
        answer = self._by_type.get(asked)
        if answer is None:
            raise OAuthError("unsupported_grant_type", "the grant_type is not supported")
        if asked not in client.grant_types:
            raise OAuthError("unauthorized_client", "the client may not use this grant_type")
        return await answer(client, given)

    async def _code(self, client: Client, given: Parameters) -> Answer:
        held = await self._grants.presented(required(given, "code"), "code", client.id)
        grant = held.grant
        if given.get("redirect_uri") != grant.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri is not the one of the authorization request")
        if not proves(given.get("code_verifier"), grant.code_challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit the code_challenge")
        audiences = _narrowed(grant.audiences, given.get("resource"), "invalid_target")
        user = await self._active(grant)
        refresh = await self._grants.exchange(held, refreshable="refresh_token" in client.grant_types)
        return self._answer(grant, user, grant.scopes, audiences, refresh)

    async def _refresh(self, client: Client, given: Parameters) -> Answer:
        held = await self._grants.presented(required(given, "refresh_token"), "refresh", client.id)
        grant = held.grant
        scopes = _narrowed(grant.scopes, given.get("scope"), "invalid_scope")
        audiences = _narrowed(grant.audiences, given.get("resource"), "invalid_target")
        user = await self._active(grant)
        refresh = await self._grants.exchange(held, refreshable=True)
        await self._sessions.used(grant.session_id)
        return self._answer(grant, user, scopes, audiences, refresh)

    async def _client_credentials(self, client: Client, given: Parameters) -> Answer:
        if client.secret is None:
            raise OAuthError("unauthorized_client", "a public client cannot log in by itself")
        scopes = scopes_for(client, given.get("scope"))
        audiences = audiences_for(client, given.get("resource"))
        about = AccessClaims(client.id, client.id, audiences, scopes, client.roles)
        return self._token_answer(about)

    async def _active(self, grant: Grant) -> User:
        try:
            user = await self._users.find(grant.user_id)
        except NotFound:
            user = None
        if user is None or user.status != "active":
            raise OAuthError("invalid_grant", "the account is closed")
        return user

    def _answer(
        self, grant: Grant, user: User, scopes: tuple[str, ...], audiences: tuple[str, ...], refresh: str | None
    ) -> Answer:
        about = AccessClaims(
            user.id, grant.client_id, audiences, scopes, user.roles, grant.authenticated_at, grant.session_id, grant.id
        )
        answer = self._token_answer(about)
        if refresh is not None:
            answer["refresh_token"] = refresh
        if "openid" in scopes:
            claims: Answer = {"aud": grant.client_id, "auth_time": int(grant.authenticated_at.timestamp())}
            claims |= {"sid": grant.session_id, **person_claims(user, scopes)}
            if grant.nonce is not None:
                claims["nonce"] = grant.nonce
            answer["id_token"] = self._signer.id_token(claims, self._access_life_s)
        return answer

    def _token_answer(self, about: AccessClaims) -> Answer:
        return {
            "access_token": self._signer.access_token(about, self._access_life_s),
            "token_type": "Bearer",
            "expires_in": self._access_life_s,
            "scope": " ".join(about.scopes),
        }


def person_claims(user: User, scopes: tuple[str, ...]) -> Answer:
    """Return what a client may know of a person (OpenID Connect Core section 5.4)."""
    claims: dict[str, str | None] = {"sub": user.id}
    if "profile" in scopes:
        claims |= {"name": user.name, "preferred_username": user.login}
    if "email" in scopes:
        claims["email"] = user.email
    return {name: value for name, value in claims.items() if value is not None}


def _narrowed(granted: tuple[str, ...], asked: str | None, code: str) -> tuple[str, ...]:
    """Return the part of what was granted that is asked for, all of it without a wish (RFC 6749 section 6)."""
    part = words(asked) or granted
    if set(part) - set(granted):
        raise OAuthError(code, "more is asked for than was granted")
    return part
