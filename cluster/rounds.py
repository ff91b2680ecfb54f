"""A round: one turn each of many chargers, run together so that they share every fetch and the commit.

Start all turns, fetch what they need, handle, commit all rows, and only then let anything go. One charger's fault stays
its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from actors.charger import Charger, Opened
from actors.errors import CloudBayError, Moved, Unavailable
from actors.ocpp.frames import OcppVersion
from actors.ports import ChargerStore, Facts, Needs, Unit
from actors.turn import Rules, Turn
from cluster.group_commit import GroupCommit
from cluster.slots import Slots

log = logging.getLogger(__name__)


class Step(msgspec.Struct):
    """One charger's part of a round: what it does, and what came of it."""

    station_id: str
    start: Callable[[Charger, datetime], Opened | Turn]
    received: bytes | None = None
    """The frame that caused it, if one did."""
    turn: Turn | None = None
    opened: Opened | None = None
    """The turn while it is not handled, and `needs`, what must be fetched before it can be."""
    needs: Needs | None = None
    error: CloudBayError | None = None
    version: OcppVersion = OcppVersion.V201


class Rounds:
    """Runs rounds over the chargers of one host."""

    def __init__(
        self,
        slots: Slots,
        store: ChargerStore,
        rules: Rules,
        clock: Callable[[], datetime],
        owns: Callable[[str], bool],
        max_commit_units: int,
    ) -> None:
        self._slots = slots
        self._owns = owns
        self._store = store
        self._rules = rules
        self._clock = clock
        self.commits = GroupCommit(store, max_commit_units)
        self.failures = 0
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, steps: Sequence[Step]) -> None:
        """Run one turn each of different chargers; afterwards each step has its turn or its error.

        A caller that is cancelled does not end the round: its rows may be on their way, and nobody may take these
        chargers' turns before they have arrived.
        """
        running = asyncio.create_task(self._enter_and_run(steps))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        await asyncio.shield(running)

    async def _enter_and_run(self, steps: Sequence[Step]) -> None:
        entered: list[str] = []
        try:
            # In one order everywhere, so that two rounds never wait for each other.
            for station_id in sorted(step.station_id for step in steps):
                await self._slots.enter(station_id)
                entered.append(station_id)
            # Only who has entered can be sure: whoever gives a partition up enters all its slots first.
            for step in steps:
                if not self._owns(step.station_id):
                    step.error = Moved(f"station {step.station_id} has moved to another host")
            await self._run([step for step in steps if step.error is None])
        finally:
            now_s = asyncio.get_running_loop().time()
            for station_id in entered:
                self._slots.leave(station_id, now_s)

    async def _run(self, steps: Sequence[Step]) -> None:
        try:
            await self._wake([step.station_id for step in steps])
            now = self._clock()
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            # Each goes as far as it can before the next begins: what it works on stays in the processor's cache.
            asking = [step for step in steps if self._begin(step, now)]
            while asking:
                facts = await self._store.facts([step.needs for step in asking if step.needs is not None])
                asking = [step for step, found in zip(asking, facts, strict=True) if self._learn(step, found)]
            await self._commit(steps)
        except Exception as error:
            if not isinstance(error, CloudBayError):
                log.exception("round failed")
                error = Unavailable("the round failed")
            for step in steps:
                self._spoil(step, error)

    async def _wake(self, station_ids: Sequence[str]) -> None:
        asleep = [i for i in station_ids if self._slots[i].charger is None]
        if not asleep:
            return
        snapshots = await self._store.load(asleep)
        for station_id in asleep:
            self._slots[station_id].charger = Charger(station_id, snapshots[station_id], self._rules)

    def _begin(self, step: Step, now: datetime) -> bool:
        """Start a turn and handle it if nothing must be fetched for it; tell whether something must."""
        charger = self._charger(step)
        try:
            outcome = step.start(charger, now)
        except CloudBayError as error:
            step.error = error  # Refused before anything changed: the charger's memory is still good.
            return False
        except Exception as error:  # noqa: BLE001  one charger's fault must not end the others' turns
            self._fault(step, error)
            return False
        step.version = charger.version
        if not isinstance(outcome, Opened):
            step.turn = outcome
            return False
        step.opened, step.turn = outcome, outcome.turn
        return self._go_on(step, outcome)

    def _learn(self, step: Step, found: Facts) -> bool:
        """Go on with what was fetched; a fact may show the need of another."""
        if step.opened is None:
            return False
        step.opened.turn.facts.update(found)
        return self._go_on(step, step.opened)

    def _go_on(self, step: Step, opened: Opened) -> bool:
        try:
            step.needs = opened.needs()
            if step.needs is None:
                step.opened = None
                self._charger(step).handle(opened)
        except Exception as error:  # noqa: BLE001  one charger's fault must not end the others' turns
            self._fault(step, error)
            return False
        return step.needs is not None

    async def _commit(self, steps: Sequence[Step]) -> None:
        writing = [(step, step.turn.rows) for step in steps if step.error is None and step.turn and step.turn.rows]
        if not writing:
            return
        refused = await self.commits.commit([Unit(step.station_id, rows) for step, rows in writing])
        for i in refused:
            self._spoil(writing[i][0], Unavailable("the database refuses the rows of this turn"))

    def _fault(self, step: Step, error: Exception) -> None:
        """Note a fault of ours in one charger's turn."""
        self.failures += 1
        log.error("turn failed", extra={"station_id": step.station_id}, exc_info=error)
        self._spoil(step, Unavailable("the turn failed"))

    def _spoil(self, step: Step, error: CloudBayError) -> None:
        """Fail a step whose charger's memory may be ahead of the database."""
        step.error = step.error or error
        self._slots.drop(step.station_id)

    def _charger(self, step: Step) -> Charger:
        charger = self._slots[step.station_id].charger
        if charger is None:
            raise Unavailable("the charger has been dropped")
        return charger
