"""Any stream of events through hosts and PostgreSQL: exactly the rows that it owes, whatever happens on its way.

As tests/actors/test_any_stream.py for the core alone; here with batches, group commits, fences and the real store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction
from actors.ports import Needs
from cluster.store.tokens import PostgresTokens
from tests.actors.stations import Payload, Station
from tests.actors.streams import EVENING, SESSION_WH, ended_at, orders, rest_of_session, sessions, start
from tests.actors.world import World
from tests.cluster.unlucky import MISHAPS, Message, Mishap, UnluckyHost
from tests.twins.vault import fixed_vault

TOKENS = (KnownToken("anna", group_id="family"), KnownToken("bob", status="Blocked"))
EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = count(1)
"""Every example has stations of its own."""


class Step(NamedTuple):
    """Messages of one batch, by their index, and what happens to it."""

    indexes: list[int]
    mishap: Mishap


@st.composite
def journeys(draw: st.DrawFn, messages: int) -> list[Step]:
    """Draw an order of delivery in batches, and what happens to each."""
    order, steps = draw(orders(messages)), []
    while order:
        size = draw(st.integers(1, 4))
        steps.append(Step(order[:size], draw(st.sampled_from(MISHAPS))))
        order = order[size:]
    return steps


class Database:
    """What the tables say of a station."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def rows(self, query: str, station_id: str) -> list[tuple[Any, ...]]:
        async with self._engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(query), {"station_id": station_id})]

    async def keys(self, station_id: str, transaction_id: str) -> list[str]:
        """Return the keys of a transaction's stored events, by their sequence numbers."""
        query = "SELECT transaction_id, event_key FROM transaction_events WHERE station_id = :station_id"
        rows = await self.rows(f"{query} ORDER BY seq_no", station_id)
        return [key for found, key in rows if found == transaction_id]

    async def open(self, station_id: str) -> set[str]:
        """Return the transactions that have not ended."""
        query = "SELECT transaction_id FROM transactions WHERE station_id = :station_id AND ended_at IS NULL"
        return {transaction_id for (transaction_id,) in await self.rows(query, station_id)}

    async def told(self, station_id: str, kind: str) -> list[str]:
        """Return the transactions of which the business was told so, one for each time."""
        query = "SELECT kind, data->>'transactionId' FROM outbox WHERE station_id = :station_id"
        return sorted(transaction_id for found, transaction_id in await self.rows(query, station_id) if found == kind)


@pytest.fixture
async def tables(engine: AsyncEngine) -> Database:
    for token in TOKENS:
        await PostgresTokens(engine, fixed_vault()).put(token)
    return Database(engine)


async def record(host: UnluckyHost, station_id: str, transaction_id: str) -> ChargingTransaction:
    """Return a stored record without the moment at which the first of its events came."""
    (facts,) = await host.store.facts([Needs(station_id, (), transaction_id)])
    found = facts.transactions[transaction_id]
    assert found is not None, "a transaction that a station has spoken of is stored"
    return msgspec.structs.replace(found, created_at=EVENING)


def in_order(messages: Sequence[Message]) -> tuple[World, list[Payload]]:
    """Say everything once, in its order, to the core alone; return what it holds and has answered."""
    world = World(now=EVENING)
    for token in TOKENS:
        world.database.add_token(token)
    stations = {station_id: Station(world, station_id) for station_id in {m.station_id for m in messages}}
    return world, [stations[m.station_id].call(m.action, m.payload) for m in messages]


pytestmark = pytest.mark.timeout(420)  # so that hypothesis may make a failing example small

Told = Mapping[tuple[str, str], list[Payload]]
"""Events by station and transaction, in their true order."""


