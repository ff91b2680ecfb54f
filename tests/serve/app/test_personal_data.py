"""What an app user is told of himself, and how he is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from cluster.identity.people import User
from tests.serve.app.conftest import HOME, Person
from tests.serve.fakes import NOW, MemoryPlatform

DATA = "/account/data"


@pytest.fixture(autouse=True)
def accounts(platform: MemoryPlatform) -> None:
    for name in ("gil", "olga", "gus"):
        platform.people.users[name] = User(name, "local", name, name, None, None, frozenset(), "active", NOW)


async def test_all_that_is_known_of_the_caller_is_one_document(
    person: Callable[[str], Person], platform: MemoryPlatform
) -> None:
    gus = person("gus")
    platform.people.users["gus"] = User(
        "gus", "local", "gus", "gus", "g@example.org", "Gus", frozenset(), "active", NOW
    )
    ended = platform.charge("CP-1", platform.drivers.tokens["gus"], ended=True)
    await gus.post("/webhooks", {"url": "https://gus.example/"})
    answer = await gus.get(DATA)
    told = answer.json()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "no-store"
    assert (told["subject"], told["profile"]["email"]) == ("gus", "g@example.org")
    assert [(one["holding"]["name"], one["relation"]) for one in told["relations"]] == [("CP-1", "guest")]
    assert told["webhooks"][0]["url"] == "https://gus.example/"
    assert [one["id"] for one in told["commands"]] == ["request-1"]
    receipts = {charge["id"]: charge["receipt"] for charge in told["charges"]}
    assert receipts.pop(ended.id) == {"durationS": 7200.0, "energyWh": 1500.0, "complete": True}
    assert list(receipts.values()) == [None], "the other one still runs"


async def test_nothing_of_others_is_in_it(person: Callable[[str], Person], platform: MemoryPlatform) -> None:
    document = (await person("sam").get(DATA)).text
    assert not any(name in document for name in ("olga", "gus", "fay", "CP-1", "CP-9"))


async def test_an_id_token_is_not_told_whole(person: Callable[[str], Person], platform: MemoryPlatform) -> None:
    document = (await person("gus").get(DATA)).text
    assert platform.drivers.tokens["gus"] not in document


async def test_many_charges_are_all_there(person: Callable[[str], Person], platform: MemoryPlatform) -> None:
    for _ in range(1100):
        platform.charge("CP-1", platform.drivers.tokens["cora"], ended=True)
    assert len((await person("cora").get(DATA)).json()["charges"]) == 1100


async def test_who_erases_himself_is_gone_and_his_charges_are_nobodys(
    person: Callable[[str], Person], platform: MemoryPlatform
) -> None:
    gil = person("gil")
    charge = platform.charge("CP-1", platform.drivers.tokens["gil"], ended=True)
    assert (await gil.send("DELETE", "/account")).status_code == 204
    assert (await gil.get("/stations/CP-1")).status_code == 404
    assert (await gil.get(DATA)).json()["charges"] == []
    kept = await person("olga").get(f"/charges/{charge.id}")
    assert (kept.json()["energyWh"], kept.json()["subject"]) == (1500.0, None)


async def test_who_has_no_account_erases_nothing(person: Callable[[str], Person], platform: MemoryPlatform) -> None:
    """A token of the machine's operator speaks for everybody who has that machine: commands under its name stay."""
    del platform.people.users["gil"]
    charge = platform.charge("CP-1", platform.drivers.tokens["gil"], ended=True)
    refused = await person("gil").send("DELETE", "/account")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:cloudbay:problem:conflict")
    assert "no account" in refused.json()["detail"]
    assert (await person("gil").get(f"/charges/{charge.id}")).json()["subject"] == "gil"


async def test_an_owner_who_goes_leaves_the_station_to_a_co_owner(
    person: Callable[[str], Person], platform: MemoryPlatform
) -> None:
    assert (await person("olga").send("DELETE", "/account")).status_code == 204
    ties = (await platform.circles.circle(HOME)).ties
    assert {name: tie.relation for name, tie in ties.items()} == {
        "cora": "owner", "gus": "guest", "gil": "guest", "eve": "guest",
    }  # fmt: skip
    assert "olga" not in str(ties)


async def test_nobody_goes_while_his_charge_runs(person: Callable[[str], Person], platform: MemoryPlatform) -> None:
    refused = await person("gus").send("DELETE", "/account")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:cloudbay:problem:conflict")
    running = next(iter(platform.database.transactions.values()))
    running.ended_at = NOW
    platform.now += timedelta(minutes=1)
    platform.queue["request-1"].status = "rejected"
    assert (await person("gus").send("DELETE", "/account")).status_code == 204


async def test_the_root_leads_to_both(person: Callable[[str], Person]) -> None:
    root = (await person("gil").get("/")).json()
    assert (await person("gil").get(root["_links"]["cb:account-data"]["href"])).status_code == 200
    form = root["_templates"]["erase"]
    assert (await person("gil").send(form["method"], form["target"])).status_code == 204
