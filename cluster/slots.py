"""The places chargers have in a host: who is awake, and whose turn it is.

Must not know: frames, the database. A charger takes one turn at a time; who comes while it is busy waits in line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from actors.charger import Charger


class Slot:
    """A charger's place: the charger when it is awake, and who waits for its next turn."""

    __slots__ = ("busy", "charger", "line", "used_at")

    def __init__(self) -> None:
        self.charger: Charger | None = None
        self.busy = False
        self.used_at = 0.0
        self.line: deque[asyncio.Future[None]] | None = None


class Slots:
    """All places of one host, by station id."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._watched: set[str] = set()

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, station_id: str) -> bool:
        return station_id in self._slots

    def __getitem__(self, station_id: str) -> Slot:
        return self._slots[station_id]

    def ids(self) -> list[str]:
        """Return the stations that have a place."""
        return list(self._slots)

    def chargers(self) -> Iterator[Charger]:
        """Iterate over the awake chargers."""
        return (slot.charger for slot in self._slots.values() if slot.charger is not None)

    async def enter(self, station_id: str) -> None:
        """Take the charger's turn; waits in line while another has it."""
        slot = self._slots.get(station_id)
        if slot is None:
            slot = self._slots[station_id] = Slot()
        if slot.busy:
            my_turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            slot.line = slot.line or deque()
            slot.line.append(my_turn)
            await my_turn
        slot.busy = True

    def leave(self, station_id: str, now_s: float) -> None:
        """Give the turn to the next in line; an unknown or dropped charger's place is given up."""
        slot = self._slots[station_id]
        slot.used_at = now_s
        charger = slot.charger
        if charger is not None and charger.waiting:
            self._watched.add(station_id)
        else:
            self._watched.discard(station_id)
        while slot.line:
            next_turn = slot.line.popleft()
            if not next_turn.done():
                next_turn.set_result(None)
                return
        slot.busy = False
        if charger is None or not charger.known:
            del self._slots[station_id]

    def drop(self, station_id: str) -> None:
        """Forget a charger whose memory may be ahead of the database; its next turn loads it again."""
        self._slots[station_id].charger = None

    async def forget(self, station_id: str) -> None:
        """Wait until the charger's turn and all in line are over, then forget it."""
        await self.enter(station_id)
        self._slots[station_id].charger = None
        self.leave(station_id, 0.0)

    def drop_all(self) -> None:
        """Forget every charger."""
        for slot in self._slots.values():
            slot.charger = None

    def waiting(self) -> list[str]:
        """Return the free chargers for which time can bring something about."""
        return [i for i in self._watched if i in self._slots and not self._slots[i].busy]

    def passivate(self, used_before_s: float) -> int:
        """Put to sleep who is idle and has not had a turn since; return how many."""
        idle = [
            i
            for i, slot in self._slots.items()
            if not slot.busy and slot.used_at < used_before_s and (slot.charger is None or slot.charger.idle)
        ]
        for station_id in idle:
            del self._slots[station_id]
        return len(idle)
