"""Vitals in memory, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import Mapping

from actors.errors import Unavailable
from cluster.bus.vitals import KEPT_S, Numbers


class MemoryVitals:
    """Vitals of processes in one."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self.now_s = 0.0
        self.down = False
        self._kept_s = kept_s
        self._told: dict[str, tuple[float, Numbers]] = {}

    async def tell(self, process: str, numbers: Numbers) -> None:
        """Say how a process is now."""
        self._reach()
        self._told[process] = (self.now_s, dict(numbers))

    async def latest(self) -> Mapping[str, Numbers]:
        """Return what each process has said last."""
        self._reach()
        return {name: told for name, (at_s, told) in self._told.items() if self.now_s - at_s <= self._kept_s}

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("Valkey cannot be reached now")
