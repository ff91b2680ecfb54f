"""A charge with a limit is ended by the platform when it has taken what it may."""

from __future__ import annotations

from typing import Any

import pytest

from actors.turn import Rules
from tests.actors.stations import Asked, Station, Station16
from tests.actors.world import OPEN_RULES, World

GUS = {"idToken": "gus", "type": "Central"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def station(world: World) -> Station:
    station = Station(world)
    station.boot()
    return station


def start(world: World, station: Station | Station16, limit_wh: float | None) -> None:
    """Start a charge from afar that may take so much."""
    payload: dict[str, Any] = {"evseId": 1, "idToken": GUS}
    if station.version != Station16.version:
        payload["remoteStartId"] = 7
    world.command("RequestStartTransaction", payload, energy_limit_wh=limit_wh)
    (asked,) = station.asked()
    station.reply(asked, status="Accepted")


def stops(station: Station | Station16) -> list[Asked]:
    return [asked for asked in station.asked() if asked.action.endswith("StopTransaction")]


def test_a_charge_is_ended_when_it_has_taken_what_it_may(world: World, station: Station) -> None:
    start(world, station, 1000.0)
    station.started(wh=500, remote_start_id=7)
    station.updated(seq=1, wh=1499)
    assert stops(station) == []
    station.updated(seq=2, wh=1500)
    (asked,) = stops(station)
    assert asked.payload == {"transactionId": "tx-1"}
    command = world.stored_command(asked.message_id)
    assert (command.requested_by, command.status) == ("energy limit", "sent")
    station.reply(asked, status="Accepted")
    station.ended(seq=3, wh=1520)
    assert stops(station) == []


@pytest.mark.parametrize("answer", ["Accepted", "Rejected"])
def test_a_station_that_goes_on_is_asked_again_after_a_minute(world: World, station: Station, answer: str) -> None:
    start(world, station, 1000.0)
    station.started(wh=0, remote_start_id=7)
    station.updated(seq=1, wh=1000)
    (first,) = stops(station)
    station.reply(first, status=answer)
    station.updated(seq=2, wh=1100)
    assert stops(station) == []
    world.wait(60)
    station.updated(seq=3, wh=1200)
    (second,) = stops(station)
    assert second.message_id != first.message_id, "every CALL has an id of its own (OCPP-J 4.1.4)"


def test_the_limit_outlives_a_crash(world: World, station: Station) -> None:
    start(world, station, 1000.0)
    station.started(wh=0, remote_start_id=7)
    world.crash()
    station.updated(seq=1, wh=1000)
    assert len(stops(station)) == 1


def test_a_charge_of_a_1_6_station_is_ended_too(world: World) -> None:
    station = Station16(world)
    station.boot()
    start(world, station, 1000.0)
    number = station.start("gus")["transactionId"]
    station.meter(999, number)
    assert stops(station) == []
    station.meter(1000, number)
    assert [asked.payload for asked in stops(station)] == [{"transactionId": number}]


def test_who_may_take_all_is_not_stopped_and_neither_is_another(world: World, station: Station) -> None:
    start(world, station, None)
    station.started(wh=0, remote_start_id=7)
    station.started("tx-2", wh=0, evse=2)
    station.updated(seq=1, wh=1e6)
    station.updated("tx-2", seq=1, wh=1e6)
    assert stops(station) == []


def test_a_full_queue_is_tried_again_with_a_later_event() -> None:
    world = World(Rules(**{**_as_dict(OPEN_RULES), "max_queued_commands": 1}))
    station = Station(world)
    station.boot()
    start(world, station, 1000.0)
    station.started(wh=0, remote_start_id=7)
    world.command("Reset", {"type": "OnIdle"})
    station.updated(seq=1, wh=1000)
    (reset,) = station.asked()
    station.reply(reset, status="Scheduled")
    station.updated(seq=2, wh=1001)
    assert len(stops(station)) == 1


def _as_dict(rules: Rules) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in Rules.__struct_fields__}
