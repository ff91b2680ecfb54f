"""Claims in memory."""

from __future__ import annotations

from datetime import datetime

import msgspec

from actors.errors import Unavailable
from cluster.idempotency import Claim, Held


class MemoryClaims:
    """Claims of one process; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.held: dict[bytes, Claim] = {}
        self.down = False

    async def claim(self, name: bytes, mine: Claim, now: datetime) -> Held:
        self._reach()
        earlier = self.held.get(name)
        if earlier is None or earlier.kept_until <= now:
            self.held[name] = mine
            return Held(mine, ours=True)
        if earlier.answer is None and earlier.locked_until <= now and earlier.fingerprint == mine.fingerprint:
            self.held[name] = msgspec.structs.replace(mine, id=earlier.id)
            return Held(self.held[name], ours=True)
        return Held(earlier, ours=False)

    async def keep(self, name: bytes, claim_id: str, answer: bytes) -> None:
        self._reach()
        if self._open(name, claim_id):
            self.held[name] = msgspec.structs.replace(self.held[name], answer=answer)

    async def give_back(self, name: bytes, claim_id: str, now: datetime) -> None:
        self._reach()
        if self._open(name, claim_id):
            self.held[name] = msgspec.structs.replace(self.held[name], locked_until=now)

    async def purge(self, now: datetime) -> int:
        self._reach()
        over = [name for name, claim in self.held.items() if claim.kept_until <= now]
        for name in over:
            del self.held[name]
        return len(over)

    def forget_answers(self) -> None:
        """Leave behind what a crash does that comes between doing and keeping."""
        self.held = {name: msgspec.structs.replace(claim, answer=None) for name, claim in self.held.items()}

    def _open(self, name: bytes, claim_id: str) -> bool:
        claim = self.held.get(name)
        return claim is not None and claim.id == claim_id and claim.answer is None

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the database cannot be reached now")
