"""Transactions as stations really tell them (E01-E15, E13). Acceptance items and the tests that prove them:

22  order, gaps, repeats, offline, the end: ended_before_started, updated_before..., a_gap..., numbers_may_go_on...,
    a_repeat..., a_number_used_again..., offline_events_do_not..., an_event_after_the_end..., test_any_stream.py
23  ids: a_transaction_id_is_unique...; of 1.6: test_acceptance_transactions16.py
24  still going on: a_transaction_stays_open_until_its_end_is_told (GetTransactionStatus is a later command)
25  what comes later: the_evse_the_token...; remote starts: test_command_queue.py
26  cost: what_is_not_known_to_cost_is_not_said_to_be_free
27  meter values: a_register_that_starts_again..., two_messages_of_one_moment..., a_number_beyond..., and by rule
    test_meter.py, test_energy.py
28  clocks: the_stations_time_and_the_platforms..., energy_of_an_unset_clock...
29  is in test_acceptance_status.py
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from actors.domain.events import TransactionEnded, TransactionRevised, TransactionStarted, TransactionUpdated
from actors.domain.transaction import gap_report
from actors.ports import MAX_OPEN
from tests.actors.stations import Station
from tests.actors.world import NOON, Fault, Lost, World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World(now=NOON + 60 * MINUTE)


@pytest.fixture
def station(world: World) -> Station:
    station = Station(world)
    station.boot()
    return station


def energies(world: World, transaction_id: str = "tx-1") -> list[float]:
    return [point.energy_wh for point in world.curve(transaction_id)]


def test_a_whole_transaction(world: World, station: Station) -> None:
    station.started(wh=1000, at=NOON, token="anna", evse=2, state="Charging")
    station.updated(wh=1500, at=NOON + MINUTE, state="SuspendedEV")
    assert world.transaction("tx-1").charging_state == "SuspendedEV"
    station.ended(wh=1900, at=NOON + 2 * MINUTE, reason="EVDisconnected")
    record = world.transaction("tx-1")
    assert (record.id_token, record.evse_id, record.connector_id) == ("anna", 2, 1)
    assert (record.started_at, record.ended_at, record.stopped_reason) == (NOON, NOON + 2 * MINUTE, "EVDisconnected")
    assert (record.meter.energy_wh, energies(world), gap_report(record).complete) == (900, [0, 500, 900], True)
    (ended,) = world.told(TransactionEnded)
    assert ended == TransactionEnded(
        record.id, "tx-1", False, NOON + 2 * MINUTE, 900, complete=True, stopped_reason="EVDisconnected"
    )


def test_a_station_that_never_ends_its_transactions_fills_no_memory_and_loses_none(
    world: World, station: Station
) -> None:
    for number in range(3 * MAX_OPEN):
        station.started(f"tx-{number}", wh=0, at=NOON)
    assert len(world.charger("CP-1")._transactions) <= MAX_OPEN
    station.ended("tx-0", wh=700, at=NOON + MINUTE)
    assert world.transaction("tx-0").meter.energy_wh == 700
    assert len(world.transactions()) == 3 * MAX_OPEN


def test_updated_before_started(world: World, station: Station) -> None:
    station.updated(wh=1500, at=NOON + MINUTE)
    assert gap_report(world.transaction("tx-1")).start_missing
    assert world.told(TransactionStarted) == []
    station.started(wh=1000, at=NOON, token="anna")
    record = world.transaction("tx-1")
    assert (record.started_at, record.id_token, record.meter.energy_wh) == (NOON, "anna", 500)
    assert len(world.told(TransactionStarted)) == 1


@pytest.mark.parametrize("crash", [False, True])
def test_ended_before_started(world: World, station: Station, crash: bool) -> None:
    station.ended(wh=1900, at=NOON + 2 * MINUTE)
    if crash:
        world.crash()
    assert not gap_report(world.transaction("tx-1")).complete
    station.started(wh=1000, at=NOON)
    station.updated(wh=1500, at=NOON + MINUTE, state="Charging")
    record = world.transaction("tx-1")
    assert (record.started_at, record.ended_at, record.charging_state) == (NOON, NOON + 2 * MINUTE, None)
    assert (record.meter.energy_wh, energies(world), gap_report(record).complete) == (900, [0, 500, 900], True)
    assert len(world.told(TransactionEnded)) == 1
    assert [told.complete for told in world.told(TransactionRevised)] == [False, True]


def test_an_event_after_the_end_completes_the_record_and_reopens_nothing(world: World, station: Station) -> None:
    """E13: a queued event may come late."""
    station.started(wh=1000, at=NOON)
    station.ended(wh=1900, at=NOON + 9 * MINUTE)
    assert gap_report(world.transaction("tx-1")).missing == [(1, 1)]
    station.updated(wh=1700, at=NOON + 5 * MINUTE, state="Charging")
    record = world.transaction("tx-1")
    assert (record.ended_at, record.charging_state) == (NOON + 9 * MINUTE, None)
    assert (gap_report(record).complete, energies(world)) == (True, [0, 700, 900])
    world.crash()
    assert world.charger("CP-1").idle is False
    assert [t for t in world.transactions() if t.ended_at is None] == []


def test_a_gap_is_reported_and_filled(world: World, station: Station) -> None:
    """1.3.2: complete with a start, an end and every number between."""
    station.started()
    for seq in (2, 3, 7):
        station.updated(seq=seq)
    assert gap_report(world.transaction("tx-1")).missing == [(1, 1), (4, 6)]
    station.ended(seq=8)
    for seq in (6, 4, 1, 5):
        assert not gap_report(world.transaction("tx-1")).complete
        station.updated(seq=seq)
    assert gap_report(world.transaction("tx-1")).complete


def test_numbers_may_go_on_from_a_counter_of_the_evse(world: World, station: Station) -> None:
    station.started(seq=41)
    station.ended(seq=43)
    assert gap_report(world.transaction("tx-1")).missing == [(42, 42)]
    station.updated(seq=42)
    assert gap_report(world.transaction("tx-1")).complete


@pytest.mark.parametrize("crash", [False, True])
def test_a_repeated_event_is_stored_once_and_answered_the_same(world: World, station: Station, crash: bool) -> None:
    """E13: its answer was lost; the repeat has another message id, and may be marked offline now."""
    world.add_token("anna", group_id="family")
    payload = station.event_payload("Started", "tx-1", 0, wh=1000, token="anna")
    first = station.call("TransactionEvent", payload)
    world.add_token("anna", status="Blocked")
    station.updated(wh=1500)
    before = world.transaction("tx-1")
    if crash:
        world.crash()
    for repeat in (payload, payload | {"offline": True}):
        assert station.call("TransactionEvent", repeat) == first
    assert world.transaction("tx-1") == before
    assert len(world.events("tx-1")) == 2


def test_a_repeat_after_the_end_is_answered_the_same(world: World, station: Station) -> None:
    world.add_token("anna")
    payload = station.event_payload("Ended", "tx-1", 1, wh=1000, token="anna")
    station.started()
    first = station.call("TransactionEvent", payload)
    before = world.transaction("tx-1")
    world.crash()
    assert station.call("TransactionEvent", payload) == first
    assert world.transaction("tx-1") == before
    assert len(world.told(TransactionEnded)) == 1


def test_an_event_whose_answer_was_lost_in_a_crash_is_stored_once(world: World, station: Station) -> None:
    payload = station.event_payload("Started", "tx-1", 0, wh=1000)
    faults: tuple[Fault, ...] = ("before the commit", "after the commit")
    for fault in faults:
        world.fault = fault
        with pytest.raises(Lost):
            station.call("TransactionEvent", payload)
    assert station.call("TransactionEvent", payload) == {}
    assert (len(world.events("tx-1")), world.transaction("tx-1").events) == (1, 1)


def test_a_number_used_again_for_other_content_is_kept_and_counted(world: World, station: Station) -> None:
    """Item 22: a station that lost its counter must not lose its energy."""
    station.started(wh=1000, at=NOON)
    other = station.event_payload("Updated", "tx-1", 0, wh=1600, at=NOON + MINUTE)
    assert station.call("TransactionEvent", other) == {}
    record = world.transaction("tx-1")
    assert (record.conflicts, record.events, record.meter.energy_wh) == (1, 2, 600)
    assert gap_report(record).conflicts == 1
    station.call("TransactionEvent", other)
    assert (world.transaction("tx-1"), len(world.events("tx-1"))) == (record, 2)


def test_a_transaction_id_is_unique_in_its_station_only(world: World, station: Station) -> None:
    """Item 23."""
    other = Station(world, "CP-2")
    station.started(wh=0)
    other.started(wh=500)
    other.ended(seq=1, wh=700)
    mine, its = world.transaction("tx-1", "CP-1"), world.transaction("tx-1", "CP-2")
    assert mine.id != its.id
    assert (mine.ended_at, its.meter.energy_wh) == (None, 200)


def test_offline_events_do_not_look_like_the_present(world: World, station: Station) -> None:
    """Item 22: stored like all others, told with their mark, shown to nobody as live."""
    station.started(wh=1000, at=NOON, offline=True, evse=1, state="Charging")
    station.updated(wh=1500, at=NOON + MINUTE, offline=True)
    assert not {event.kind for event in world.live} & {"TransactionStarted", "TransactionUpdated"}
    assert world.connector() is None
    assert [told.offline for told in world.told(TransactionStarted)] == [True]
    record = world.transaction("tx-1")
    assert (record.offline_events, record.meter.energy_wh) == (2, 500)
    station.updated(seq=2, wh=1600, at=NOON + 2 * MINUTE)
    (shown,) = world.shown(TransactionUpdated)
    assert shown.energy_wh == 600


def test_a_transaction_stays_open_until_its_end_is_told(world: World, station: Station) -> None:
    """Item 24, E14: that a station is silent or has restarted is no end; its queue may still hold it."""
    station.started(wh=0, at=NOON)
    station.disconnect()
    world.crash()
    world.wait(86_400)
    station.connect()
    station.boot()
    assert world.transaction("tx-1").ended_at is None
    station.ended(seq=1, wh=800, at=NOON + MINUTE, offline=True, reason="PowerLoss")
    record = world.transaction("tx-1")
    assert (record.ended_at, record.stopped_reason, record.meter.energy_wh) == (NOON + MINUTE, "PowerLoss", 800)


def test_the_evse_the_token_and_the_connector_may_come_later(world: World, station: Station) -> None:
    """Item 25."""
    station.started()
    assert (world.transaction("tx-1").evse_id, world.transaction("tx-1").id_token) == (None, None)
    payload = station.event_payload("Updated", "tx-1", 1, token="anna") | {"evse": {"id": 3}}
    station.call("TransactionEvent", payload)
    record = world.transaction("tx-1")
    assert (record.evse_id, record.connector_id, record.id_token) == (3, None, "anna")
    station.updated(seq=2, evse=3)
    station.call("TransactionEvent", payload | {"seqNo": 3})
    assert world.transaction("tx-1").connector_id == 1


def test_what_is_not_known_to_cost_is_not_said_to_be_free(world: World, station: Station) -> None:
    """I03.FR.04: totalCost 0.00 means free, absent means unknown."""
    station.started(token="anna")
    assert "totalCost" not in station.ended(token="anna", wh=500)


@pytest.mark.parametrize("stamp", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, 0, 5, tzinfo=UTC)])
def test_the_stations_time_and_the_platforms_are_kept_side_by_side(
    world: World, station: Station, stamp: datetime
) -> None:
    """Item 28: before its clock is set a station's stamps are from 1970 or 2000."""
    station.started(at=stamp)
    (event,) = world.events("tx-1")
    assert (event.timestamp, event.received_at) == (stamp, world.now)
    assert world.transaction("tx-1").started_at == stamp


