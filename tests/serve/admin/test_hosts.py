"""The hosts through the API: who holds what, and asking for more or fewer."""

from httpx import AsyncClient

from cluster.store.views import Member
from serve.admin.hosts import ranges
from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform

PLACEMENTS = "/admin/v1/placements"


def without_links(resource: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in resource.items() if not name.startswith("_")}


async def test_everyone_sees_who_holds_what(auditor: AsyncClient) -> None:
    answer = (await auditor.get("/admin/v1/hosts")).json()
    assert without_links(answer) == {
        "wanted": 1,
        "partitions": 4096,
        "free": 0,
        "hosts": [
            {"hostId": "host-0", "state": "serving", "stationId": None, "partitions": 4000, "ranges": "0-3999"},
            {"hostId": "host-1", "state": "draining", "stationId": None, "partitions": 96, "ranges": "4000-4095"},
        ],
    }


async def test_what_nobody_holds_is_said(auditor: AsyncClient, platform: MemoryPlatform) -> None:
    platform.members = [Member("host-0", draining=False, expired=True)]
    platform.owners = {5: "host-0"}
    answer = (await auditor.get("/admin/v1/hosts")).json()
    assert (answer["free"], answer["hosts"][0]["state"]) == (4095, "expired")


async def test_an_admin_asks_for_more_hosts_and_nobody_else(anonymous: AsyncClient, platform: MemoryPlatform) -> None:
    assert (await anonymous.put("/admin/v1/hosts", json={"count": 4}, headers=bearer("auditor"))).status_code == 403
    anonymous.headers.update(bearer("admin"))
    assert (await anonymous.put("/admin/v1/hosts", json={"count": 0})).status_code == 422
    answer = await anonymous.put("/admin/v1/hosts", json={"count": 4})
    assert (answer.status_code, answer.json()["wanted"], platform.wanted) == (202, 4, 4)


async def test_a_host_that_is_dedicated_to_a_station_says_so(auditor: AsyncClient, platform: MemoryPlatform) -> None:
    platform.members.append(Member("charger-CP-1", draining=False, expired=False, own_partition=4096))
    platform.own["CP-1"] = 4096
    platform.owners[4096] = "charger-CP-1"
    answer = (await auditor.get("/admin/v1/hosts")).json()
    assert answer["hosts"][0] == {
        "hostId": "charger-CP-1",
        "state": "serving",
        "stationId": "CP-1",
        "partitions": 1,
        "ranges": "4096",
    }
    assert (answer["partitions"], answer["free"]) == (4097, 0)


async def test_an_admin_gives_stations_and_sites_hosts_of_their_own(admin: AsyncClient) -> None:
    await admin.post("/admin/v1/stations", json={"stationId": "CP-9", "siteId": "DEPOT"})
    assert (await admin.get("/admin/v1/stations/CP-9/configuration")).json()["siteId"] == "DEPOT"
    assert (await admin.put(f"{PLACEMENTS}/station/CP-9")).status_code == 202
    placed = (await admin.put(f"{PLACEMENTS}/site/DEPOT")).json()["placements"]
    assert [(rule["kind"], rule["name"]) for rule in placed] == [("station", "CP-9"), ("site", "DEPOT")]
    assert (await admin.delete(f"{PLACEMENTS}/station/CP-9")).json()["placements"] == placed[1:]
    assert (await admin.put(f"{PLACEMENTS}/station/nobody")).status_code == 404
    assert (await admin.put(f"{PLACEMENTS}/planet/earth")).status_code == 422


async def test_a_auditor_places_nobody(auditor: AsyncClient) -> None:
    assert (await auditor.put(f"{PLACEMENTS}/site/DEPOT")).status_code == 403
    assert (await auditor.get(PLACEMENTS)).json()["placements"] == []


async def test_a_rolling_restart_tells_how_far_it_is(admin: AsyncClient) -> None:
    none = {"generation": 0, "hostsLeft": 0, "gatewaysLeft": 0, "apiLeft": False}
    assert without_links((await admin.get("/admin/v1/restart")).json()) == none
    asked = await admin.post("/admin/v1/restart")
    begun = {"generation": 1, "hostsLeft": 2, "gatewaysLeft": 0, "apiLeft": True}
    assert (asked.status_code, without_links(asked.json())) == (202, begun)


async def test_a_auditor_restarts_nothing(auditor: AsyncClient) -> None:
    assert (await auditor.post("/admin/v1/restart")).status_code == 403


def test_numbers_are_written_as_ranges() -> None:
    assert ranges([]) == ""
    assert ranges([0, 1, 2, 7, 9, 10]) == "0-2, 7, 9-10"