@settings(EXAMPLES, max_examples=100)
@given(st.data())
async def test_any_stream_of_2_0_1_leaves_the_rows_that_the_ordered_one_leaves(
    engine: AsyncEngine, tables: Database, data: st.DataObject
) -> None:
    """E13: by seqNo, once, in whatever order and however often; what has ended stays so."""
    one, other = f"A-{next(numbers)}", f"B-{next(numbers)}"
    # Ids of transactions are unique within a station only.
    told = {(i, tx): data.draw(sessions(tx)) for i, tx in ((one, "tx-1"), (one, "tx-2"), (other, "tx-1"))}
    messages = [
        Message(station_id, f"{station_id} {transaction_id} {event['seqNo']}", "TransactionEvent", event)
        for (station_id, transaction_id), events in told.items()
        for event in events
    ]
    smooth, expected = in_order(messages)
    host = UnluckyHost(engine)
    await host.take_over()
    await host.connect(one)
    await host.connect(other)

    ended = set[tuple[str, str]]()
    for step in data.draw(journeys(len(messages))):
        said = [messages[index] for index in step.indexes]
        answers = await host.say(said, step.mishap)
        assert answers == [expected[index] for index in step.indexes], "a repeat is answered as the first"
        over = [m for m in said if m.payload["eventType"] == "Ended"]
        ended |= {(m.station_id, m.payload["transactionInfo"]["transactionId"]) for m in over}
        for station_id in (one, other):
            still_open = {(station_id, transaction_id) for transaction_id in await tables.open(station_id)}
            assert not ended & still_open, "what has ended stays so"

    for (station_id, transaction_id), events in told.items():
        assert await tables.keys(station_id, transaction_id) == [str(event["seqNo"]) for event in events]
        wanted = smooth.transaction(transaction_id, station_id)
        found = await record(host, station_id, transaction_id)
        assert found == msgspec.structs.replace(wanted, created_at=EVENING)
    for station_id in (one, other):
        await check_what_was_told(tables, station_id, told, ended)
        awake = (await host.store.load([station_id]))[station_id].transactions
        assert {t.transaction_id for t in awake} == await tables.open(station_id)


async def check_what_was_told(tables: Database, station_id: str, told: Told, ended: set[tuple[str, str]]) -> None:
    """Check that the business has learned of each start and each end, once."""
    begun = [transaction_id for found, transaction_id in told if found == station_id]
    assert await tables.told(station_id, "TransactionStarted") == begun
    over = [transaction_id for transaction_id in begun if (station_id, transaction_id) in ended]
    assert await tables.told(station_id, "TransactionEnded") == over


@settings(EXAMPLES, max_examples=80)
@given(st.data())
async def test_any_stream_of_1_6_is_stored_once_and_each_start_keeps_its_id(
    engine: AsyncEngine, tables: Database, data: st.DataObject
) -> None:
    """1.6 3.7.1, 4.8-4.10: a start that is repeated is the same transaction; nothing is resurrected by a late value."""
    station_id = f"C-{next(numbers)}"
    host = UnluckyHost(engine)
    await host.take_over()
    await host.connect(station_id, "ocpp1.6")
    length = data.draw(st.integers(1, 3))
    ids: dict[int, set[int]] = {number: set() for number in range(length)}
    stopped = set[str]()
    for step in data.draw(journeys(4 * length)):
        parts = [divmod(index, 4) for index in step.indexes]
        # A station learns an id from the answer to its start: what carries the id comes after that.
        starts = [number for number, part in parts if part == 0 or not ids[number]]
        said = [Message(station_id, f"start {number}", "StartTransaction", start(number)) for number in starts]
        for number, answer in zip(starts, await host.say(said, step.mishap), strict=True):
            ids[number].add(answer["transactionId"])
        rest = [
            Message(station_id, f"{number} {part}", *rest_of_session(number, min(ids[number]))[part - 1])
            for number, part in parts
            if part
        ]
        await host.say(rest, step.mishap)
        stopped |= {str(m.payload["transactionId"]) for m in rest if m.action == "StopTransaction"}
        assert not stopped & await tables.open(station_id), "what has ended stays so"

    assert all(len(given_ids) == 1 for given_ids in ids.values()), "one id for each start, however often it came"
    wire_ids = [str(min(given_ids)) for given_ids in ids.values()]
    for number, wire_id in enumerate(wire_ids):
        assert len(await tables.keys(station_id, wire_id)) == 4
        found = await record(host, station_id, wire_id)
        assert (found.events, found.conflicts, found.ended_at) == (4, 0, ended_at(number))
        assert found.meter.energy_wh == SESSION_WH
    assert await tables.told(station_id, "TransactionStarted") == sorted(set(wire_ids)), "an id of its own for each"
    assert len(set(wire_ids)) == length
    assert await tables.told(station_id, "TransactionEnded") == sorted(wire_ids)
