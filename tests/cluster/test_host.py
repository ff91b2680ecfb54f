"""A host with its chargers on stores in memory: what leaves when, and whose fault stays whose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import orjson
import pytest

from actors.domain.command import Command
from actors.domain.station import Configuration
from actors.errors import Conflict, Moved, NotFound, StationOffline
from actors.handlers import transactions
from actors.handlers.routes import ROUTES, Route
from actors.ocpp.messages import TransactionEvent, TransactionEventResponse
from actors.ports import Snapshot, Unit
from actors.turn import Rules, Turn
from cluster.batch import (
    Admitted,
    Answers,
    Connect,
    Disconnect,
    Frame,
    Item,
    NotOwner,
    Refused,
    Result,
    decode_results,
    encode,
)
from cluster.host import ChargerHost, HostLimits
from cluster.partitions import PartitionMap
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

    def __init__(self, rules: Rules | None = None, owned: Sequence[int] = range(16)) -> None:
        self.database = MemoryDatabase()
        self.store = SlowStore(self.database)
        self.link = Link()
        self.log = MemoryLog()
        self.now = NOW
        self.rules = rules or Rules(accept_unknown_stations=True)
        self.owned = owned
        self.host = self.next_host()

    def next_host(self) -> ChargerHost:
        """Return a host that holds nobody yet."""
        host = ChargerHost(
            self.store,
            self.link,
            self.log,
            MemoryBus(),
            self.rules,
            HostLimits(partitions=16),
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


async def test_an_answer_leaves_only_after_its_rows_are_committed() -> None:
    """E-block: what is acknowledged is stored."""
    it = Fixture()
    await it.connect("CP-1")
    it.store.may_commit.clear()
    answering = asyncio.create_task(it.ingest(it.event("CP-1", 0)))
    await it.store.committing.wait()
    assert not answering.done()
    assert it.database.events == {}
    it.store.may_commit.set()
    assert answered((await answering)[0]) == [[3, "m0", {}]]
    assert list(it.database.events) == [("CP-1", "CP-1-tx", "0")]


async def test_many_chargers_share_one_commit() -> None:
    it = Fixture()
    ids = [f"CP-{number}" for number in range(50)]
    await it.connect(*ids)
    before = it.database.commits
    await it.ingest(*(it.event(station_id, 0) for station_id in ids))
    assert it.database.commits == before + 1
    assert len(it.database.events) == 50


async def test_batches_that_come_while_a_commit_runs_share_the_next_one() -> None:
    it = Fixture()
    ids = [f"CP-{number}" for number in range(10)]
    await it.connect(*ids)
    before = it.database.commits
    it.store.may_commit.clear()
    running = [asyncio.create_task(it.ingest(it.event(ids[0], 0)))]
    await it.store.committing.wait()
    running += [asyncio.create_task(it.ingest(it.event(station_id, 0))) for station_id in ids[1:]]
    for _ in range(50):
        await asyncio.sleep(0)
    it.store.may_commit.set()
    await asyncio.gather(*running)
    assert it.database.commits == before + 2


async def test_a_database_that_is_down_makes_the_station_send_again_and_nothing_is_lost_or_doubled() -> None:
    """1.6 3.7.1, 2.x E13: a CALLERROR is what makes a station repeat."""
    it = Fixture()
    await it.connect("CP-1")
    assert answered((await it.ingest(it.event("CP-1", 0)))[0]) == [[3, "m0", {}]]
    it.database.down = True
    assert answered((await it.ingest(it.event("CP-1", 1)))[0])[0][:3] == [4, "m1", "InternalError"]
    it.database.down = False
    assert answered((await it.ingest(it.event("CP-1", 1)))[0]) == [[3, "m1", {}]]
    (transaction,) = it.database.transactions.values()
    assert (transaction.events, transaction.meter.energy_wh) == (2, 100.0)


async def test_a_charger_that_cannot_be_woken_makes_the_station_send_again() -> None:
    """1.6 3.7.1, 2.x E13: without any answer many stations wait for ever."""
    it = Fixture()
    await it.connect("CP-1")
    it.host = it.next_host()
    it.database.down = True
    assert answered((await it.ingest(it.event("CP-1", 0)))[0])[0][:3] == [4, "m0", "InternalError"]
    for no_call in (b'[3,"m0",{}]', b"no JSON"):
        assert answered((await it.ingest(Frame("CP-1", 1, no_call)))[0]) == []
    it.database.down = False
    assert answered((await it.ingest(it.event("CP-1", 0)))[0]) == [[3, "m0", {}]]


async def test_one_station_whose_rows_are_refused_does_not_disturb_another() -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    it.database.refuses = lambda unit: unit.station_id == "CP-1"
    bad, good = await it.ingest(it.event("CP-1", 0), it.event("CP-2", 0))
    assert answered(bad)[0][2] == "InternalError"
    assert answered(good) == [[3, "m0", {}]]


async def test_one_charger_that_fails_does_not_disturb_another(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    handle = transactions.handle

    def faulty(turn: Turn, event: TransactionEvent) -> TransactionEventResponse:
        if turn.station.station_id == "CP-1":
            raise ZeroDivisionError
        return handle(turn, event)

    monkeypatch.setitem(ROUTES, "TransactionEvent", Route(TransactionEvent, faulty, transactions.needs))
    bad, good = await it.ingest(it.event("CP-1", 0), it.event("CP-2", 0))
    assert answered(bad)[0][2] == "InternalError"
    assert answered(good) == [[3, "m0", {}]]


async def test_a_fault_while_fetching_is_answered_and_the_next_message_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Fixture()
    await it.connect("CP-1")
    with monkeypatch.context() as broken:
        broken.setattr(MemoryStore, "_facts", lambda self, need: 1 / 0)
        assert answered((await it.ingest(it.event("CP-1", 0)))[0])[0][2] == "InternalError"
    assert answered((await it.ingest(it.event("CP-1", 0)))[0]) == [[3, "m0", {}]]


async def test_a_fenced_host_writes_nothing_and_says_it_is_not_the_owner() -> None:
    it = Fixture()
    await it.connect("CP-1")
    it.database.join("host-0")
    assert await it.ingest(it.event("CP-1", 0)) == [NotOwner()]
    assert it.database.events == {}
    with pytest.raises(Moved):
        await it.host.submit(command("CP-1"))


async def test_a_station_of_another_host_is_sent_on() -> None:
    owned = [p for p in range(16) if p != PartitionMap(16).of("CP-1")]
    it = Fixture(owned=owned)
    assert await it.ingest(Connect("CP-1", "g-1", "ocpp2.0.1", None, "")) == [NotOwner()]


async def test_an_unknown_station_is_refused_and_not_remembered() -> None:
    it = Fixture(rules=Rules(accept_unknown_stations=False))
    (result,) = await it.ingest(Connect("CP-9", "g-1", "ocpp2.0.1", None, ""))
    assert isinstance(result, Refused)
    assert result.status == 404
    assert it.host.stats()["chargers"] == 0


async def test_the_newest_socket_wins_and_the_older_one_is_closed() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.connect("CP-1")
    await asyncio.sleep(0)
    assert it.link.closed == [("CP-1", 1)]
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    assert it.database.stations["CP-1"].connected, "a late close of the older socket changes nothing"
    assert answered((await it.ingest(it.event("CP-1", 0, conn_epoch=1)))[0]) == []


async def test_a_command_is_pushed_and_its_answer_reaches_who_waits() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = command("CP-1")
    waiting = asyncio.create_task(it.host.submit(order, wait_s=30))
    await it.link.has_sent.wait()
    (_, call) = it.link.sent[0]
    assert call[1:3] == [order.id, "ClearChargingProfile"]
    await it.ingest(Frame("CP-1", 1, orjson.dumps([3, order.id, {"status": "Accepted"}])))
    assert (await asyncio.wait_for(waiting, 5)).status == "accepted"
    assert it.database.commands[order.id].status == "accepted"


async def test_a_command_waits_for_an_offline_station_or_fails_as_its_caller_says() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(Disconnect("CP-1", 1, 1000, ""))
    with pytest.raises(StationOffline):
        await it.host.submit(command("CP-1", if_offline="fail"))
    assert (await it.host.submit(command("CP-1"))).status == "queued"
    with pytest.raises(NotFound):
        await it.host.submit(command("CP-2"))


async def test_a_socket_that_its_gateway_does_not_have_is_noted_as_gone() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    it.link.open.clear()
    order = await it.host.submit(command("CP-1"))
    assert not it.database.stations["CP-1"].connected
    assert it.database.commands[order.id].status == "timed out"


async def test_time_closes_a_command_that_is_not_answered() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = await it.host.submit(command("CP-1"))
    it.now += timedelta(minutes=1)
    await it.host.tick()
    assert it.database.commands[order.id].status == "timed out"


async def test_a_command_that_was_finished_before_its_reply_was_lost_is_not_done_again() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = await it.host.submit(command("CP-1"))
    await it.ingest(Frame("CP-1", 1, orjson.dumps([3, order.id, {"status": "Accepted"}])))
    asked_before = len(it.link.sent)
    again = msgspec.structs.replace(order, status="queued", sent_at=None, finished_at=None, response=None)
    assert (await it.host.submit(again, again=True)).status == "accepted"
    assert len(it.link.sent) == asked_before
    assert it.database.commands[order.id].status == "accepted"


async def test_a_cancel_whose_reply_was_lost_is_answered_when_it_is_asked_again() -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    order = await it.host.submit(command("CP-1"))
    assert (await it.host.cancel("CP-1", order.id)).status == "cancelled"
    it.host = it.next_host()
    told_before = len(it.database.outbox)
    assert (await it.host.cancel("CP-1", order.id, again=True)).status == "cancelled"
    assert len(it.database.outbox) == told_before, "told once"
    with pytest.raises(NotFound):
        await it.host.cancel("CP-1", order.id)
    with pytest.raises(NotFound):
        await it.host.cancel("CP-2", order.id, again=True)


async def test_a_cancel_that_was_never_executed_is_when_it_is_asked_again() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    order = await it.host.submit(command("CP-1"))
    assert (await it.host.cancel("CP-1", order.id, again=True)).status == "cancelled"
    assert it.database.commands[order.id].status == "cancelled"


async def test_a_command_that_was_sent_is_not_cancelled_however_often_one_asks() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = await it.host.submit(command("CP-1"))
    for again in (False, True):
        with pytest.raises(Conflict):
            await it.host.cancel("CP-1", order.id, again=again)


async def test_a_registration_whose_reply_was_lost_is_answered_when_it_is_asked_again() -> None:
    it = Fixture()
    decisions = Configuration(admission="Accepted", password_digest="a digest")
    await it.host.configure("CP-1", decisions, create=True)
    it.host = it.next_host()
    station = await it.host.configure("CP-1", decisions, create=True, again=True)
    assert (station.admission, station.password_digest) == ("Accepted", "a digest")
    assert [event.kind for event in it.database.outbox] == ["StationRegistered"], "registered once"


async def test_a_registration_of_a_station_that_another_has_registered_is_refused_however_often_one_asks() -> None:
    it = Fixture()
    await it.host.configure("CP-1", Configuration(password_digest="a digest"), create=True)
    for other in (Configuration(password_digest="another"), Configuration()):
        for again in (False, True):
            with pytest.raises(Conflict):
                await it.host.configure("CP-1", other, create=True, again=again)
    assert it.database.stations["CP-1"].password_digest == "a digest"


async def test_a_command_of_a_sleeping_charger_expires_in_time() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    late = command("CP-1")
    it.database.store(late)
    it.host = it.next_host()
    await it.host.tick()
    assert it.database.commands[late.id].status == "queued"
    it.now += timedelta(minutes=6)
    it.host = it.next_host()
    await it.host.tick()
    assert it.database.commands[late.id].status == "expired"


async def test_a_partition_is_given_up_only_when_its_turns_are_committed() -> None:
    it = Fixture()
    await it.connect("CP-1")
    turn = await it.begin(it.event("CP-1", 0))
    giving = asyncio.create_task(it.host.give_up(range(16)))
    await asyncio.sleep(0)
    assert (await it.ingest(it.event("CP-1", 1))) == [NotOwner()]
    assert not giving.done()
    it.store.may_commit.set()
    assert answered((await turn)[0]) == [[3, "m0", {}]]
    await asyncio.wait_for(giving, 5)
    assert it.host.stats()["chargers"] == 0


async def test_a_storm_of_connections_is_let_in_with_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who they are and which passwords they have is fetched for all of a batch at once."""
    it, asked = Fixture(), list[int]()
    load = MemoryStore.load

    async def counted(store: MemoryStore, station_ids: Sequence[str]) -> dict[str, Snapshot]:
        asked.append(len(station_ids))
        return await load(store, station_ids)

    monkeypatch.setattr(MemoryStore, "load", counted)
    await it.connect(*(f"CP-{number}" for number in range(200)))
    assert asked == [200]
    assert it.database.commits == 1


