"""What a forwarder has under way keeps the order of every station and never puts the checkpoint over what is open."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.bus.forwarding import MAX_WINDOW, Window
from cluster.bus.journal import Entry
from cluster.bus.outbox import WaitingEvent

pytestmark = pytest.mark.pure

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def entries(*stations: str, after: int = 0, gap: int = 1) -> list[Entry]:
    return [
        Entry(after + gap * place, WaitingEvent(f"{station}-{place}", "A", station, NOON, "{}"))
        for place, station in enumerate(stations, 1)
    ]


def test_a_request_holds_one_event_of_a_station_at_most() -> None:
    window = Window(0)
    window.add(entries("a", "a", "b", "a", "c"))
    assert [entry.position for entry in window.due()] == [1, 3, 5]
    window.done([1, 5])
    assert [entry.position for entry in window.due()] == [2, 3]


def test_the_checkpoint_stops_before_what_is_open() -> None:
    window = Window(40)
    assert window.checkpoint == 40
    window.add(entries("a", "b", "c", after=40, gap=10))
    window.done([60, 70])
    assert (window.checkpoint, window.read_up_to) == (49, 70)
    window.done([50])
    assert (window.checkpoint, window.idle) == (70, True)


def test_a_station_that_is_stuck_bounds_memory() -> None:
    window = Window(0)
    window.add(entries(*["stuck"] * MAX_WINDOW))
    assert window.room == 0


@given(st.lists(st.sampled_from("abc"), max_size=20), st.data())
def test_whatever_is_refused_every_event_is_taken_once_and_in_its_stations_order(
    stations: list[str], data: st.DataObject
) -> None:
    window, waiting, taken = Window(0), entries(*stations), list[Entry]()
    while waiting or not window.idle:
        count = data.draw(st.integers(int(window.idle), len(waiting)))
        window.add(waiting[:count])
        del waiting[:count]
        request = list(window.due())
        refused = data.draw(st.sets(st.integers(1, len(request) - 1))) if len(request) > 1 else set()
        passed = [entry for place, entry in enumerate(request) if place not in refused]
        window.done([entry.position for entry in passed])
        taken += passed
        open_positions = {entry.position for entry in entries(*stations)} - {entry.position for entry in taken}
        assert all(position > window.checkpoint for position in open_positions)
    assert window.checkpoint == len(stations)
    for station in "abc":
        mine = [entry.position for entry in taken if entry.event.station_id == station]
        assert mine == [place for place, name in enumerate(stations, 1) if name == station]
