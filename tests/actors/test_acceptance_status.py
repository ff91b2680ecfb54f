"""The state of connectors (G01, item 29), and what else stations report and the platform keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors.domain.events import ConnectorStatusChanged, ReportCompleted, SecurityEvent
from tests.actors.stations import Station, Station16, Station21
from tests.actors.world import NOON, World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World(now=NOON + 60 * MINUTE)


@pytest.fixture
def station(world: World) -> Station:
    station = Station(world)
    station.boot()
    return station


@pytest.fixture
def station16(world: World) -> Station16:
    station = Station16(world)
    station.boot()
    return station


def state(world: World, evse: int = 1, connector: int = 1) -> str | None:
    known = world.connector(evse, connector)
    return None if known is None else known.status


def test_every_connector_has_its_own_state(world: World, station: Station) -> None:
    station.status("Occupied", evse=1)
    station.status("Faulted", evse=2, connector=1)
    station.status("Available", evse=2, connector=2)
    assert [state(world, 1), state(world, 2, 1), state(world, 2, 2)] == ["Occupied", "Faulted", "Available"]


def test_connector_0_of_1_6_is_the_station(world: World, station16: Station16) -> None:
    station16.status("Unavailable", connector=0)
    station16.status("SuspendedEV", connector=2)
    assert (state(world, 0, 0), state(world, 2, 1)) == ("Unavailable", "Occupied")
    connector = world.connector(2, 1)
    assert connector is not None
    assert (connector.vendor_status, connector.error_code) == ("SuspendedEV", "NoError")


def test_an_older_report_than_the_known_one_is_ignored(world: World, station: Station) -> None:
    station.status("Occupied", NOON + 2 * MINUTE)
    assert station.status("Available", NOON + MINUTE) == {}
    assert state(world) == "Occupied"
    station.status("Available", NOON + 3 * MINUTE)
    assert state(world) == "Available"


def test_an_unchanged_state_is_not_written_again(world: World, station: Station) -> None:
    """A station that repeats itself every few seconds must not fill the database."""
    station.status("Available")
    written = world.rows_written
    for _ in range(3):
        station.status("Available")
        station.availability("Available")
    assert world.rows_written == written + 3  # the three NotifyEvents are kept as they are
    assert len(world.told(ConnectorStatusChanged)) == 1


def test_notify_event_tells_the_state_too(world: World, station: Station) -> None:
    """2.1 prefers AvailabilityState to StatusNotification; both obey the same clock."""
    station21 = Station21(world, "CP-21")
    station21.availability("Occupied", NOON + 2 * MINUTE, evse=2)
    known = world.connector(2, 1, "CP-21")
    assert known is not None
    assert known.status == "Occupied"
    station.availability("Occupied", NOON + 2 * MINUTE)
    station.status("Available", NOON + MINUTE)
    assert state(world) == "Occupied"
    assert len(world.database.notices) == 2


@pytest.mark.parametrize("stamp", [datetime(1970, 1, 1, tzinfo=UTC), NOON + 99 * MINUTE])
def test_a_report_of_an_unset_clock_counts_from_when_it_came(world: World, station: Station, stamp: datetime) -> None:
    station.status("Available", NOON)
    station.status("Occupied", stamp)
    known = world.connector()
    assert known is not None
    assert (known.status, known.at) == ("Occupied", world.now)


def test_2_0_1_tells_charging_by_the_transaction(world: World, station: Station) -> None:
    """It has no Charging status."""
    station.status("Occupied")
    station.started(state="EVConnected")
    station.updated(state="Charging")
    assert (state(world), world.transaction("tx-1").charging_state) == ("Occupied", "Charging")


def test_1_6_tells_charging_by_the_connector(world: World, station16: Station16) -> None:
    left = station16.start(connector=1)["transactionId"]
    right = station16.start(connector=2)["transactionId"]
    station16.status("Charging", NOON + 2 * MINUTE, connector=1)
    station16.status("SuspendedEVSE", NOON + MINUTE, connector=1)  # older, and late
    assert world.transaction(left).charging_state == "Charging"
    assert world.transaction(right).charging_state is None
    station16.status("SuspendedEV", NOON + 3 * MINUTE, connector=1)
    assert world.transaction(left).charging_state == "SuspendedEV"


def test_a_change_is_told_and_shown_once(world: World, station: Station) -> None:
    station.status("Occupied", NOON)
    (told,) = world.told(ConnectorStatusChanged)
    assert told == ConnectorStatusChanged(1, 1, "Occupied", NOON)
    assert world.shown(ConnectorStatusChanged) == [told]


def test_a_security_event_is_kept_once_and_told(world: World, station: Station) -> None:
    """A04."""
    event = {"type": "TamperDetectionActivated", "timestamp": NOON.isoformat()}
    for _ in range(2):
        assert station.call("SecurityEventNotification", event) == {}
    (notice,) = world.database.notices.values()
    assert (notice.kind, notice.at) == ("SecurityEventNotification", NOON)
    assert world.told(SecurityEvent)[0].type == "TamperDetectionActivated"


def test_a_report_is_kept_value_by_value_and_its_end_is_told(world: World, station: Station) -> None:
    """B07.FR.09-11: unset attributes are reported too."""
    data = {
        "component": {"name": "EVSE", "evse": {"id": 1}},
        "variable": {"name": "Power"},
        "variableAttribute": [{"value": "11000", "mutability": "ReadOnly"}, {"type": "Target"}],
    }
    report = {"requestId": 7, "generatedAt": NOON.isoformat(), "seqNo": 0, "tbc": True, "reportData": [data]}
    station.call("NotifyReport", report)
    assert world.told(ReportCompleted) == []
    station.call("NotifyReport", report | {"seqNo": 1, "tbc": False})
    kept = [(v.component, v.evse_id, v.variable, v.attribute, v.value) for v in world.database.variables.values()]
    assert kept == [("EVSE", 1, "Power", "Actual", "11000"), ("EVSE", 1, "Power", "Target", None)]
    assert world.told(ReportCompleted) == [ReportCompleted(request_id=7, parts=2)]


def test_values_outside_a_transaction_are_kept_once(world: World, station: Station) -> None:
    """J01."""
    values = [{"timestamp": NOON.isoformat(), "sampledValue": [{"value": 9.5, "measurand": "Voltage"}]}]
    for _ in range(2):
        assert station.call("MeterValues", {"evseId": 0, "meterValue": values}) == {}
    (reading,) = world.database.readings.values()
    assert (reading.evse_id, reading.at) == (0, NOON)
