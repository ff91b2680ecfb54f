"""Logging in with a password: counted, checked, answered alike whether the account exists or not.

Must not know: HTTP, cookies, where passwords are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from actors.errors import BadRequest, CloudBayError
from cluster.identity.brakes import Brakes
from cluster.identity.passwords import Passwords, WeakPassword
from cluster.identity.people import Credential, CredentialStore, normal_login


class BadLogin(CloudBayError):
    """Login name and password do not belong together, or no longer; it is not said which."""

    http_status = 401
    title = "Login failed"

    def __init__(self) -> None:
        super().__init__("the login name or the password is wrong; try again, or have an admin give you a new one")


class Proof(NamedTuple):
    """Who has proved who they are; `must_change` when it was with a one-time password."""

    user_id: str
    login: str
    must_change: bool
    fingerprint: str
    """Names the password that was used: another one has another."""


class Login:
    """Checks passwords and changes them."""

    def __init__(
        self, credentials: CredentialStore, passwords: Passwords, brakes: Brakes, clock: Callable[[], datetime]
    ) -> None:
        self._credentials = credentials
        self._passwords = passwords
        self._brakes = brakes
        self._clock = clock
        self.password_rule = passwords.rule

    async def attempt(self, login: str, password: str, address: str) -> Proof:
        """Return who it is. Raises BadLogin, TooManyAttempts, TooMany, Unavailable.

        The same steps are done for every name: count, look up, hash. Only a right password does more.
        """
        try:
            name = normal_login(login)
        except BadRequest:
            name = ""
        await self._brakes.attempt(name, address)
        found = await self._credentials.of_login(name)
        right = await self._passwords.matches(password, None if found is None else found.password_hash)
        if found is None or not right or not self._usable(found):
            raise BadLogin
        await self._brakes.succeeded(name, address)
        kept = str(found.password_hash)
        if not found.must_change:
            if self._passwords.outdated(kept):
                await self._credentials.rehash(found.user_id, kept, await self._passwords.hashed(password))
            await self._credentials.logged_in(found.user_id, self._clock())
        return Proof(found.user_id, name, found.must_change, _fingerprint(kept))

    async def change_password(
        self, user_id: str, login: str, fingerprint: str, new: str, keep_session: str | None = None
    ) -> None:
        """Set a new password for somebody who has just proved who they are with the one `fingerprint` names.

        Ends all their sessions but `keep_session`. Raises WeakPassword, and BadLogin if the password is another by now.
        """
        self._passwords.check_new(new, login)
        found = await self._credentials.of_user(user_id)
        if found is None or found.password_hash is None or not self._usable(found):
            raise BadLogin
        if _fingerprint(found.password_hash) != fingerprint:
            raise BadLogin
        if await self._passwords.matches(new, found.password_hash):
            raise WeakPassword("the new password must differ from the old one")
        now = self._clock()
        changed = Credential(user_id, await self._passwords.hashed(new), False, None)
        if not await self._credentials.put(changed, now, found.password_hash, keep_session):
            raise BadLogin
        await self._credentials.logged_in(user_id, now)

    def _usable(self, credential: Credential) -> bool:
        in_time = credential.expires_at is None or self._clock() < credential.expires_at
        return credential.status == "active" and in_time


def _fingerprint(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:32]
