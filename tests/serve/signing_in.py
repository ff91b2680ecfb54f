"""People on a platform in memory who really log in: tokens of the embedded issuer beside those of `cloudbay token`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
from starlette.routing import Mount, Router

from cluster.bearer import OWN_ISSUER, OwnTokens
from cluster.identity.caller import Caller, Role
from cluster.identity.callers import IssuedTokens, KeyCallers
from cluster.identity.directory import Callers, Reader
from cluster.identity.people import LOCAL_ISSUER, User
from cluster.identity.sessions import Session
from cluster.identity.signing import AccessClaims
from cluster.services import ApiServices
from serve.admin import application as admin
from serve.app import application as app
from serve.front import application as front
from tests.serve.fakes import TOKEN_KEY, MemoryPlatform

PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.7"
ROOT = Caller("root", LOCAL_ISSUER, frozenset({"admin"}))


class NoOutsideTokens:
    """Trusts nobody outside."""

    async def verify(self, token: str, api: str) -> Any:
        raise AssertionError(f"{api} was shown a token of an outside issuer")


class SignedIn:
    """A platform whose people log in, and clients of it."""

    def __init__(self, platform: MemoryPlatform) -> None:
        services = platform.services_of_tests()
        identity = services.identity
        issued = IssuedTokens(identity.issuer.signer, identity.ended, services.settings.issuer.audiences)
        own: dict[str, Reader] = {OWN_ISSUER: OwnTokens(TOKEN_KEY), identity.issuer.url: issued}
        callers = Callers(
            "admin", KeyCallers(identity.machine_keys), own, NoOutsideTokens(), identity.people, identity.ended
        )
        self.platform = platform
        self.services: ApiServices = dataclasses.replace(services, callers=callers)
        self.identity = identity
        applications = (admin, app, front)
        routes = [Mount(each.PREFIX, each.build(self.services)) for each in applications]
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(Router(routes), client=(ADDRESS, 4711)), base_url=identity.issuer.url
        )

    async def person(self, login: str, *roles: Role) -> User:
        """Add somebody who has a password of their own."""
        made = await self.identity.people.create(login, frozenset(roles), login.title(), f"{login}@example.org")
        proof = await self.identity.issuer.login.attempt(login, made.one_time_password, ADDRESS)
        await self.identity.issuer.login.change_password(made.user.id, login, proof.fingerprint, PASSWORD)
        return made.user

    async def session(self, user: User) -> Session:
        """Let somebody log in in a browser."""
        session, _ = await self.identity.sessions.begin(user.id, None, ADDRESS, "Browser/1")
        return session

    async def token(self, user: User, session: Session | None = None) -> Mapping[str, str]:
        """Return the header of a person in a session, with what they are now and when they logged in."""
        session = session or await self.session(user)
        known = await self.identity.people.find(user.id)
        audiences = self.services.settings.issuer.audiences
        about = AccessClaims(
            user.id, "web", audiences, ("openid",), known.roles, session.authenticated_at, session.id, "grant"
        )
        signed = self.identity.issuer.signer.access_token(about, 7 * 86400)
        return {"Authorization": f"Bearer {signed}"}

    def forward(self, **by: float) -> None:
        """Let time pass."""
        self.platform.now += timedelta(**by)
