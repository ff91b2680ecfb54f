"""Transactions of 1.6, whose ids the platform gives and whose messages have no numbers (1.6 4.7, 4.8, 4.10).

Acceptance items and the tests that prove them:
23  ids: an_id_is_stored_before..., a_repeated_start_gets_the_same_id..., no_id_is_given_twice...,
    an_id_of_another_platform..., a_stop_that_never_learned..., a_stop_without_a_start..., a_repeated_stop...
27  meter values: values_without_an_id..., transaction_data..., values_after_the_stop..., what_cannot_be_read...
28  clocks: a_start_of_1970...
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.domain.events import TransactionEnded
from actors.domain.transaction import gap_report
from tests.actors.stations import Refused, Station16
from tests.actors.world import NOON, Lost, World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World(now=NOON + 60 * MINUTE)


@pytest.fixture
def station(world: World) -> Station16:
    station = Station16(world)
    station.boot()
    return station


def energies(world: World, transaction_id: int) -> list[float]:
    return [point.energy_wh for point in world.curve(transaction_id)]


def value(wh: float, at: datetime, **sample: Any) -> dict[str, Any]:
    return {"timestamp": at.isoformat(), "sampledValue": [{"value": str(wh)} | sample]}


def test_a_whole_transaction(world: World, station: Station16) -> None:
    transaction_id = station.start("anna", 2, 1000, NOON)["transactionId"]
    station.meter(1.5, transaction_id, NOON + MINUTE, 2, unit="kWh")
    station.stop(transaction_id, 1900, NOON + 2 * MINUTE, reason="EVDisconnected")
    record = world.transaction(transaction_id)
    assert (record.id_token, record.evse_id, record.stopped_reason) == ("anna", 2, "EVDisconnected")
    assert (record.started_at, record.ended_at) == (NOON, NOON + 2 * MINUTE)
    assert (record.meter.energy_wh, energies(world, transaction_id)) == (900, [0, 500, 900])
    assert gap_report(record).complete


def test_an_id_is_stored_before_the_station_hears_of_it(world: World, station: Station16) -> None:
    world.fault = "database down"
    with pytest.raises(Refused, match="InternalError"):
        station.start(at=NOON)
    assert world.transactions() == []
    world.fault = "before the commit"
    with pytest.raises(Lost):
        station.start(at=NOON)
    transaction_id = station.start(at=NOON)["transactionId"]
    assert world.transaction(transaction_id).started_at == NOON
    assert world.stored_station().next_transaction_id > transaction_id > 0


@pytest.mark.parametrize("fault", [None, "after the commit"])
def test_a_repeated_start_gets_the_same_id(world: World, station: Station16, fault: Any) -> None:
    """The answer was lost, or the host died between the commit and the answer."""
    world.fault = fault
    if fault is None:
        station.start("anna", 1, 1000, NOON)
    else:
        with pytest.raises(Lost):
            station.start("anna", 1, 1000, NOON)
    (stored,) = world.transactions()
    repeats = [station.start("anna", 1, 1000, NOON), station.start("ANNA", 1, 1000, NOON, reservationId=4)]
    station.connect()
    world.crash()
    repeats.append(station.start("anna", 1, 1000, NOON))
    assert {answer["transactionId"] for answer in repeats} == {int(stored.transaction_id)}
    assert len(world.transactions()) == 1


def test_a_start_repeated_after_the_stop_gets_the_same_id_and_reopens_nothing(world: World, station: Station16) -> None:
    first = station.start(at=NOON)
    station.stop(first["transactionId"], 500, NOON + MINUTE)
    world.crash()
    assert station.start(at=NOON) == first
    record = world.transaction(first["transactionId"])
    assert (record.ended_at, record.events) == (NOON + MINUTE, 2)


@pytest.mark.parametrize(
    "other", [{"connector": 2}, {"tag": "bob"}, {"wh": 1001}, {"at": NOON + timedelta(milliseconds=1)}]
)
def test_a_start_of_other_connector_tag_register_or_time_is_another_transaction(
    world: World, station: Station16, other: dict[str, Any]
) -> None:
    start: dict[str, Any] = {"tag": "anna", "connector": 1, "wh": 1000, "at": NOON}
    assert station.start(**start)["transactionId"] != station.start(**(start | other))["transactionId"]


def test_no_id_is_given_twice_whatever_happens(world: World, station: Station16) -> None:
    given = []
    for number in range(12):
        given.append(station.start(wh=number)["transactionId"])
        if number % 3 == 0:
            world.crash()
        if number % 4 == 0:
            station.connect()
    assert len(set(given)) == 12
    assert all(0 < number < 2**31 for number in given)


def test_an_id_of_another_platform_is_taken_and_not_given_again(world: World, station: Station16) -> None:
    """A station that moved here ends what it began elsewhere."""
    foreign = world.stored_station().next_transaction_id
    assert station.stop(foreign, 5000, NOON) == {}
    record = world.transaction(foreign)
    assert (record.ended_at, gap_report(record).start_missing) == (NOON, True)
    assert station.start()["transactionId"] > foreign
    station.stop(2**31 - 1, 5000, NOON)
    assert 0 < station.start()["transactionId"] < 2**30  # the counter does not run out


@pytest.mark.parametrize("unknown", [-1, 0])
def test_a_stop_that_never_learned_its_id_is_stored_and_answered(
    world: World, station: Station16, unknown: int
) -> None:
    """1.6 4.10, libocpp #495: the start was never answered."""
    world.add_token("anna")
    for _ in range(2):
        assert station.stop(unknown, 4000, NOON, idTag="anna") == {"idTagInfo": {"status": "Accepted"}}
    station.stop(unknown, 4500, NOON + MINUTE)
    stored = world.transactions()
    assert [(t.ended_at, t.events, gap_report(t).start_missing) for t in stored] == [
        (NOON, 1, True),
        (NOON + MINUTE, 1, True),
    ]