def test_energy_of_an_unset_clock_is_counted_in_the_order_of_arrival(world: World, station: Station) -> None:
    unset = datetime(1970, 1, 1, tzinfo=UTC)
    station.started(wh=1000, at=unset)
    station.updated(wh=1400, at=unset)
    world.wait(60)
    station.ended(wh=1900)
    assert energies(world) == [0, 400, 900]
    assert world.transaction("tx-1").meter.energy_wh == 900


def test_a_register_that_starts_again_in_the_middle_counts_on(world: World, station: Station) -> None:
    """Item 27: after a reboot, and over a crash of the platform in the moment between."""
    station.started(wh=5000, at=NOON)
    for seq, wh in enumerate((6000, 0, 300, 800), 1):
        station.updated(seq=seq, wh=wh, at=NOON + seq * MINUTE)
        world.crash()
    assert (world.transaction("tx-1").meter.energy_wh, world.transaction("tx-1").meter.resets) == (1800, 1)
    assert energies(world) == [0, 1000, 1000, 1300, 1800]


def test_two_messages_of_one_moment_count_once(world: World, station: Station) -> None:
    interval = {"measurand": "Energy.Active.Import.Interval", "value": 150}
    station.started(at=NOON)
    station.updated(seq=1, at=NOON + MINUTE, values=[interval])
    station.updated(seq=2, at=NOON + MINUTE, values=[interval, {"measurand": "SoC", "value": 40}])
    assert world.transaction("tx-1").meter.energy_wh == 150
    assert energies(world) == [150]


def test_a_number_beyond_all_reason_does_not_spoil_the_transaction(world: World, station: Station) -> None:
    """Infinity has no place in JSON: the record could not be read again, nor the records fetched with it."""
    station.started(wh=0, at=NOON)
    huge = {"value": 1e300, "unitOfMeasure": {"unit": "kWh", "multiplier": 20}}
    station.updated(at=NOON + MINUTE, values=[huge])
    world.crash()
    station.ended(wh=700, at=NOON + 2 * MINUTE)
    assert (world.transaction("tx-1").events, world.transaction("tx-1").meter.energy_wh) == (3, 700)
    assert orjson.loads(world.events("tx-1")[1].payload)["meterValue"][0]["sampledValue"] == [huge]
