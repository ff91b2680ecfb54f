"""The API's processes in a rolling restart: made anew when all hosts and gateways are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cluster.store.fleet import PostgresFleet


class Api:
    """The HTTP API, deployed once for each rolling restart; `deploy` blocks until it answers."""

    def __init__(self, store: PostgresFleet, deploy: Callable[[int], None]) -> None:
        self._store = store
        self._deploy = deploy
        self._generation = -1

    async def start(self) -> None:
        """Deploy it and wait until it answers."""
        await self._deploy_as((await self._store.restarting()).generation)

    async def keep(self) -> None:
        """Deploy it anew if a rolling restart has come so far."""
        restart = await self._store.restarting()
        if restart.done and restart.generation > self._generation:
            await self._deploy_as(restart.generation)

    async def _deploy_as(self, generation: int) -> None:
        await asyncio.to_thread(self._deploy, generation)
        self._generation = generation
