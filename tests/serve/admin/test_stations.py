"""Stations over HTTP."""

import json

import httpx
import pytest

from cluster.identity.caller import Role
from cluster.passwords import digest
from cluster.store.views import FrameEntry, StoredNotice, StoredVariable
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, PASSWORD_KEY, MemoryPlatform

STATIONS = "/admin/v1/stations"
CONFIGURATION = f"{STATIONS}/CP-1/configuration"


async def test_pages_lead_to_one_another_and_keep_the_filters(
    auditor: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    page = (
        await auditor.get(
            STATIONS, params={"limit": 2, "q": "cp", "connected": "true", "site": "DEPOT", "sort": "-lastSeenAt"}
        )
    ).json()
    assert [s["stationId"] for s in page["_embedded"]["cb:station"]] == ["CP-1", "CP 2/é"]
    last = (await auditor.get(page["_links"]["next"]["href"])).json()
    assert [s["stationId"] for s in last["_embedded"]["cb:station"]] == ["CP-3"]
    assert "next" not in last["_links"]
    assert (await auditor.get(last["_links"]["prev"]["href"])).json()["_embedded"] == page["_embedded"]
    assert platform.stations_asked == {
        "connected": True,
        "registration": None,
        "site": "DEPOT",
        "q": "cp",
        "sort": "-lastSeenAt",
    }


async def test_a_station_in_a_list(auditor: httpx.AsyncClient) -> None:
    first = (await auditor.get(STATIONS)).json()["_embedded"]["cb:station"][0]
    assert first["connected"] is True
    assert first["lastSeenAt"] == "2026-05-04T12:00:00Z"
    assert first["connectors"]["1/1"]["status"] == "Occupied"


async def test_one_station_with_what_charges_at_it(auditor: httpx.AsyncClient) -> None:
    station = (await auditor.get(f"{STATIONS}/CP-1")).json()
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
    await admin.patch(CONFIGURATION, json={"admission": "Rejected"})
    decided = (await admin.patch(CONFIGURATION, json={"validation": "strict"})).json()
    assert (decided["admission"], decided["validation"]) == ("Rejected", "strict")
    await admin.patch(CONFIGURATION, json={"admission": None})
    assert (platform.known["CP-1"].admission, platform.known["CP-1"].validation) == (None, "strict")
    nobody = await admin.patch(f"{STATIONS}/nobody/configuration", json={"admission": None})
    assert nobody.status_code == 404


async def test_two_admins_do_not_overwrite_each_other(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    """RFC 9110 section 13.1.1."""
    seen = (await admin.get(CONFIGURATION)).headers["etag"]
    first = await admin.patch(CONFIGURATION, json={"siteId": "A"}, headers={"If-Match": seen})
    assert first.status_code == 200
    assert first.headers["etag"] != seen
    second = await admin.patch(CONFIGURATION, json={"siteId": "B"}, headers={"If-Match": seen})
    assert (second.status_code, second.json()["type"]) == (412, "urn:cloudbay:problem:changed")
    assert platform.known["CP-1"].site_id == "A"
    third = await admin.patch(CONFIGURATION, json={"siteId": "B"}, headers={"If-Match": first.headers["etag"]})
    assert third.status_code == 200
    assert (await admin.patch(CONFIGURATION, json={}, headers={"If-Match": "abc"})).status_code == 422


async def test_what_has_not_changed_is_not_sent_again(auditor: httpx.AsyncClient) -> None:
    """RFC 9110 section 13.1.2."""
    first = await auditor.get(f"{STATIONS}/CP-1")
    again = await auditor.get(f"{STATIONS}/CP-1", headers={"If-None-Match": f'"x", {first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = await auditor.get(f"{STATIONS}/CP-1", headers={"If-None-Match": '"x"'})
    assert other.content == first.content


async def test_only_what_may_be_done_is_offered(anonymous: httpx.AsyncClient) -> None:
    async def offered(role: Role) -> tuple[set[str], set[str]]:
        station = (await anonymous.get(f"{STATIONS}/CP-1", headers=bearer(role))).json()
        return set(station["_templates"]), set(station["_links"])

    forms, links = await offered("admin")
    assert (forms, "cb:log" in links) == ({"command", "new-password", "claim-code"}, True)
    forms, links = await offered("auditor")
    assert (forms, "cb:log" in links) == (set(), False)
    assert (await offered("production"))[0] == {"new-password", "claim-code"}


async def test_a_form_says_how_it_is_filled_in(admin: httpx.AsyncClient) -> None:
    form = (await admin.get(STATIONS)).json()["_templates"]["add"]
    assert (form["method"], form["target"], form["contentType"]) == ("POST", STATIONS, "application/json")
    inputs = {one["name"]: one for one in form["properties"]}
    assert (inputs["stationId"]["required"], inputs["stationId"]["maxLength"]) == (True, 48)
    assert inputs["admission"]["options"] == {"inline": ["Accepted", "Pending", "Rejected"]}
    assert inputs["password"]["type"] == "checkbox"


async def test_a_new_password_is_shown_once(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    made = (await admin.post(f"{STATIONS}/CP-1/password")).json()
    assert made["stationId"] == "CP-1"
    assert platform.known["CP-1"].password_digest == digest(made["password"].encode(), PASSWORD_KEY)
    assert made["password"] not in (await admin.get(f"{STATIONS}/CP-1")).text


async def test_the_log_shows_both_ways_newest_first(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.log = [FrameEntry(NOW, "in", '[2,"1","Heartbeat",{}]'), FrameEntry(NOW, "out", '[3,"1",{}]')]
    page = (await admin.get(f"{STATIONS}/CP-1/log", params={"limit": 1})).json()
    assert page["_embedded"]["cb:frame"] == [{"at": "2026-05-04T12:00:00Z", "direction": "out", "data": '[3,"1",{}]'}]
    assert (await admin.get(page["_links"]["next"]["href"])).json()["_embedded"]["cb:frame"][0]["direction"] == "in"


async def test_the_log_is_exported_as_json_lines(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.log = [FrameEntry(NOW, "in", "[2]"), FrameEntry(NOW, "out", "[3]"), FrameEntry(NOW, "in", "é\n")]
    answer = await admin.get(f"{STATIONS}/CP-1/log.jsonl")
    assert answer.headers["content-type"] == "application/jsonl"
    assert [json.loads(line)["data"] for line in answer.text.splitlines()] == ["[2]", "[3]", "é\n"]


async def test_an_export_that_cannot_begin_is_a_problem(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    assert (await admin.get(f"{STATIONS}/nobody/log.jsonl")).status_code == 404
    platform.down.add("database")
    assert (await admin.get(f"{STATIONS}/CP-1/log.jsonl")).status_code == 503


async def test_what_a_station_has_reported(auditor: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    platform.reported = [StoredVariable("EVSE", "", 1, "Power", "", "Actual", "11000", "ReadOnly", NOW)]
    platform.told = [StoredNotice("SecurityEvent", NOW, NOW, {"type": "TamperDetectionActivated"})]
    variable = (await auditor.get(f"{STATIONS}/CP-1/variables")).json()["_embedded"]["cb:variable"][0]
    assert (variable["component"], variable["evseId"], variable["value"]) == ("EVSE", 1, "11000")
    notice = (await auditor.get(f"{STATIONS}/CP-1/notices")).json()["_embedded"]["cb:notice"][0]
    assert (notice["kind"], notice["payload"]) == ("SecurityEvent", {"type": "TamperDetectionActivated"})


@pytest.mark.parametrize("list_of", ["variables", "notices", "log"])
async def test_lists_of_an_unknown_station(admin: httpx.AsyncClient, list_of: str) -> None:
    assert (await admin.get(f"{STATIONS}/nobody/{list_of}")).status_code == 404