def test_a_repeated_stop_changes_nothing(world: World, station: Station16) -> None:
    transaction_id = station.start(at=NOON)["transactionId"]
    first = station.stop(transaction_id, 900, NOON + MINUTE, idTag="anna")
    before = world.transaction(transaction_id)
    world.crash()
    assert station.stop(transaction_id, 900, NOON + MINUTE, idTag="anna") == first
    assert world.transaction(transaction_id) == before
    station.stop(transaction_id, 900, NOON + 9 * MINUTE, reason="PowerLoss")  # and once more from its next life
    after = world.transaction(transaction_id)
    assert (after.ended_at, after.stopped_reason, after.events) == (NOON + MINUTE, "Local", 3)
    assert len(world.told(TransactionEnded)) == 1


def test_values_without_an_id_belong_to_the_one_transaction_on_their_connector(
    world: World, station: Station16
) -> None:
    """Many stations leave the id out."""
    transaction_id = station.start(connector=1, wh=0, at=NOON)["transactionId"]
    other = station.start(connector=2, wh=0, at=NOON)["transactionId"]
    station.meter(700, at=NOON + MINUTE, connector=2)
    station.meter(700, at=NOON + MINUTE, connector=2)
    assert [world.transaction(t).meter.energy_wh for t in (transaction_id, other)] == [0, 700]
    station.stop(other, 700, NOON + 2 * MINUTE)
    station.meter(800, at=NOON + 3 * MINUTE, connector=2)
    station.meter(9000, at=NOON, connector=0)
    assert sorted(r.evse_id for r in world.database.readings.values()) == [0, 2]


@pytest.mark.parametrize("unknown", [-1, 0])
def test_values_with_an_id_that_is_none_belong_there_too(world: World, station: Station16, unknown: int) -> None:
    transaction_id = station.start(wh=0, at=NOON)["transactionId"]
    station.meter(700, unknown, NOON + MINUTE)
    assert world.transaction(transaction_id).meter.energy_wh == 700
    assert len(world.transactions()) == 1


def test_transaction_data_of_a_stop_fills_the_curve(world: World, station: Station16) -> None:
    """1.6 4.10: the samples may tell again what was told, and in any order."""
    transaction_id = station.start(wh=0, at=NOON)["transactionId"]
    station.meter(200, transaction_id, NOON + MINUTE)
    data = [
        value(600, NOON + 3 * MINUTE),
        value(0, NOON, context="Transaction.Begin"),
        value(200, NOON + MINUTE),
        value(900, NOON + 4 * MINUTE, context="Transaction.End"),
        value(400, NOON + 2 * MINUTE),
    ]
    station.stop(transaction_id, 900, NOON + 4 * MINUTE, transactionData=data)
    assert energies(world, transaction_id) == [0, 200, 400, 600, 900]
    assert world.transaction(transaction_id).meter.energy_wh == 900


def test_values_after_the_stop_still_count(world: World, station: Station16) -> None:
    transaction_id = station.start(wh=0, at=NOON)["transactionId"]
    station.stop(transaction_id, 900, NOON + 4 * MINUTE)
    world.crash()
    station.meter(500, transaction_id, NOON + 2 * MINUTE)
    record = world.transaction(transaction_id)
    assert (record.ended_at, record.meter.energy_wh) == (NOON + 4 * MINUTE, 900)
    assert energies(world, transaction_id) == [0, 500, 900]


@pytest.mark.parametrize(
    ("sample", "energy_wh"),
    [
        ({"value": "700"}, 700),
        ({"value": "0,7", "unit": "kWh"}, 700),
        ({"value": "error"}, 0),
        ({"value": "OCMF|{}", "format": "SignedData"}, 0),
        ({"value": "1e999"}, 0),
    ],
)
def test_what_cannot_be_read_is_kept_and_counts_for_nothing(
    world: World, station: Station16, sample: dict[str, str], energy_wh: float
) -> None:
    """J01.FR.18: answered all the same."""
    transaction_id = station.start(wh=0, at=NOON)["transactionId"]
    at = (NOON + MINUTE).isoformat()
    payload = {
        "connectorId": 1,
        "transactionId": transaction_id,
        "meterValue": [{"timestamp": at, "sampledValue": [sample]}],
    }
    assert station.call("MeterValues", payload) == {}
    assert world.transaction(transaction_id).meter.energy_wh == energy_wh
    assert energies(world, transaction_id) == ([0, energy_wh] if energy_wh else [0])
    assert sample["value"].encode() in world.events(transaction_id)[1].payload


@pytest.mark.parametrize("transaction", [{}, {"transactionId": 5}])
def test_meter_values_without_values_are_refused_and_harm_nothing(
    station: Station16, transaction: dict[str, int]
) -> None:
    """There is nothing in them that could be lost."""
    for meter_value in ([], [{"timestamp": NOON.isoformat(), "sampledValue": []}]):
        with pytest.raises(Refused, match="OccurenceConstraintViolation"):
            station.call("MeterValues", {"connectorId": 1, "meterValue": meter_value} | transaction)
    assert station.heartbeat()


def test_a_start_of_1970_is_a_transaction_of_today(world: World, station: Station16) -> None:
    """Item 28."""
    unset = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    transaction_id = station.start(wh=1000, at=unset)["transactionId"]
    assert station.start(wh=1000, at=unset)["transactionId"] == transaction_id
    world.wait(60)
    station.stop(transaction_id, 1800)
    record = world.transaction(transaction_id)
    assert (record.started_at, record.meter.energy_wh) == (unset, 800)
    assert record.created_at > NOON
    assert world.events(transaction_id)[0].received_at == record.created_at
