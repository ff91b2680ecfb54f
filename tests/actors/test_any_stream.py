"""Whatever happens to a stream of events on its way, each is stored once and the record comes out the same.

Repeats, any order, lost answers, crashes of the host before and after its commit, new connections, a database that is
away: the station sends an event until it is answered, as E13 says.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain.events import TransactionEnded, TransactionStarted
from actors.domain.transaction import ChargingTransaction
from tests.actors.stations import Payload, Refused, Station, Station16
from tests.actors.streams import EVENING, SESSION_WH, ended_at, orders, rest_of_session, sessions, start
from tests.actors.world import Fault, Lost, World

Mishap = Literal["nothing", "crash", "reconnect", "answer lost", "host dies", "host dies late", "database away"]
FAULTS: dict[Mishap, Fault] = {
    "host dies": "before the commit",
    "host dies late": "after the commit",
    "database away": "database down",
}
MISHAPS: list[Mishap] = ["nothing", "crash", "reconnect", "answer lost", *FAULTS]


@st.composite
def journeys(draw: st.DrawFn, count: int) -> list[tuple[int, Mishap]]:
    """Draw an order of delivery, and what happens to each message."""
    return [(index, draw(st.sampled_from(MISHAPS))) for index in draw(orders(count))]


def say(station: Station | Station16, action: str, payload: Payload, mishap: Mishap) -> Payload:
    """Send a message until it is answered; return the answer that arrived."""
    world = station.world
    if mishap == "crash":
        world.crash()
    elif mishap == "reconnect":
        station.connect()
    elif mishap == "answer lost":
        station.call(action, payload)
    world.fault = FAULTS.get(mishap)
    try:
        return station.call(action, payload)
    except (Lost, Refused):
        return station.call(action, payload)
    finally:
        world.fault = None


def new_world() -> World:
    world = World(now=EVENING)
    world.add_token("anna", group_id="family")
    world.add_token("bob", status="Blocked")
    return world


def record(world: World, transaction_id: str) -> ChargingTransaction:
    """Return a stored record without the moment at which the first of its events came."""
    return msgspec.structs.replace(world.transaction(transaction_id), created_at=EVENING)


@settings(max_examples=120)
@given(st.data())
def test_any_stream_of_events_is_stored_once_and_makes_the_same_record(data: st.DataObject) -> None:
    events = [*data.draw(sessions("tx-1")), *data.draw(sessions("tx-2"))]
    smooth, rough = new_world(), new_world()
    expected = [Station(smooth).call("TransactionEvent", event) for event in events]

    station = Station(rough)
    for index, mishap in data.draw(journeys(len(events))):
        answer = say(station, "TransactionEvent", events[index], mishap)
        assert answer == expected[index], "a repeat is answered as the first"

    for transaction_id in ("tx-1", "tx-2"):
        told = [e for e in events if e["transactionInfo"]["transactionId"] == transaction_id]
        stored = rough.events(transaction_id)
        assert sorted(e.event_key for e in stored) == sorted(str(e["seqNo"]) for e in told)
        assert [orjson.loads(e.payload) for e in stored if e.event_type == "Started"] == told[:1]
        assert record(rough, transaction_id) == record(smooth, transaction_id)
        assert rough.curve(transaction_id) == smooth.curve(transaction_id)
        points = rough.curve(transaction_id)
        assert round(record(rough, transaction_id).meter.energy_wh, 3) == (points[-1].energy_wh if points else 0.0)
        started = [e for e in rough.told(TransactionStarted) if e.transaction_id == transaction_id]
        ended = [e for e in rough.told(TransactionEnded) if e.transaction_id == transaction_id]
        for business, wanted in ((started, "Started"), (ended, "Ended")):
            assert len(business) == sum(e["eventType"] == wanted for e in told), "told once"


@settings(max_examples=60)
@given(st.data())
def test_any_stream_of_1_6_is_stored_once_and_its_ids_stay(data: st.DataObject) -> None:
    """Starts in any order with repeats; then values and stops, in any order with repeats."""
    world = new_world()
    station = Station16(world)
    count = data.draw(st.integers(1, 3))
    starts = [start(number) for number in range(count)]
    ids: dict[int, set[int]] = {n: set() for n in range(count)}
    for index, mishap in data.draw(journeys(count)):
        ids[index].add(say(station, "StartTransaction", starts[index], mishap)["transactionId"])
    assert all(len(given) == 1 for given in ids.values()), "one id for each start, however often it came"
    assert len({min(given) for given in ids.values()}) == count

    messages = [m for n in range(count) for m in rest_of_session(n, min(ids[n]))]
    for index, mishap in data.draw(journeys(len(messages))):
        say(station, *messages[index], mishap)
    for n in range(count):
        transaction = world.transaction(min(ids[n]))
        assert (transaction.events, len(world.events(min(ids[n])))) == (4, 4)
        assert transaction.ended_at == ended_at(n)
        assert (transaction.meter.energy_wh, world.curve(min(ids[n]))[-1].energy_wh) == (
            SESSION_WH,
            SESSION_WH,
        )
    assert len(world.told(TransactionEnded)) == count
