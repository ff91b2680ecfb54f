"""The embedded issuer: what its HTTP endpoints call, as one object.

OAuth 2 with OpenID Connect for this platform alone: people of the database, clients that an admin registered, no
consent page. Why the grants are our own and not Authlib's: docs/decisions/0013-an-issuer-of-our-own.md.
Must not know: HTTP, SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from actors.errors import NotFound
from cluster.identity.authorization import PROMPTS, Authorization
from cluster.identity.clients import PERSON_SCOPES, Client, Clients
from cluster.identity.exchange import Answer, Exchange, person_claims
from cluster.identity.grants import Grants
from cluster.identity.login import Login
from cluster.identity.oauth import BadClient, OAuthError, Parameters, ScopeMissing, required, with_query, words
from cluster.identity.people import User, UserStore
from cluster.identity.sessions import RecentlyEnded, Session, Sessions
from cluster.identity.signing import ACCESS_TOKEN, ALGORITHM, ID_TOKEN, NotOurToken, Signer
from cluster.identity.tickets import Tickets

_PATHS: Final = {
    "authorization_endpoint": "/oauth2/authorize",
    "token_endpoint": "/oauth2/token",
    "revocation_endpoint": "/oauth2/revoke",
    "jwks_uri": "/oauth2/jwks",
    "userinfo_endpoint": "/oauth2/userinfo",
    "end_session_endpoint": "/oauth2/logout",
}
_CLIENT_AUTHENTICATION: Final = ["none", "client_secret_basic", "client_secret_post"]


@dataclass(frozen=True)
class Issuer:
    """The parts of the embedded issuer."""

    authorization: Authorization
    exchange: Exchange
    login: Login
    sessions: Sessions
    tickets: Tickets
    signer: Signer
    clients: Clients
    grants: Grants
    users: UserStore
    ended: RecentlyEnded
    machine_scopes: frozenset[str]
    """What machines can be limited to."""

    @property
    def url(self) -> str:
        """Return the issuer's name, which is the URL that its endpoints are below."""
        return self.signer.issuer

    @property
    def logout_url(self) -> str:
        """Return where a browser logs out."""
        return self.url + _PATHS["end_session_endpoint"]

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document (OpenID Connect Discovery, RFC 8414)."""
        return {
            "issuer": self.url,
            **{name: f"{self.url}{path}" for name, path in _PATHS.items()},
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
            "revocation_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "scopes_supported": sorted(PERSON_SCOPES | self.machine_scopes),
            "claims_supported": ["sub", "auth_time", "sid", "name", "preferred_username", "email", "roles"],
            "prompt_values_supported": list(PROMPTS),
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }

    async def revoke(self, given: Parameters, authorization: str | None) -> None:
        """Revoke the grant of a client's refresh or access token (RFC 7009). Raises OAuthError, BadClient."""
        client = await self.clients.authenticated(given, authorization)
        token = required(given, "token")
        if await self.grants.revoke(token, client.id):
            return
        try:
            claims = self.signer.read(token, ACCESS_TOKEN)
        except NotOurToken:
            return
        if claims.get("client_id") == client.id and claims.get("grant_id"):
            await self.grants.end(str(claims["grant_id"]))

    async def userinfo(self, token: str) -> Answer:
        """Return what an access token's client may know of its person. Raises NotOurToken, ScopeMissing."""
        claims = self.signer.read(token, ACCESS_TOKEN)
        scopes = words(str(claims.get("scope")))
        if "openid" not in scopes:
            raise ScopeMissing("openid")
        if self.ended.has(str(claims.get("sid"))) or self.ended.has(str(claims.get("grant_id"))):
            raise NotOurToken("the session has ended")
        user = await self.active(str(claims["sub"]))
        if user is None:
            raise NotOurToken("the account is closed")
        return {**person_claims(user, scopes), "roles": sorted(user.roles)}

    async def active(self, user_id: str) -> User | None:
        """Return a person who may log in."""
        try:
            user = await self.users.find(user_id)
        except NotFound:
            return None
        return user if user.status == "active" else None

    async def logout_target(self, given: Parameters) -> tuple[str | None, str | None]:
        """Return where a browser goes after logging out, and the session that the client names (RP-Initiated Logout).

        Raises OAuthError for a URI that is not registered for the client.
        """
        hint, client_id = given.get("id_token_hint"), given.get("client_id")
        session_id: str | None = None
        if hint is not None:
            try:
                claims = self.signer.read(hint, ID_TOKEN, expired_too=True)
            except NotOurToken as error:
                raise OAuthError("invalid_request", "id_token_hint is not a token of this issuer") from error
            session_id = str(claims.get("sid"))
            if client_id not in (None, claims.get("aud")):
                raise OAuthError("invalid_request", "id_token_hint was issued to another client")
            client_id = str(claims.get("aud"))
        uri = given.get("post_logout_redirect_uri")
        if uri is None:
            return None, session_id
        client = await self._known(client_id)
        if client is None or uri not in client.logout_uris:
            raise OAuthError("invalid_request", "post_logout_redirect_uri is not registered for this client")
        return with_query(uri, {"state": given.get("state")}), session_id

    async def log_out(self, session: Session) -> None:
        """End a session and all that clients hold of it."""
        await self.sessions.end(session.user_id, session.id)

    async def _known(self, client_id: str | None) -> Client | None:
        try:
            return await self.clients.named(client_id)
        except BadClient:
            return None
