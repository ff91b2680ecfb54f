"""Stations over HTTP."""

import json

import httpx
import pytest

from cluster.passwords import digest
from cluster.store.views import FrameEntry, StoredNotice, StoredVariable
from tests.serve.fakes import NOW, PASSWORD_KEY, MemoryPlatform

STATIONS = "/api/v1/stations"


async def test_pages_lead_to_one_another_and_keep_the_filters(
    viewer: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    page = (await viewer.get(STATIONS, params={"limit": 2, "q": "cp", "connected": "true", "site": "DEPOT"})).json()
    assert [s["stationId"] for s in page["items"]] == ["CP-1", "CP 2/é"]
    last = (await viewer.get(page["next"])).json()
    assert [s["stationId"] for s in last["items"]] == ["CP-3"]
    assert last["next"] is None
    assert platform.stations_asked == {"connected": True, "registration": None, "site": "DEPOT", "q": "cp"}


async def test_a_station_in_a_list(viewer: httpx.AsyncClient) -> None:
    first = (await viewer.get(STATIONS)).json()["items"][0]
    assert first["connected"] is True
    assert first["lastSeenAt"] == "2026-05-04T12:00:00Z"
    assert first["connectors"]["1/1"]["status"] == "Occupied"


async def test_one_station_with_what_charges_at_it(viewer: httpx.AsyncClient) -> None:
    station = (await viewer.get(f"{STATIONS}/CP-1")).json()
    assert station["passwordSet"] is True
    assert [t["transactionId"] for t in station["openTransactions"]] == ["T2"]
    assert not {"password", "passwordDigest", "password_digest"} & set(station)


async def test_registering_a_station_before_its_first_contact(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    answer = await admin.post(STATIONS, json={"stationId": "CP-9", "admission": "Pending", "password": True})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{STATIONS}/CP-9"
    station = answer.json()
    assert (station["stationId"], station["admission"], station["passwordSet"]) == ("CP-9", "Pending", True)
    assert platform.known["CP-9"].password_digest == digest(station["password"].encode(), PASSWORD_KEY)
    assert (await admin.post(STATIONS, json={"stationId": "CP-9"})).status_code == 409


async def test_a_station_without_a_password(admin: httpx.AsyncClient) -> None:
    assert (await admin.post(STATIONS, json={"stationId": "CP-9"})).json()["password"] is None


@pytest.mark.parametrize("station_id", ["", "a:b", "a/b", "x" * 49, "a\nb"])
async def test_an_id_that_no_station_can_have(admin: httpx.AsyncClient, station_id: str) -> None:
    answer = await admin.post(STATIONS, json={"stationId": station_id})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "stationId"


async def test_an_admin_changes_only_what_is_named(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await admin.patch(f"{STATIONS}/CP-1", json={"admission": "Rejected"})
    station = (await admin.patch(f"{STATIONS}/CP-1", json={"validation": "strict"})).json()
    assert (station["admission"], station["validation"]) == ("Rejected", "strict")
    await admin.patch(f"{STATIONS}/CP-1", json={"admission": None})
    assert (platform.known["CP-1"].admission, platform.known["CP-1"].validation) == (None, "strict")
    assert (await admin.patch(f"{STATIONS}/nobody", json={"admission": None})).status_code == 404


async def test_a_new_password_is_shown_once(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    made = (await admin.post(f"{STATIONS}/CP-1/password")).json()
    assert made["stationId"] == "CP-1"
    assert platform.known["CP-1"].password_digest == digest(made["password"].encode(), PASSWORD_KEY)
    assert made["password"] not in (await admin.get(f"{STATIONS}/CP-1")).text


async def test_the_log_shows_both_ways_newest_first(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.log = [FrameEntry(NOW, "in", '[2,"1","Heartbeat",{}]'), FrameEntry(NOW, "out", '[3,"1",{}]')]
    page = (await admin.get(f"{STATIONS}/CP-1/log", params={"limit": 1})).json()
    assert page["items"] == [{"at": "2026-05-04T12:00:00Z", "direction": "out", "data": '[3,"1",{}]'}]
    assert (await admin.get(page["next"])).json()["items"][0]["direction"] == "in"


async def test_the_log_is_exported_as_json_lines(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.log = [FrameEntry(NOW, "in", "[2]"), FrameEntry(NOW, "out", "[3]"), FrameEntry(NOW, "in", "é\n")]
    answer = await admin.get(f"{STATIONS}/CP-1/log.jsonl")
    assert answer.headers["content-type"] == "application/jsonl"
    assert [json.loads(line)["data"] for line in answer.text.splitlines()] == ["[2]", "[3]", "é\n"]


async def test_an_export_that_cannot_begin_is_a_problem(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    assert (await admin.get(f"{STATIONS}/nobody/log.jsonl")).status_code == 404
    platform.down.add("database")
    assert (await admin.get(f"{STATIONS}/CP-1/log.jsonl")).status_code == 503


async def test_what_a_station_has_reported(viewer: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.reported = [StoredVariable("EVSE", "", 1, "Power", "", "Actual", "11000", "ReadOnly", NOW)]
    platform.told = [StoredNotice("SecurityEvent", NOW, NOW, {"type": "TamperDetectionActivated"})]
    variable = (await viewer.get(f"{STATIONS}/CP-1/variables")).json()["items"][0]
    assert (variable["component"], variable["evseId"], variable["value"]) == ("EVSE", 1, "11000")
    notice = (await viewer.get(f"{STATIONS}/CP-1/notices")).json()["items"][0]
    assert (notice["kind"], notice["payload"]) == ("SecurityEvent", {"type": "TamperDetectionActivated"})


@pytest.mark.parametrize("list_of", ["variables", "notices", "log"])
async def test_lists_of_an_unknown_station(admin: httpx.AsyncClient, list_of: str) -> None:
    assert (await admin.get(f"{STATIONS}/nobody/{list_of}")).status_code == 404
