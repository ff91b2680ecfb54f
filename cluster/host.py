"""ChargerHost: many charger actors in one process. Batches in, one group commit, answers out.

A plain class; `cluster.fleet` makes a Ray actor of it. Each charger takes one turn at a time, chargers run side by
side.

Hard state: none of its own (all of it is in the database, fenced by this host's epoch). Soft state: the awake
chargers. Lost in a crash: frames whose answers have not left; gateways send those again, and every handler is safe to
repeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from actors.charger import Charger
from actors.domain.command import Command
from actors.domain.station import Configuration, Station
from actors.errors import CloudBayError, Fenced, Moved, Unavailable
from actors.ports import ChargerStore, Exchange, FrameLog, LiveBus, StationLink
from actors.turn import Rules, Turn
from cluster.batch import NotOwner, Result, decode_items, encode
from cluster.partitions import PartitionMap
from cluster.rounds import Rounds, Step
from cluster.slots import Slots
from cluster.steps import disconnect, result_of, rounds_of, step_of, tick
from cluster.waiters import Waiters

log = logging.getLogger(__name__)

_PASSIVATIONS_PER_IDLE_TIME = 20


class HostLimits(msgspec.Struct, frozen=True):
    """How a host paces itself."""

    partitions: int = 4096
    passivate_after_s: float = 600.0
    tick_s: float = 1.0
    overdue_every_s: float = 30.0
    max_commit_units: int = 2000


class ChargerHost:
    """Holds the chargers of some partitions and runs their turns."""

    def __init__(
        self,
        store: ChargerStore,
        link: StationLink,
        frame_log: FrameLog,
        live: LiveBus,
        rules: Rules,
        limits: HostLimits,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._link = link
        self._frame_log = frame_log
        self._live = live
        self._limits = limits
        self.owned: frozenset[int] = frozenset()
        self._map = PartitionMap(limits.partitions)
        self._slots = Slots()
        self._rounds = Rounds(self._slots, store, rules, clock, self._owns, limits.max_commit_units)
        self._clock = clock
        self._look_for_overdue_at = self._passivate_at = 0.0
        self._waiters = Waiters()
        self._background: set[asyncio.Task[None]] = set()
        self._fenced = False
        self._frames_in = self._frames_out = self._turns = 0
        self._lag_s = 0.0
        """How late the event loop woke up at the last tick."""

    async def ingest(self, batch: bytes) -> bytes:
        """Take a batch of a gateway; return one result for each item, in order, once all rows are committed."""
        items = decode_items(batch)
        results: list[Result] = [NotOwner()] * len(items)
        for indexes in rounds_of(items):
            mine = [i for i in indexes if self._owns(items[i].station_id)]
            steps = [step_of(items[i]) for i in mine]
            self._frames_in += sum(step.received is not None for step in steps)
            await self._run(steps)
            for i, step in zip(mine, steps, strict=True):
                results[i] = result_of(items[i], step)
        return encode(results)

    def _owns(self, station_id: str) -> bool:
        return self._map.of(station_id) in self.owned and not self._fenced

    async def _run(self, steps: Sequence[Step]) -> None:
        """Run a round and let go what its committed turns want told; frames are the caller's to deliver."""
        if not steps:
            return
        await self._rounds.run(steps)
        crossed: list[Exchange] = []
        for step in steps:
            if step.error is not None:
                if isinstance(step.error, Fenced):
                    self._end()
            elif step.turn is not None:
                self._release(step, step.turn, crossed)
        if crossed:
            self._frame_log.write(crossed)

    def _release(self, step: Step, turn: Turn, crossed: list[Exchange]) -> None:
        self._turns += 1
        self._frames_out += len(turn.frames)
        received = step.received
        for sent in turn.frames:
            crossed.append(Exchange(step.station_id, turn.now, received, sent))
            received = None
        if received is not None:
            crossed.append(Exchange(step.station_id, turn.now, received, None))
        if turn.live:
            self._live.publish(turn.live)
        for gateway_id, conn_epoch in turn.closes:
            self._later(self._link.close(gateway_id, step.station_id, conn_epoch, "a newer connection took over"))
        for command in turn.finished:
            self._waiters.finished(command)

    def hold(self, partitions: Collection[int], own: Mapping[str, int]) -> None:
        """Serve exactly these partitions from now on; `own` are the stations that have one of their own."""
        self.owned = frozenset(partitions)
        self._map = PartitionMap(self._limits.partitions, own)

    async def give_up(self, partitions: Collection[int]) -> None:
        """Serve these no more; returns once all their turns are committed and their chargers forgotten."""
        given = frozenset(partitions)
        self.owned -= given

        def moved(station_id: str) -> bool:
            return self._map.of(station_id) in given

        for station_id in filter(moved, self._slots.ids()):
            await self._slots.forget(station_id)
        self._waiters.give_up(moved, Moved("the station has moved to another host"))

    def _end(self) -> None:
        """Other hosts have taken over: drop everything, own nothing; another life needs another ChargerHost."""
        if not self._fenced:
            log.warning("host fenced off")
            self._fenced = True
        self._slots.drop_all()

    async def submit(self, command: Command, wait_s: float = 0.0, *, again: bool = False) -> Command:
        """Queue a command; return it finished if it finishes within `wait_s`, else as it stands.

        `again` tells that an earlier call may have been executed: what it has finished is not done twice.
        Raises NotFound, BadRequest, StationOffline, TooMany, Unavailable.
        """
        if again:
            known = await self._store.command(command.id)
            if known is not None and known.finished:
                return known
        with self._waiters.until_done(command) as done, suppress(TimeoutError):
            await self._act(command.station_id, lambda charger, now: charger.submit(command, now))
            return await asyncio.wait_for(done, wait_s) if wait_s > 0 else command
        return command

    async def cancel(self, station_id: str, command_id: str, *, again: bool = False) -> Command:
        """Withdraw a queued command; `again` as in `submit`. Raises NotFound, Conflict, Unavailable."""
        if again:
            known = await self._store.command(command_id)
            if known is not None and known.station_id == station_id and known.status == "cancelled":
                return known
        turn = await self._act(station_id, lambda charger, now: charger.cancel(command_id, now))
        return turn.finished[0]

    async def configure(self, station_id: str, change: Configuration, *, create: bool, again: bool = False) -> Station:
        """Take an admin's decisions about a station; `again` as in `submit`. Raises NotFound, Conflict, Unavailable."""

        def decide(charger: Charger, now: datetime) -> Turn:
            return charger.configure(change, now, create=create, again=again)

        return (await self._act(station_id, decide)).station

    async def _act(self, station_id: str, act: Callable[[Charger, datetime], Turn]) -> Turn:
        """Run a turn that no frame asked for, and push its frames to the station."""
        step = Step(station_id, act)
        await self._run([step])
        if step.error is not None:
            raise step.error
        if step.turn is None:
            raise Unavailable("the turn did not run")
        await self._push([step])
        return step.turn

    async def _push(self, steps: Sequence[Step]) -> None:
        for step in steps:
            turn = step.turn
            if step.error is not None or turn is None or not turn.frames or turn.station.gateway_id is None:
                continue
            station = turn.station
            gateway_id, conn_epoch = turn.station.gateway_id, turn.station.conn_epoch
            if not await self._link.send(gateway_id, station.station_id, conn_epoch, turn.frames):
                # The gateway has no such socket: whatever word of its end was lost, this is it.
                await self._run([disconnect(station.station_id, conn_epoch)])

    async def run(self) -> None:
        """Tick: time-outs, queued commands, passivation."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._limits.tick_s
            await asyncio.sleep(self._limits.tick_s)
            self._lag_s = loop.time() - due
            try:
                await self.tick()
            except CloudBayError as error:
                log.warning("tick failed", extra={"reason": str(error)})
            except Exception:
                log.exception("tick failed")

    async def tick(self) -> None:
        """Let time pass for the chargers that wait for it, and put idle ones to sleep."""
        steps = [tick(station_id) for station_id in [*self._slots.waiting(), *await self._overdue()]]
        await self._run(steps)
        await self._push(steps)
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._passivate_at:
            self._passivate_at = now_s + self._limits.passivate_after_s / _PASSIVATIONS_PER_IDLE_TIME
            self._slots.passivate(now_s - self._limits.passivate_after_s)

    async def _overdue(self) -> list[str]:
        """Find sleeping chargers with commands that nobody will send in time."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._look_for_overdue_at:
            return []
        self._look_for_overdue_at = now_s + self._limits.overdue_every_s
        return [i for i in await self._store.overdue(self._clock()) if self._owns(i) and i not in self._slots]

    async def gateway_gone(self, gateway_id: str) -> None:
        """Mark the awake chargers whose socket was held by a gateway that is no more."""
        stations = [c.station for c in self._slots.chargers() if c.station.gateway_id == gateway_id]
        await self._run([disconnect(s.station_id, s.conn_epoch) for s in stations])

    def _later(self, work: Coroutine[None, None, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except CloudBayError as error:
                log.info("push failed", extra={"reason": str(error)})

        task = asyncio.create_task(guarded())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def stats(self) -> dict[str, float]:
        """Return counters since the start, and what is held now."""
        return {
            "chargers": len(self._slots),
            "connected": sum(charger.station.connected for charger in self._slots.chargers()),
            "frames_in": self._frames_in,
            "frames_out": self._frames_out,
            "turns": self._turns,
            "failures": self._rounds.failures,
            "lag_s": self._lag_s,
            "commits": self._rounds.commits.commits,
            "units": self._rounds.commits.units,
        }
