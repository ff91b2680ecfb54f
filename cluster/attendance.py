"""Who listens to live events is looked at again and again: a token that is not taken any more ends what it has begun.

Soft state: who listens. Must not know: HTTP, what listeners may see.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from actors.errors import CloudBayError
from cluster.bus.subscription import Subscription
from cluster.identity.directory import Reader

log = logging.getLogger(__name__)

_AT_ONCE: Final = 50
"""Tokens read in one turn of the event loop."""
_NOT_AUTHENTICATED: Final = 401


class Attendance:
    """The listeners of this process, by their subscriptions."""

    def __init__(self, callers: Reader) -> None:
        self._callers = callers
        self._tokens: dict[Subscription, str] = {}

    def join(self, subscription: Subscription, token: str) -> None:
        """End a subscription once this token is not taken any more."""
        self._tokens[subscription] = token

    async def run(self, every_s: float) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except Exception:  # whatever it is, who listens must be looked at again
                log.exception("listeners' tokens cannot be read")

    async def look(self) -> None:
        """Read every token once; one that cannot be read now is taken for good until it can."""
        self._tokens = {listening: token for listening, token in self._tokens.items() if not listening.ended}
        for number, (subscription, token) in enumerate(list(self._tokens.items()), 1):
            try:
                await self._callers.identify(token)
            except CloudBayError as error:
                if error.http_status == _NOT_AUTHENTICATED:
                    subscription.end("sign in again")
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
