"""Identity as the HTTP applications see it: the bundle that `cluster.bootstrap` fills.

Must not know: HTTP, and who stands behind a port.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from actors.errors import Unavailable
from cluster.identity.account import Accounts
from cluster.identity.clients import Clients
from cluster.identity.issuer import Issuer
from cluster.identity.machine_keys import MachineKeys
from cluster.identity.people import NewLogin, People, UserStore
from cluster.identity.sessions import RecentlyEnded, Sessions

log = logging.getLogger(__name__)

WEB_CLIENT: Final = "cloudbay-web"
_FORGET_EVERY_S: Final = 3600.0


class Retention(Protocol):
    """What may be forgotten. Raises Unavailable."""

    async def forget(self, before: datetime) -> int:
        """Delete what was over before; return how many rows."""


@dataclass(frozen=True)
class IdentityServices:
    """People, their sessions, the issuer they log in with, and machines' keys."""

    issuer: Issuer
    people: People
    users: UserStore
    sessions: Sessions
    accounts: Accounts
    clients: Clients
    machine_keys: MachineKeys
    ended: RecentlyEnded
    """Ask it for the session and the grant of every access token."""
    retention: Retention
    keep_ended: timedelta
    clock: Callable[[], datetime]
    close: Callable[[], None]
    """Ends the threads that hash."""

    async def prepare(self, web_redirect_uris: frozenset[str], web_logout_uris: frozenset[str]) -> NewLogin | None:
        """Make what a platform begins with: the web pages' client, and the first admin if nobody is there."""
        if web_redirect_uris:
            await self.clients.ensure_application(WEB_CLIENT, "CloudBay", web_redirect_uris, web_logout_uris)
        return await self.people.first_admin()

    async def run(self) -> None:
        """Watch for ended sessions and forget old ones, until cancelled."""
        await asyncio.gather(self.ended.run(), self._forget())

    async def _forget(self) -> None:
        while True:
            try:
                await self.retention.forget(self.clock() - self.keep_ended)
            except Unavailable as error:
                log.warning("old sessions are not forgotten yet", extra={"error": str(error)})
            await asyncio.sleep(_FORGET_EVERY_S)
