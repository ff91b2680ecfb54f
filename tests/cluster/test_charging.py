"""Charges of app users: how long a start is waited for, and what it may take."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actors.domain.command import Command
from actors.domain.station import ConnectorState, Station
from actors.domain.transaction import ChargingTransaction
from actors.errors import Conflict, NotFound
from cluster.charging import Charging
from cluster.identity.caller import Caller
from cluster.identity.relation import Holding, Terms, Tie
from cluster.store.views import StationDetail
from tests.twins.charges import MemoryCharges, MemoryDrivers
from tests.twins.circles import MemoryCircles
from tests.twins.store import MemoryDatabase

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
GUS = Caller("gus", "cloudbay")
ENOUGH_S = 20.0


class Stations:
    """One station with a free connector that answers starts; the transaction comes after some looks."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.comes_after_looks = 0
        self.outcome = "accepted"
        self.looks = 0
        self.submitted = 0

    async def station(self, station_id: str) -> StationDetail:
        if station_id != "CP-1":
            raise NotFound(f"there is no station {station_id}")
        connectors = {"1/1": ConnectorState("Available", NOON)}
        return StationDetail(Station("CP-1", gateway_id="g", connectors=connectors), False, [])

    async def command(self, command_id: str) -> Command:
        self.looks += 1
        found = self.database.commands.get(command_id)
        if found is None:
            raise NotFound(f"there is no command {command_id}")
        if self.looks >= self.comes_after_looks and self.outcome == "accepted":
            found = msgspec.structs.replace(found, transaction="t-1")
        return found

    async def submit(self, command: Command, wait_s: float = 0.0, again: bool = False) -> Command:
        self.submitted += 1
        if wait_s:
            command.move("sent", NOON)
            command.move(self.outcome, NOON)  # type: ignore[arg-type]
        self.database.commands[command.id] = command
        return command


@pytest.fixture
def stations() -> Stations:
    return Stations(MemoryDatabase())


@pytest.fixture
def charging(stations: Stations) -> Charging:
    database = stations.database
    drivers = MemoryDrivers(database)
    look = MemoryCharges(database, MemoryCircles(database), drivers)
    return Charging(look, stations, stations, drivers, lambda: NOON, timedelta(minutes=1))


def guest(**terms: object) -> Tie:
    return Tie("gus", Holding("station", "CP-1"), "guest", "olga", NOON, Terms(**terms))  # type: ignore[arg-type]


async def test_who_waits_is_told_of_the_transaction_as_soon_as_it_is_there(
    charging: Charging, stations: Stations
) -> None:
    stations.comes_after_looks = 2
    command = await asyncio.wait_for(charging.start(GUS, guest(), "CP-1", "c", 1, wait_s=60), ENOUGH_S)
    assert command.transaction == "t-1"
    assert command.deadline == NOON + timedelta(minutes=1)


async def test_who_does_not_wait_is_answered_at_once(charging: Charging, stations: Stations) -> None:
    command = await charging.start(GUS, guest(), "CP-1", "c", 1)
    assert (command.status, stations.looks) == ("queued", 0)


async def test_nobody_waits_longer_than_he_likes(charging: Charging, stations: Stations) -> None:
    stations.comes_after_looks = 10**9
    command = await asyncio.wait_for(charging.start(GUS, guest(), "CP-1", "c", 1, wait_s=0.3), ENOUGH_S)
    assert (command.status, command.transaction) == ("accepted", None)


async def test_a_refused_start_is_not_waited_for(charging: Charging, stations: Stations) -> None:
    stations.outcome = "rejected"
    command = await asyncio.wait_for(charging.start(GUS, guest(), "CP-1", "c", 1, wait_s=60), ENOUGH_S)
    assert (command.status, stations.looks) == ("rejected", 0)


async def test_a_start_that_was_asked_for_counts_before_it_is_a_charge(charging: Charging) -> None:
    once = guest(charges=1)
    await charging.start(GUS, once, "CP-1", "first", 1)
    with pytest.raises(Conflict, match="no charges left"):
        await charging.start(GUS, once, "CP-1", "second", 1)


async def test_a_charge_may_take_what_its_driver_has_left(charging: Charging) -> None:
    limited = guest(energy_total_wh=9000.0, energy_per_charge_wh=5000.0)
    assert (await charging.start(GUS, limited, "CP-1", "c", 1)).energy_limit_wh == 5000.0
    assert (await charging.start(GUS, guest(), "CP-1", "d", 1)).energy_limit_wh is None


async def test_a_start_that_is_asked_again_under_its_id_is_one_start(charging: Charging, stations: Stations) -> None:
    """Whoever repeats a request may have taken the last charge of his limit, and the only connector, with the first."""
    once = guest(charges=1)
    await charging.start(GUS, once, "CP-1", "c", 1)
    assert (await charging.start(GUS, once, "CP-1", "c", 1, again=True)).transaction == "t-1"
    assert stations.submitted == 1


async def test_a_start_that_has_not_got_to_its_station_is_given_with_the_repeat(
    charging: Charging, stations: Stations
) -> None:
    await charging.start(GUS, guest(), "CP-1", "c", 1, wait_s=60, again=True)
    assert stations.submitted == 1


async def test_a_stop_that_is_asked_again_is_answered_as_the_first(charging: Charging, stations: Stations) -> None:
    store = stations.database.transactions
    store["t-1"] = ChargingTransaction("t-1", "CP-1", "wire-1", NOON)
    first = await charging.stop(GUS, await charging.look.charge("t-1"), "s", wait_s=60)
    store["t-1"].ended_at = NOON
    ended = await charging.look.charge("t-1")
    assert (await charging.stop(GUS, ended, "s", again=True)).status == first.status == "accepted"
    with pytest.raises(Conflict, match="ended already"):
        await charging.stop(GUS, ended, "other", again=True)
    assert stations.submitted == 1
