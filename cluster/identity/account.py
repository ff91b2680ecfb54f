"""What people do with their own account: see it, see and end their sessions, change their password.

Must not know: HTTP, SQL, what callers may do elsewhere.
"""

from __future__ import annotations

from actors.errors import BadRequest, Conflict, NotFound
from cluster.identity.caller import Caller
from cluster.identity.login import BadLogin, Login
from cluster.identity.people import LOCAL_ISSUER, User, UserStore
from cluster.identity.sessions import Session, Sessions
from cluster.store.views import Page


class WrongPassword(BadRequest):
    """The present password is not the one that was given."""

    title = "Wrong password"


class Accounts:
    """What callers may see and change of themselves."""

    def __init__(self, users: UserStore, sessions: Sessions, login: Login) -> None:
        self._users = users
        self._sessions = sessions
        self._login = login

    async def of(self, caller: Caller) -> User | None:
        """Return what is known of a caller; None for a machine, and for the operator of `cloudbay token`."""
        try:
            return await self._users.find(caller.subject)
        except NotFound:
            return None

    async def sessions(self, caller: Caller, cursor: str | None = None, limit: int = 100) -> Page[Session]:
        """List the caller's sessions, the newest first. Raises BadRequest."""
        return await self._sessions.page(caller.subject, cursor, limit)

    async def end_session(self, caller: Caller, session_id: str) -> None:
        """End one session of the caller's. Raises NotFound when there is none that has not ended."""
        if not await self._sessions.end(caller.subject, session_id):
            raise NotFound("there is no such session, or it has ended")

    async def end_sessions(self, caller: Caller) -> None:
        """End all of them, this one too."""
        await self._sessions.end(caller.subject)

    async def change_password(self, caller: Caller, present: str, new: str, address: str) -> None:
        """Replace the caller's password, and end all their sessions but this one.

        Attempts count as those of a login do. Raises Conflict for who has no password here, WrongPassword,
        WeakPassword, TooManyAttempts.
        """
        user = await self.of(caller)
        if user is None or not has_password(user):
            raise Conflict("you have no password here; whoever you log in with keeps it")
        try:
            proof = await self._login.attempt(str(user.login), present, address)
            await self._login.change_password(user.id, proof.login, proof.fingerprint, new, caller.session_id)
        except BadLogin:
            raise WrongPassword("the present password is another one") from None


def has_password(user: User) -> bool:
    """Tell whether a person logs in here."""
    return user.issuer == LOCAL_ISSUER and user.status == "active"
