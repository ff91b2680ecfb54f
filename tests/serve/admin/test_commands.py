"""Commands over HTTP."""

import httpx
import pytest

from actors.domain.station import Station
from serve.preferences import preferred_wait_s
from tests.serve.fakes import MemoryPlatform

COMMANDS = "/admin/v1/stations/CP-1/commands"
RESET = {"action": "Reset", "payload": {"type": "Immediate"}}


async def test_a_command_is_taken_and_can_be_followed(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(COMMANDS, json=RESET)
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers
    command = (await admin.get(answer.headers["location"])).json()
    assert command == answer.json()
    assert command["status"] == "queued"
    assert command["payload"] == {"type": "Immediate"}
    assert (command["createdAt"], command["deadline"]) == ("2026-05-04T12:00:00Z", "2026-05-04T12:05:00Z")
    assert [c["id"] for c in (await admin.get(COMMANDS)).json()["_embedded"]["cb:command"]] == [command["id"]]


async def test_a_deadline_of_its_own(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(COMMANDS, json={**RESET, "deadlineS": 30})
    assert answer.json()["deadline"] == "2026-05-04T12:00:30Z"


async def test_prefer_wait_answers_in_place(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.answers_in_s = 2
    answer = await admin.post(COMMANDS, json=RESET, headers={"Prefer": "wait=5"})
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=5"
    assert answer.json()["status"] == "accepted"
    assert answer.json()["response"] == {"status": "Accepted"}


async def test_prefer_wait_ends_with_202_when_the_station_is_slow(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    platform.answers_in_s = 10
    answer = await admin.post(COMMANDS, json=RESET, headers={"Prefer": "wait=5"})
    assert answer.status_code == 202
    assert answer.headers["location"].startswith(COMMANDS)


async def test_nobody_waits_longer_than_the_platform_allows(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await admin.post(COMMANDS, json=RESET, headers={"Prefer": "wait=86400"})
    assert platform.asked_wait_s == [30]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10), ('respond-async, wait="10"', 10), ("Wait = 10 ; x=1", 10), ("wait=0", 0),
        ("", None), ("wait", None), ("wait=-1", None), ("wait=1.5", None), ("wait=²", None), ("wait=9999999999", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_of_prefer_is_no_wish(header: str, seconds: int | None) -> None:
    assert preferred_wait_s(header) == seconds


async def test_an_offline_station_is_reported_when_the_caller_will_not_wait(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/admin/v1/stations/CP-3/commands", json={**RESET, "ifOffline": "fail"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:cloudbay:problem:station-offline"
    assert answer.json()["detail"] == "station CP-3 is not connected"


async def test_a_queued_command_is_withdrawn_once(admin: httpx.AsyncClient) -> None:
    where = (await admin.post(COMMANDS, json=RESET)).headers["location"]
    assert (await admin.delete(where)).json()["status"] == "cancelled"
    again = await admin.delete(where)
    assert (again.status_code, again.json()["title"]) == (409, "Conflict")


async def test_a_command_is_found_under_its_own_station_only(admin: httpx.AsyncClient) -> None:
    where = (await admin.post(COMMANDS, json=RESET)).headers["location"]
    assert (await admin.get(where.replace("CP-1", "CP-3"))).status_code == 404


async def test_commands_of_an_unknown_station(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/admin/v1/stations/nobody/commands")).status_code == 404
    assert (await admin.post("/admin/v1/stations/nobody/commands", json=RESET)).status_code == 404
    assert (await admin.get("/admin/v1/stations/CP-3/commands")).json()["_embedded"] == {"cb:command": []}


async def test_a_location_fits_any_station_id(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.known["CP é"] = Station("CP é")
    answer = await admin.post("/admin/v1/stations/CP%20%C3%A9/commands", json=RESET)
    assert answer.headers["location"].startswith("/admin/v1/stations/CP%20%C3%A9/commands/")
    assert (await admin.get(answer.headers["location"])).json()["stationId"] == "CP é"
