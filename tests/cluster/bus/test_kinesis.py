"""Business events reach Kinesis at least once and in each station's order, whatever fails; on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from cluster.bus import kinesis
from cluster.bus.journal import KINESIS
from cluster.bus.kinesis import MAX_RECORDS, KinesisForwarder, KinesisStream, Record
from cluster.bus.outbox import WaitingEvent
from cluster.store.journal import PostgresJournal
from tests.cluster.bus.facts import NOON, fact, tell
from tests.cluster.bus.kinesis_server import REGION, KinesisServer, Wire, started, wired
from tests.twins.journal import MemoryJournal


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")


@pytest.fixture(scope="module")
def server() -> Iterator[KinesisServer]:
    threaded, server = started()
    yield server
    threaded.stop()


@pytest.fixture
def stream(server: KinesisServer) -> str:
    """Make a stream of this test's own."""
    name = f"events-{uuid4().hex[:8]}"
    server.make_stream(name)
    return name


@pytest.fixture
async def wire(server: KinesisServer) -> AsyncIterator[Wire]:
    async with wired(server.url) as wire:
        yield wire


class Seconds:
    """The journal's clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def journal(seconds: Seconds) -> MemoryJournal:
    return MemoryJournal([KINESIS], seconds)


def told(number: int, station_id: str = "CP-1", data: str | None = None) -> WaitingEvent:
    return WaitingEvent(f"id-{number}", "A", station_id, NOON, data or f'{{"number":{number}}}')


def forwarder(journal: MemoryJournal | PostgresJournal, name: str, url: str, holder: str = "f") -> KinesisForwarder:
    return KinesisForwarder(journal, KinesisStream(name, REGION, url), holder, 0.01, lambda: 0.0)


async def forward_all(one: KinesisForwarder) -> None:
    """Forward until there is nothing more, through whatever is refused."""
    for _ in range(200):
        try:
            if not await one.forward():
                return
        except Unavailable:
            continue
    raise AssertionError("there is always more")


async def test_an_event_is_a_record_under_its_station(
    journal: MemoryJournal, server: KinesisServer, stream: str
) -> None:
    journal.add([told(7, "CP-9")])
    await forward_all(forwarder(journal, stream, server.url))
    (record,) = server.records(stream)
    assert record["key"] == "CP-9"
    assert record["message"] == {
        "specversion": "1.0",
        "id": "id-7",
        "source": "/facts",
        "type": "A",
        "subject": "CP-9",
        "time": "2026-05-04T12:00:00Z",
        "data": {"number": 7},
    }
    assert journal.positions[KINESIS] == 1


async def test_the_events_of_a_station_are_in_order_and_in_one_shard(
    journal: MemoryJournal, server: KinesisServer, stream: str
) -> None:
    journal.add([told(number, f"CP-{number % 7}") for number in range(70)])
    await forward_all(forwarder(journal, stream, server.url))
    for station in range(7):
        assert server.numbers(stream, f"CP-{station}") == list(range(station, 70, 7))
        assert len({r["shard"] for r in server.records(stream) if r["key"] == f"CP-{station}"}) == 1
    assert len({record["shard"] for record in server.records(stream)}) == 2


async def test_refused_records_are_sent_again_in_their_station_s_order_and_hold_up_no_other(
    journal: MemoryJournal, server: KinesisServer, stream: str, wire: Wire
) -> None:
    """PutRecords: a record may fail while the others of its request are taken."""
    journal.add([told(number, f"CP-{number % 3}") for number in range(30)])
    one = forwarder(journal, stream, wire.url)
    wire.refuses = lambda station_id, place: station_id == "CP-1"
    for _ in range(12):
        await one.forward()
    assert server.numbers(stream, "CP-1") == []
    assert server.numbers(stream, "CP-0") == list(range(0, 30, 3))
    assert journal.positions[KINESIS] == 1, "the checkpoint stays before the first event that is open"
    wire.refuses = lambda station_id, place: len(wire.requests) % 3 == place
    await forward_all(one)
    for station in range(3):
        assert server.numbers(stream, f"CP-{station}") == list(range(station, 30, 3)), "in order, and each once"
    assert journal.positions[KINESIS] == 30


async def test_throttling_is_waited_out(journal: MemoryJournal, server: KinesisServer, stream: str, wire: Wire) -> None:
    journal.add([told(1)])
    one = forwarder(journal, stream, wire.url)
    wire.throttles = 2
    for _ in range(2):
        with pytest.raises(Unavailable, match="ProvisionedThroughputExceededException"):
            await one.forward()
    await forward_all(one)
    assert server.numbers(stream) == [1]


async def test_an_answer_that_is_lost_leads_to_a_repeat_and_no_loss(
    journal: MemoryJournal, server: KinesisServer, stream: str, wire: Wire
) -> None:
    journal.add([told(1), told(2)])
    wire.loses_answers = 1
    await forward_all(forwarder(journal, stream, wire.url))
    assert server.numbers(stream) == [1, 1, 2]


async def test_who_dies_between_the_stream_and_the_checkpoint_is_repeated_by_the_next_and_nothing_is_lost(
    journal: MemoryJournal, server: KinesisServer, stream: str, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.add([told(number) for number in (1, 2, 3)])
    dying = forwarder(journal, stream, server.url, "dying")
    await dying.forward()

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "advance", dies)
        with pytest.raises(KeyboardInterrupt):
            await dying.forward()
    heir = forwarder(journal, stream, server.url, "heir")
    assert not await heir.forward(), "the place is still another's"
    seconds.now += kinesis.LEASE_S + 1
    await forward_all(heir)
    assert server.numbers(stream) == [1, 2, 2, 3]
    assert {record["message"]["id"] for record in server.records(stream)} == {"id-1", "id-2", "id-3"}


async def test_one_that_was_away_goes_on_where_its_successor_has_come_to(
    journal: MemoryJournal, server: KinesisServer, stream: str, seconds: Seconds
) -> None:
    first, second = (forwarder(journal, stream, server.url, name) for name in ("first", "second"))
    journal.add([told(1)])
    await forward_all(first)
    seconds.now += kinesis.LEASE_S + 1
    journal.add([told(2)])
    await forward_all(second)
    await journal.leave(KINESIS, "second")
    journal.add([told(3)])
    await forward_all(first)
    assert server.numbers(stream) == [1, 2, 3]


async def test_a_server_that_is_away_is_waited_for(
    journal: MemoryJournal,
    server: KinesisServer,
    stream: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(kinesis, "MAX_DELAY_S", 0.05)
    journal.add([told(1)])
    away = KinesisStream(stream, REGION, "http://127.0.0.1:9")
    there = KinesisStream(stream, REGION, server.url)

    class Returning:
        tries = 0

        async def put(self, records: list[Record]) -> object:
            self.tries += 1
            return await (away if self.tries < 4 else there).put(records)

    running = asyncio.create_task(KinesisForwarder(journal, Returning(), "f", 0.01, lambda: 0.0).run())  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        while journal.positions[KINESIS] < 1:  # noqa: ASYNC110 - the twin has no event for it
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert server.numbers(stream) == [1]
    assert caplog.messages.count("Kinesis forwarder waits") == 1, "an outage is told once"
    assert await journal.hold(KINESIS, "other", 1) == 1, "who is stopped leaves its place"


async def test_an_event_that_no_request_can_hold_is_told_and_left_out(
    journal: MemoryJournal, server: KinesisServer, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal.add([told(1, data='"%s"' % ("x" * kinesis.MAX_RECORD_BYTES)), told(2)])
    one = forwarder(journal, stream, server.url)
    await forward_all(one)
    assert server.numbers(stream) == [2]
    assert (one.skipped, one.forwarded, journal.positions[KINESIS]) == (1, 1, 2)
    assert "event too large for Kinesis" in caplog.messages


async def test_requests_stay_within_the_limits_of_kinesis(
    journal: MemoryJournal, server: KinesisServer, stream: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.add([told(number, f"CP-{number}") for number in range(MAX_RECORDS + 20)])
    one = forwarder(journal, stream, wire.url)
    await forward_all(one)
    assert [len(keys) for keys in wire.requests] == [MAX_RECORDS, 20]
    monkeypatch.setattr(kinesis, "MAX_REQUEST_BYTES", 1000)
    wire.requests.clear()
    journal.add([told(number, f"CP-{number}") for number in range(20)])
    await forward_all(one)
    assert all(2 <= len(keys) < 20 for keys in wire.requests)
    assert sorted(server.numbers(stream)) == sorted([*range(MAX_RECORDS + 20), *range(20)])


async def test_many_forwarders_on_the_real_journal_make_one_stream(
    engine: AsyncEngine, server: KinesisServer, stream: str
) -> None:
    journal = PostgresJournal(engine)
    await journal.follow(KINESIS, wanted=True)
    running = [
        asyncio.create_task(forwarder(PostgresJournal(engine), stream, server.url, f"f{number}").run())
        for number in range(3)
    ]
    for number in range(40):
        await tell(engine, [fact("A", f"CP-{number % 4}", number)])
    async with asyncio.timeout(30):
        while len(set(server.numbers(stream))) < 40:
            await asyncio.sleep(0.05)
            running[0].cancel()  # whoever held the place: the others go on
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    messages = {record["message"]["id"]: record["message"] for record in server.records(stream)}
    for station in range(4):
        mine = [m["data"]["number"] for m in messages.values() if m["subject"] == f"CP-{station}"]
        assert mine == list(range(station, 40, 4))


async def test_what_is_wrong_with_the_stream_is_named(server: KinesisServer) -> None:
    with pytest.raises(Unavailable, match="ResourceNotFoundException"):
        await KinesisStream("nothing", REGION, server.url).put([Record("CP-1", msgspec.json.encode({}))])
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        await KinesisStream("nothing", REGION, "http://127.0.0.1:9").put([Record("CP-1", b"{}")])
