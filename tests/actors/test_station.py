"""What the platform remembers of a station, and which clock it believes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from actors.domain.moment import believable, wire_time
from actors.domain.station import MAX_VIOLATIONS, Station, connector_key

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def test_a_station_is_connected_while_a_gateway_holds_its_socket() -> None:
    assert not Station("CP-1").connected
    assert Station("CP-1", gateway_id="g-1").connected


def test_connectors_are_named_inside_their_evse() -> None:
    assert [connector_key(2, 1), connector_key(0, 0)] == ["2/1", "0/0"]


def test_a_violation_is_worth_writing_when_it_is_new_or_has_doubled() -> None:
    """A station that breaks its schema with every message must not cost a write each time."""
    station = Station("CP-1")
    worth = [n for n in range(1, 20) if station.record_violation("Heartbeat", "maxLength", "model")]
    assert worth == [1, 2, 4, 8, 16]
    assert station.violations == {"Heartbeat model maxLength": 19}


def test_the_list_of_violations_is_bounded_and_goes_on_counting() -> None:
    station = Station("CP-1")
    for n in range(MAX_VIOLATIONS + 10):
        station.record_violation("Heartbeat", "maxLength", f"field{n}")
    assert len(station.violations) == MAX_VIOLATIONS
    assert station.record_violation("Heartbeat", "maxLength", "field0")


def test_time_is_written_in_utc_with_milliseconds() -> None:
    """2.0.1 part 2, 2.1.2."""
    moment = datetime(2026, 5, 4, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert wire_time(moment) == "2026-05-04T12:00:00.123Z"


@pytest.mark.parametrize(
    ("stamp", "believed"),
    [
        (NOON, True),
        (NOON - timedelta(days=365), True),
        (NOON + timedelta(minutes=5), True),
        (NOON + timedelta(minutes=5, seconds=1), False),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (datetime(2000, 1, 1, tzinfo=UTC), False),
        (datetime(2014, 12, 31, 23, 59, 59, tzinfo=UTC), False),
    ],
)
def test_a_clock_is_believed_when_it_is_set_and_does_not_run_ahead(stamp: datetime, believed: bool) -> None:
    assert believable(stamp, NOON) == believed
