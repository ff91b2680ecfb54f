"""Who waits for the end of a command on this host.

Must not know: how commands are carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.domain.command import Command
from actors.errors import CloudBayError


class Waiters:
    """Futures of finished commands, by the command's id."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, list[asyncio.Future[Command]]]] = {}

    @contextmanager
    def until_done(self, command: Command) -> Iterator[asyncio.Future[Command]]:
        """Yield a future of the finished command; nobody waits any more when the block ends."""
        done: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
        _, futures = self._waiting.setdefault(command.id, (command.station_id, []))
        futures.append(done)
        try:
            yield done
        finally:
            futures.remove(done)
            if not futures:
                self._waiting.pop(command.id, None)

    def finished(self, command: Command) -> None:
        """Tell who waits for this command."""
        for done in self._waiting.get(command.id, ("", []))[1]:
            if not done.done():
                done.set_result(command)

    def give_up(self, of: Callable[[str], bool], error: CloudBayError) -> None:
        """Fail those who wait for commands of stations that `of` names."""
        for station_id, futures in self._waiting.values():
            for done in futures:
                if of(station_id) and not done.done():
                    done.set_exception(error)
