"""One host on stores in memory, what is around it, and a station's side of the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from actors.domain.command import Command
from actors.ports import Unit
from actors.turn import Rules
from cluster.batch import (
    Admitted,
    Answers,
    Connect,
    Frame,
    Item,
    Result,
    decode_results,
    encode,
)
from cluster.host import ChargerHost, HostLimits
from tests.twins.store import MemoryDatabase, MemoryStore
from tests.twins.watchers import MemoryBus, MemoryLog

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Link:
    """Gateways in memory: `open` holds the sockets that exist."""

    def __init__(self) -> None:
        self.open: set[tuple[str, int]] = set()
        self.sent: list[tuple[str, list[Any]]] = []
        self.closed: list[tuple[str, int]] = []
        self.has_sent = asyncio.Event()

    async def send(self, gateway_id: str, station_id: str, conn_epoch: int, frames: Sequence[bytes]) -> bool:
        if (station_id, conn_epoch) not in self.open:
            return False
        self.sent += [(station_id, orjson.loads(frame)) for frame in frames]
        self.has_sent.set()
        return True

    async def close(self, gateway_id: str, station_id: str, conn_epoch: int, reason: str) -> None:
        self.closed.append((station_id, conn_epoch))


class SlowStore(MemoryStore):
    """Commits only when the test lets it."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.committing = asyncio.Event()

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        if not self.may_commit.is_set():
            self.committing.set()
        await self.may_commit.wait()
        return await super().commit(units)


class Fixture:
    """A host, what is around it, and a station's side of the conversation."""

    def __init__(
        self, rules: Rules | None = None, owned: Sequence[int] = range(16), passivate_after_s: float = 600.0
    ) -> None:
        self.database = MemoryDatabase()
        self.store = SlowStore(self.database)
        self.link = Link()
        self.log = MemoryLog()
        self.now = NOW
        self.rules = rules or Rules(accept_unknown_stations=True)
        self.owned = owned
        self.passivate_after_s = passivate_after_s
        self.host = self.next_host()

    def next_host(self) -> ChargerHost:
        """Return a host that holds nobody yet."""
        host = ChargerHost(
            self.store,
            self.link,
            self.log,
            MemoryBus(),
            self.rules,
            HostLimits(partitions=16, passivate_after_s=self.passivate_after_s),
            clock=lambda: self.now,
        )
        host.hold(self.owned, {})
        return host

    async def ingest(self, *items: Item) -> list[Result]:
        return decode_results(await self.host.ingest(encode(items)))

    async def begin(self, *items: Item) -> asyncio.Task[list[Result]]:
        """Begin turns that stay in the middle of their commit until the store may commit."""
        self.store.may_commit.clear()
        turns = asyncio.create_task(self.ingest(*items))
        await asyncio.wait_for(self.store.committing.wait(), 5)
        return turns

    async def connect(self, *station_ids: str) -> None:
        results = await self.ingest(*(Connect(i, "g-1", "ocpp2.0.1", None, "") for i in station_ids))
        for station_id, result in zip(station_ids, results, strict=True):
            assert isinstance(result, Admitted)
            self.link.open.add((station_id, result.conn_epoch))

    def event(self, station_id: str, seq_no: int, conn_epoch: int = 1) -> Frame:
        stamp = (NOW - timedelta(hours=1) + timedelta(minutes=seq_no)).isoformat()
        payload = {
            "eventType": "Updated" if seq_no else "Started",
            "timestamp": stamp,
            "triggerReason": "MeterValuePeriodic",
            "seqNo": seq_no,
            "transactionInfo": {"transactionId": f"{station_id}-tx"},
            "meterValue": [{"timestamp": stamp, "sampledValue": [{"value": 100.0 * seq_no}]}],
        }
        return Frame(station_id, conn_epoch, orjson.dumps([2, f"m{seq_no}", "TransactionEvent", payload]))


def answered(result: Result) -> list[Any]:
    assert isinstance(result, Answers)
    return [orjson.loads(frame) for frame in result.frames]


def command(station_id: str, **more: Any) -> Command:
    deadline = NOW + timedelta(minutes=5)
    return Command(str(uuid4()), station_id, "ClearChargingProfile", {"chargingProfileId": 1}, NOW, deadline, **more)
