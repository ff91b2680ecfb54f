"""May a connector be used now."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors.domain.station import ConnectorState, Station
from actors.domain.use import Hindrance, connectors_of, hindrance, occupies

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def station(connected: bool = True, registration: str | None = "Accepted", **statuses: str) -> Station:
    """Return a station with connectors like `c1_1="Available"`; `c0_0` is all of it."""
    connectors = {key[1:].replace("_", "/"): ConnectorState(status, NOON) for key, status in statuses.items()}
    return Station("CP-1", gateway_id="g" if connected else None, registration=registration, connectors=connectors)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("Available", None),
        ("Occupied", None),
        ("Reserved", "reserved"),
        ("Unavailable", "unavailable"),
        ("Faulted", "faulted"),
    ],
)
def test_the_state_of_a_connector_decides(status: str, said: Hindrance | None) -> None:
    """2.0.1 part 2, ConnectorStatusEnumType: Occupied is a cable in it, which waits for just this."""
    assert hindrance(station(c1_1=status), 1, 1, set()) == said


def test_who_charges_at_an_evse_has_it_with_all_its_connectors() -> None:
    two = station(c1_1="Occupied", c1_2="Available", c2_1="Available")
    assert hindrance(two, 1, 1, {1}) == "in use"
    assert hindrance(two, 1, 2, {1}) == "in use"
    assert hindrance(two, 2, 1, {1}) is None


def test_a_transaction_that_began_with_the_cable_waits_to_be_started() -> None:
    """2.0.1 E02, F02: TxStartPoint EVConnected; nobody has been authorized yet."""
    assert not occupies(None, "EVConnected")
    assert not occupies(None, None)
    assert occupies("gus", "EVConnected")
    assert occupies(None, "Charging"), "a station may charge without asking who"


def test_an_evse_can_be_used_while_one_of_its_connectors_can() -> None:
    assert hindrance(station(c1_1="Faulted", c1_2="Available"), 1, None, set()) is None
    assert hindrance(station(c1_1="Faulted", c1_2="Unavailable"), 1, None, set()) == "faulted"


@pytest.mark.parametrize("whole", ["c0_0", "c1_0"])
def test_what_is_true_of_the_whole_is_true_of_its_parts(whole: str) -> None:
    """1.6 connector 0 is the station; 2.x may tell of an EVSE."""
    broken = {whole: "Faulted", "c1_1": "Available"}
    assert hindrance(station(**broken), 1, 1, set()) == "faulted"  # type: ignore[arg-type]
    assert hindrance(station(**{**broken, whole: "Available"}), 1, 1, set()) is None  # type: ignore[arg-type]


def test_nothing_can_be_used_of_a_station_that_cannot_be_asked() -> None:
    assert hindrance(station(connected=False, c1_1="Available"), 1, 1, set()) == "offline"
    for registration in ("Pending", "Rejected"):
        assert hindrance(station(registration=registration, c1_1="Available"), 1, 1, set()) == "not accepted"
    assert hindrance(station(registration=None, c1_1="Available"), 1, 1, set()) is None


def test_what_a_station_has_never_told_of_cannot_be_used() -> None:
    assert hindrance(station(c1_1="Available"), 2, None, set()) == "unknown"
    assert hindrance(station(c1_1="Available"), 1, 2, set()) == "unknown"
    assert hindrance(station(c0_0="Available"), 0, 0, set()) == "unknown"


def test_connectors_come_in_order_without_the_wholes() -> None:
    every = station(c0_0="Available", c10_1="Available", c2_1="Available", c2_0="Available", c1_2="Faulted")
    assert connectors_of(every) == [(1, 2), (2, 1), (10, 1)]
