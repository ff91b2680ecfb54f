"""The two clients that know only a root, on a running platform with simulated stations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from cluster.bearer import mint
from cluster.keys import load_keys
from simulator.fleet import Fleet, FleetSettings
from tests.e2e.running import Running
from tests.serve.walker import charge_a_car, command_a_station, enter


@asynccontextmanager
async def plugged_in(running: Running, station_id: str, version: str) -> AsyncIterator[None]:
    """Connect a station at which a car is plugged in; a minute of it passes in a second."""
    settings = FleetSettings(
        to=running.stations, stations=1, version=version, id_pattern=station_id, scenario="plugged", speed=60,
        start_spread_s=0.1,
    )  # fmt: skip
    living = asyncio.create_task(Fleet(settings).run())
    try:
        yield
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)


def client(running: Running, *roles: str, subject: str) -> httpx.AsyncClient:
    key = load_keys(running.platform.data_dir).token
    token = mint(key, roles, 600, subject)  # type: ignore[arg-type]
    return httpx.AsyncClient(base_url=running.platform.api, headers={"Authorization": f"Bearer {token}"}, timeout=60)


@pytest.mark.parametrize("version", ["2.0.1", "1.6"])
async def test_an_app_user_charges_a_car_and_staff_command_its_station(running: Running, version: str) -> None:
    station_id, driver = f"WALK-{version}", f"walt-{version}"
    async with (
        plugged_in(running, station_id, version),
        client(running, "admin", subject="ada") as staff,
        client(running, subject=driver) as person,
    ):
        admin = await enter(staff, "/admin/v1/")
        result = await command_a_station(admin, station_id, "TriggerMessage", {"requestedMessage": "Heartbeat"})
        assert (result["status"], result["response"]) == ("accepted", {"status": "Accepted"})

        station = await (await admin.follow("cb:stations", q=station_id)).items("cb:station")[0].follow("self")
        code = (await station.submit("claim-code"))["code"]
        app = await enter(person, "/app/v1/")
        claimed = await app.submit("redeem", code=code)
        free = await (await claimed.follow("cb:station")).until(
            lambda station: any(connector.offers("start") for connector in station.items("cb:connector"))
        )
        assert free["relation"] == "owner"
        receipt = await charge_a_car(app)
        assert receipt["stationId"] == station_id
        assert receipt["energyWh"] > 0
