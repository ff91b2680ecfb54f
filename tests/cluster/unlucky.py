"""A host on the real store, and what can happen to it between a station's message and its answer.

The station's side is that of E13: what is not answered, or refused, is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from actors.ports import Unit
from actors.turn import Rules
from cluster.batch import Admitted, Answers, Connect, Frame, Item, NotOwner, decode_results, encode
from cluster.host import ChargerHost, HostLimits
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from tests.actors.stations import Payload
from tests.actors.streams import EVENING
from tests.twins.vault import fixed_vault
from tests.twins.watchers import MemoryBus, MemoryLog

Mishap = Literal[
    "nothing",
    "memory lost",
    "host dies",
    "host replaced meanwhile",
    "former host asked first",
    "reconnect",
    "sent twice at once",
    "database away",
    "word of the commit lost",
]
MISHAPS: Final[tuple[Mishap, ...]] = Mishap.__args__  # type: ignore[attr-defined]
_PARTITIONS = 4
_HOST = "host-0"


class Message(NamedTuple):
    """A CALL of a station; messages of one name are repeats of each other."""

    station_id: str
    name: str
    action: str
    payload: Payload


class FaultyStore(PostgresChargerStore):
    """PostgreSQL; `fault` happens to the next commit."""

    fault: Mishap = "nothing"

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        fault, self.fault = self.fault, "nothing"
        if fault == "database away":
            raise Unavailable("the database cannot be reached now")
        refused = await super().commit(units)
        if fault == "word of the commit lost":
            raise Unavailable("the database cannot be reached now")
        return refused


class NoGateway:
    """Sockets that nobody looks at."""

    async def send(self, gateway_id: str, station_id: str, conn_epoch: int, frames: Sequence[bytes]) -> bool:
        return True

    async def close(self, gateway_id: str, station_id: str, conn_epoch: int, reason: str) -> None:
        return None


class UnluckyHost:
    """The lives of one host; `take_over` begins the first and each next one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.now = EVENING
        self.store: FaultyStore
        self._lives: list[ChargerHost] = []
        self._engine = engine
        self._stations: dict[str, tuple[str, int]] = {}
        """Each station's subprotocol and newest conn_epoch."""
        self._sent = 0

    async def take_over(self) -> None:
        """Begin a new life, which fences the one before off."""
        self.store = FaultyStore(
            self._engine, fixed_vault(), _HOST, await PostgresFleet(self._engine).join(_HOST, lease_s=60)
        )
        rules = Rules(accept_unknown_stations=True)
        limits = HostLimits(partitions=_PARTITIONS)
        link, log, bus = NoGateway(), MemoryLog(), MemoryBus()
        host = ChargerHost(self.store, link, log, bus, rules, limits, clock=lambda: self.now)
        host.hold(range(_PARTITIONS), {})
        self._lives.append(host)

    @property
    def _host(self) -> ChargerHost:
        return self._lives[-1]

    async def connect(self, station_id: str, subprotocol: str = "ocpp2.0.1") -> None:
        """Open a new socket for a station."""
        connect = Connect(station_id, "g-1", subprotocol, None, "")
        (result,) = decode_results(await self._host.ingest(encode([connect])))
        assert isinstance(result, Admitted), result
        self._stations[station_id] = subprotocol, result.conn_epoch

    async def say(self, messages: Sequence[Message], mishap: Mishap) -> list[Payload]:
        """Send messages in one batch, and again what was not answered; return the answers that arrived."""
        frames = [self._frame(message) for message in messages]
        answers = await self._suffer(frames, mishap)
        for index, message in enumerate(messages):
            if answers[index] is None:
                (answers[index],) = await _ingest(self._host, [self._frame(message)])
        assert all(answer is not None for answer in answers), "what is sent again in peace is answered"
        return [answer for answer in answers if answer is not None]

    def _frame(self, message: Message) -> Frame:
        self._sent += 1
        self.now += timedelta(milliseconds=100)
        message_id = f"{message.name} {self._sent % 2}"  # some repeats keep their message id, others do not
        data = orjson.dumps([2, message_id, message.action, message.payload])
        return Frame(message.station_id, self._stations[message.station_id][1], data)

    async def _suffer(self, frames: Sequence[Frame], mishap: Mishap) -> list[Payload | None]:
        if mishap == "memory lost":
            await self._host.give_up(range(_PARTITIONS))
            self._host.hold(range(_PARTITIONS), {})
        elif mishap == "host dies":
            await self.take_over()
        elif mishap == "host replaced meanwhile":
            answers, _ = await asyncio.gather(_ingest(self._host, frames), self.take_over())
            return answers
        elif mishap == "former host asked first":
            return await _ingest(self._lives[-2:][0], frames)  # what it still remembers is not the truth any more
        elif mishap == "reconnect":
            for station_id in {frame.station_id for frame in frames}:
                await self.connect(station_id, self._stations[station_id][0])
            answers = await _ingest(self._host, frames)
            assert not [answer for answer in answers if answer is not None], "an older socket gets no answer"
            return answers
        elif mishap == "sent twice at once":
            first, second = await asyncio.gather(_ingest(self._host, frames), _ingest(self._host, frames))
            return [a if a is not None else b for a, b in zip(first, second, strict=True)]
        self.store.fault = mishap
        try:
            return await _ingest(self._host, frames)
        finally:
            self.store.fault = "nothing"


async def _ingest(host: ChargerHost, frames: Sequence[Item]) -> list[Payload | None]:
    """Return what each frame is answered, None where it is not or with a CALLERROR."""
    answers: list[Payload | None] = []
    for result in decode_results(await host.ingest(encode(frames))):
        assert isinstance(result, Answers | NotOwner), result
        sent: list[Any] = [orjson.loads(frame) for frame in result.frames] if isinstance(result, Answers) else []
        answers.append(next((frame[2] for frame in sent if frame[0] == 3), None))
    return answers
