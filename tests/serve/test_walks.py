"""Two clients that know only the root: one charges a car, one gives a command (REST maturity level 3)."""

import httpx

from actors.domain.station import ConnectorState, Station
from cluster.identity.relation import Holding
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform
from tests.serve.walker import charge_a_car, command_a_station, enter


async def test_an_app_user_charges_a_car(anonymous: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    connectors = {"1/1": ConnectorState("Faulted", NOW), "2/1": ConnectorState("Available", NOW)}
    platform.known["CP-7"] = Station("CP-7", gateway_id="gateway-a", registration="Accepted", connectors=connectors)
    circle = await platform.circles.circle(Holding("station", "CP-7"))
    circle.give("walt", "staff", NOW)
    await platform.circles.save(circle)
    anonymous.headers.update(bearer(subject="walt"))
    receipt = await charge_a_car(await enter(anonymous, "/app/v1/"))
    assert (receipt["stationId"], receipt["evseId"], receipt["energyWh"]) == ("CP-7", 2, 1500.0)


async def test_staff_give_a_station_a_command(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.answers_in_s = 0
    root = await enter(admin, "/admin/v1/")
    command = await command_a_station(root, "CP-1", "Reset", {"type": "OnIdle"})
    assert (command["status"], command["response"]) == ("accepted", {"status": "Accepted"})
