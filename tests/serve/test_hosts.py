"""The hosts through the API: who holds what, and asking for more or fewer."""

from httpx import AsyncClient

from cluster.store.views import Member
from serve.hosts import ranges
from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform


async def test_everyone_sees_who_holds_what(viewer: AsyncClient) -> None:
    answer = (await viewer.get("/api/v1/hosts")).json()
    assert answer == {
        "wanted": 1,
        "partitions": 4096,
        "free": 0,
        "hosts": [
            {"hostId": "host-0", "state": "serving", "partitions": 4000, "ranges": "0-3999"},
            {"hostId": "host-1", "state": "draining", "partitions": 96, "ranges": "4000-4095"},
        ],
    }


async def test_what_nobody_holds_is_said(viewer: AsyncClient, platform: MemoryPlatform) -> None:
    platform.members = [Member("host-0", draining=False, expired=True)]
    platform.owners = {5: "host-0"}
    answer = (await viewer.get("/api/v1/hosts")).json()
    assert (answer["free"], answer["hosts"][0]["state"]) == (4095, "expired")


async def test_an_admin_asks_for_more_hosts_and_nobody_else(anonymous: AsyncClient, platform: MemoryPlatform) -> None:
    assert (await anonymous.put("/api/v1/hosts", json={"count": 4}, headers=bearer("viewer"))).status_code == 403
    anonymous.headers.update(bearer("admin"))
    assert (await anonymous.put("/api/v1/hosts", json={"count": 0})).status_code == 422
    answer = await anonymous.put("/api/v1/hosts", json={"count": 4})
    assert (answer.status_code, answer.json()["wanted"], platform.wanted) == (202, 4, 4)


def test_numbers_are_written_as_ranges() -> None:
    assert ranges([]) == ""
    assert ranges([0, 1, 2, 7, 9, 10]) == "0-2, 7, 9-10"
