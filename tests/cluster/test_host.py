"""A host with its chargers on stores in memory: what leaves when, and whose fault stays whose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.handlers import transactions
from actors.handlers.routes import ROUTES, Route
from actors.ocpp.messages import TransactionEvent, TransactionEventResponse
from actors.ports import Snapshot
from actors.turn import Rules, Turn
from cluster.batch import (
    Connect,
    Disconnect,
    Frame,
    Refused,
)
from tests.cluster.one_host import Fixture, answered
from tests.twins.store import MemoryStore


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


async def test_an_idle_charger_that_is_not_connected_leaves_memory_and_comes_back_as_it_was() -> None:
    it = Fixture(passivate_after_s=0.0)
    await it.connect("CP-1", "CP-2")
    await it.ingest(it.event("CP-1", 0), it.event("CP-2", 0))
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    await it.host.tick()
    assert it.host.stats()["chargers"] == 1, "who is connected stays"
    await it.connect("CP-1")
    assert answered((await it.ingest(it.event("CP-1", 1, conn_epoch=2)))[0]) == [[3, "m1", {}]]
    assert {t.transaction_id: t.events for t in it.database.transactions.values()} == {"CP-1-tx": 2, "CP-2-tx": 1}
