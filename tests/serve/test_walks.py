"""Two clients that know only the root: one charges a car, one gives a command (REST maturity level 3)."""

import asyncio

import httpx
from starlette.routing import Mount, Router

from actors.domain.events import TransactionEnded, TransactionUpdated
from actors.domain.records import LiveEvent
from actors.domain.station import ConnectorState, Station
from cluster.identity.relation import Holding
from serve.app import application
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform
from tests.serve.serving import serving
from tests.serve.walker import charge_a_car, command_a_station, enter


async def metering(platform: MemoryPlatform) -> None:
    """Tell again and again how charges stand, and once of each that has ended, as their stations do."""
    told: set[str] = set()
    while True:
        for charge in platform.database.transactions.values():
            if charge.ended_at is None:
                how = TransactionUpdated(charge.id, charge.transaction_id, 2, "Charging", 1500.0, 7000.0, None)
                platform.live_log.write([LiveEvent("TransactionUpdated", charge.station_id, None, NOW, how)])
            elif charge.id not in told:
                told.add(charge.id)
                end = TransactionEnded(charge.id, charge.transaction_id, False, NOW, 1500.0, True, "Remote")
                platform.live_log.write([LiveEvent("TransactionEnded", charge.station_id, None, NOW, end)])
        await asyncio.sleep(0.02)


async def test_an_app_user_charges_a_car(platform: MemoryPlatform) -> None:
    connectors = {"1/1": ConnectorState("Faulted", NOW), "2/1": ConnectorState("Available", NOW)}
    platform.known["CP-7"] = Station("CP-7", gateway_id="gateway-a", registration="Accepted", connectors=connectors)
    circle = await platform.circles.circle(Holding("station", "CP-7"))
    circle.give("walt", "staff", NOW)
    await platform.circles.save(circle)
    platform.go_live()
    driving = asyncio.create_task(metering(platform))
    app = Mount(application.PREFIX, application.build(platform.services_of_tests()))
    async with serving(Router([app])) as address:
        http = httpx.AsyncClient(base_url=f"http://{address}", headers=bearer(subject="walt"), trust_env=False)
        async with http:
            receipt = await charge_a_car(await enter(http, "/app/v1/"))
        await platform.live.close()
    driving.cancel()
    assert (receipt["stationId"], receipt["evseId"], receipt["energyWh"]) == ("CP-7", 2, 1500.0)


async def test_staff_give_a_station_a_command(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.answers_in_s = 0
    root = await enter(admin, "/admin/v1/")
    command = await command_a_station(root, "CP-1", "Reset", {"type": "OnIdle"})
    assert (command["status"], command["response"]) == ("accepted", {"status": "Accepted"})