async def test_a_station_that_gets_a_partition_of_its_own_goes_with_that_one() -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    it.host.hold(range(17), {"CP-1": 16})
    assert answered((await it.ingest(it.event("CP-1", 0)))[0]) == [[3, "m0", {}]]
    await it.host.give_up([16])
    assert await it.ingest(it.event("CP-1", 1)) == [NotOwner()]
    assert answered((await it.ingest(it.event("CP-2", 0)))[0]) == [[3, "m0", {}]]
    assert it.host.stats()["chargers"] == 1


async def test_a_turn_whose_caller_is_cancelled_is_committed_before_the_charger_moves() -> None:
    """A commit in flight after the hand-off would be a second writer."""
    it = Fixture()
    await it.connect("CP-1")
    turn = await it.begin(it.event("CP-1", 0))
    turn.cancel()
    giving = asyncio.create_task(it.host.give_up(range(16)))
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert not giving.done()
    it.store.may_commit.set()
    await asyncio.wait_for(giving, 5)
    assert [event.event_key for event in it.database.events.values()] == ["0"]


async def test_a_turn_that_waits_in_line_while_its_charger_moves_is_not_taken() -> None:
    """Who checks before waiting must check again after it: two hosts would write otherwise."""
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    first = await it.begin(it.event("CP-1", 0))
    both = asyncio.create_task(it.ingest(it.event("CP-1", 1), it.event("CP-2", 0)))  # waits for CP-1
    await asyncio.sleep(0)
    giving = asyncio.create_task(it.host.give_up([PartitionMap(16).of("CP-2")]))
    await asyncio.wait_for(giving, 5)
    it.store.may_commit.set()
    await first
    results = await both
    assert answered(results[0]) == [[3, "m1", {}]]
    assert results[1] == NotOwner()
    assert [event.station_id for event in it.database.events.values()] == ["CP-1", "CP-1"]


async def test_who_waits_for_a_command_of_a_charger_that_moves_is_told_to_ask_again() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    waiting = asyncio.create_task(it.host.submit(command("CP-1"), wait_s=30))
    await asyncio.wait_for(it.link.has_sent.wait(), 5)
    await it.host.give_up(range(16))
    with pytest.raises(Moved):
        await waiting


async def test_the_stations_of_a_gateway_that_died_are_offline() -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    await it.host.gateway_gone("g-1")
    assert not any(station.connected for station in it.database.stations.values())


async def test_both_directions_are_logged() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    (exchange,) = it.log.exchanges
    assert (exchange.received, exchange.sent) == (it.event("CP-1", 0).data, b'[3,"m0",{}]')
