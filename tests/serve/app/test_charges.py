"""Charging over HTTP: what can be begun and ended now, by whom, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from actors.domain.station import ConnectorState
from cluster.identity.relation import Terms
from serve.app.receipt import wants_page
from tests.serve.app.conftest import HOME, Person
from tests.serve.fakes import NOW, MemoryPlatform

STATION = "/stations/CP-1"
CHARGES = f"{STATION}/charges"
RUNNING = "/charges/00000000-0000-0000-0000-000000000001"

People = Callable[[str], Person]


def limit(platform: MemoryPlatform, who: str, terms: Terms) -> None:
    """Give somebody other terms."""
    circle = platform.circles.circles[HOME]
    circle.ties[who] = msgspec.structs.replace(circle.ties[who], terms=terms)


async def hindrances(who: Person) -> dict[int, str | None]:
    """Return why somebody cannot start at each EVSE; a form is there exactly where he can."""
    station = (await who.get(STATION)).json()
    connectors = station["_embedded"]["cb:connector"]
    assert all(("start" in c["_templates"]) == (c["hindrance"] is None) for c in connectors)
    return {connector["evseId"]: connector["hindrance"] for connector in connectors}


async def test_a_start_is_offered_where_a_charge_can_begin(person: People, platform: MemoryPlatform) -> None:
    assert await hindrances(person("cora")) == {1: "in use", 2: None, 3: "faulted"}
    platform.known["CP-1"].gateway_id = None
    assert set((await hindrances(person("cora"))).values()) == {"offline"}


async def test_a_start_is_not_offered_to_a_guest_with_nothing_left(person: People, platform: MemoryPlatform) -> None:
    limit(platform, "gus", Terms(charges=1))
    assert await hindrances(person("gus")) == {1: "no charges left", 2: "no charges left", 3: "no charges left"}
    assert (await hindrances(person("gil")))[2] is None
    answer = await person("gus").post(CHARGES, {"evseId": 2})
    assert (answer.status_code, answer.json()["detail"]) == (409, "EVSE 2 cannot be used now: no charges left")
    limit(platform, "gus", Terms(energy_total_wh=5000.0))
    station = (await person("gus").get(STATION)).json()
    assert station["used"] == {"charges": 2, "energyWh": 1500.0}, "a charge, and one that is about to begin"
    assert station["terms"]["energyTotalWh"] == 5000.0


async def test_a_form_names_its_connector(person: People) -> None:
    station = (await person("gil").get(STATION)).json()
    (start,) = [c["_templates"]["start"] for c in station["_embedded"]["cb:connector"] if "start" in c["_templates"]]
    inputs = {one["name"]: (one["value"], one["readOnly"]) for one in start["properties"]}
    assert (start["method"], start["target"]) == ("POST", f"/app/v1{CHARGES}")
    assert inputs == {"evseId": (2, True), "connectorId": (1, True)}


async def test_a_charge_is_asked_for_and_found(person: People, platform: MemoryPlatform) -> None:
    answer = await person("gil").post(CHARGES, {"evseId": 2, "connectorId": 1}, Prefer="wait=5")
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "wait=5"
    asked = (await person("gil").get(answer.headers["location"])).json()
    assert asked["status"] == "accepted"
    charge = (await person("gil").get(asked["_links"]["cb:charge"]["href"])).json()
    assert (charge["state"], charge["energyWh"], charge["mine"]) == ("Charging", 1500.0, True)
    command = platform.queue[asked["id"]]
    assert command.payload["idToken"] == {"idToken": platform.drivers.tokens["gil"], "type": "Central"}
    assert (command.requested_by, command.if_offline) == ("gil", "fail")
    assert platform.drivers.tokens["gil"] in platform.database.tokens, "it is one that may charge"


async def test_an_id_token_is_told_to_nobody(person: People, platform: MemoryPlatform) -> None:
    asked = await person("gil").post(CHARGES, {"evseId": 2}, Prefer="wait=5")
    charge = asked.json()["_links"]["cb:charge"]["href"]
    for path in (STATION, CHARGES, "/charges", asked.headers["location"], charge, f"{charge}/curve"):
        for who in ("gil", "olga"):
            assert platform.drivers.tokens["gil"] not in (await person(who).get(path)).text


async def test_a_guests_charge_is_limited_by_what_is_left(person: People, platform: MemoryPlatform) -> None:
    limit(platform, "gil", Terms(energy_per_charge_wh=4000.0))
    assert (await person("gil").post(CHARGES, {"evseId": 2})).json()["energyLimitWh"] == 4000.0


async def test_a_station_that_refuses_starts_nothing(person: People, platform: MemoryPlatform) -> None:
    platform.station_agrees = False
    answer = await person("gil").post(CHARGES, {"evseId": 2}, Prefer="wait=5")
    assert (answer.status_code, answer.json()["status"]) == (202, "rejected")
    assert "cb:charge" not in answer.json()["_links"]
    stopped = await person("gus").post(f"{RUNNING}/stop", Prefer="wait=5")
    assert stopped.status_code == 409


@pytest.mark.parametrize(
    ("asked", "status"),
    [({"evseId": 1}, 409), ({"evseId": 3}, 409), ({"evseId": 9}, 409), ({"evseId": 0}, 422), ({}, 422)],
)
async def test_what_is_not_offered_is_refused(person: People, asked: dict[str, int], status: int) -> None:
    assert (await person("olga").post(CHARGES, asked)).status_code == status


async def test_a_charge_is_ended_once_by_its_driver_or_an_owner(person: People) -> None:
    charge = (await person("gus").get(RUNNING)).json()
    assert set(charge["_templates"]) == {"stop"}
    assert "cb:receipt" not in charge["_links"]
    answer = await person("olga").post(f"{RUNNING}/stop", Prefer="wait=5")
    assert answer.status_code == 200
    ended = (await person("gus").get(RUNNING)).json()
    assert (ended["state"], ended["stoppedReason"], ended["_templates"]) == ("Ended", "Remote", {})
    again = await person("gus").post(f"{RUNNING}/stop")
    assert (again.status_code, again.json()["type"]) == (409, "urn:cloudbay:problem:conflict")


async def test_a_guest_sees_his_own_charges_an_owner_all(person: People, platform: MemoryPlatform) -> None:
    platform.charge("CP-1", "A-CARD", 2, ended=True)

    async def seen(who: str, path: str) -> list[tuple[str | None, bool]]:
        items = (await person(who).get(path)).json()["_embedded"]["cb:charge"]
        return [(charge["subject"], charge["mine"]) for charge in items]

    assert await seen("gus", CHARGES) == [("gus", True)]
    assert await seen("gil", CHARGES) == []
    assert await seen("cora", CHARGES) == [(None, False), ("gus", False)]
    assert await seen("cora", "/charges") == []
    assert await seen("gus", "/charges?open=false") == []


async def test_a_new_owner_does_not_see_what_was_charged_before(person: People, platform: MemoryPlatform) -> None:
    platform.now = NOW + timedelta(days=1)
    circle = platform.circles.circles[HOME]
    circle.give("noa", "staff", platform.now)
    assert (await person("noa").get(CHARGES)).json()["_embedded"]["cb:charge"] == []
    assert (await person("noa").get(RUNNING)).status_code == 404


async def test_a_driver_keeps_his_charges_when_he_has_no_relation_any_more(
    person: People, platform: MemoryPlatform
) -> None:
    del platform.circles.circles[HOME].ties["gus"]
    charge = (await person("gus").get(RUNNING)).json()
    assert "cb:station" not in charge["_links"]
    assert (await person("gus").post(f"{RUNNING}/stop")).status_code == 200


async def test_the_curve_of_a_charge(person: People) -> None:
    curve = (await person("gus").get(f"{RUNNING}/curve")).json()["curve"]
    assert curve == [{"at": "2026-05-04T12:00:00Z", "energyWh": 100.0, "powerW": 7000.0, "socPercent": 55.0}]


async def test_a_receipt_when_a_charge_has_ended(person: People, platform: MemoryPlatform) -> None:
    early = await person("gus").get(f"{RUNNING}/receipt")
    assert early.status_code == 409
    platform.now = NOW + timedelta(minutes=90)
    await person("gus").post(f"{RUNNING}/stop")
    receipt = await person("gus").get(f"{RUNNING}/receipt")
    assert receipt.headers["content-type"] == "application/hal+json"
    shown = receipt.json()
    assert (shown["stationId"], shown["durationS"], shown["energyWh"]) == ("CP-1", 5400.0, 1500.0)
    assert "etag" in receipt.headers


async def test_a_receipt_is_printed(person: People, platform: MemoryPlatform) -> None:
    platform.known["<b>"] = platform.known["CP-1"]
    platform.charge("<b>", platform.drivers.tokens["gus"], ended=True)
    last = list(platform.database.transactions)[-1]
    page = await person("gus").get(f"/charges/{last}/receipt", Accept="text/html,*/*;q=0.8")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["vary"] == "Accept"
    assert "1.500 kWh" in page.text
    assert "2 h 00 min" in page.text
    assert "&lt;b&gt;" in page.text
    assert "<b>" not in page.text


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("", False), ("*/*", False), ("application/json", False), ("text/html", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", True), ("application/hal+json, text/html;q=0.5", False),
        ("text/html;q=0", False), ("text/html;q=x", False), ("TEXT/HTML", True),
    ],
)  # fmt: skip
def test_which_form_of_a_receipt_is_wanted(accept: str, page: bool) -> None:
    """RFC 9110 section 12.5.1."""
    assert wants_page(accept) is page


async def test_stations_are_listed_with_what_one_is_to_them(person: People, platform: MemoryPlatform) -> None:
    items = (await person("gus").get("/stations")).json()["_embedded"]["cb:station"]
    assert [(s["stationId"], s["relation"]) for s in items] == [("CP-1", "guest")]
    assert (await person("sam").get("/stations")).json()["_embedded"]["cb:station"] == []
    assert (await person("eve").get("/stations")).json()["_embedded"]["cb:station"] == []
    platform.known["CP-1"].connectors["2/1"] = ConnectorState("Unavailable", NOW)
    assert (await hindrances(person("olga")))[2] == "unavailable"


KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


async def test_a_start_that_is_repeated_under_its_key_is_one_charge(person: People, platform: MemoryPlatform) -> None:
    """draft-ietf-httpapi-idempotency-key-header, section 2."""
    before = len(platform.database.transactions)
    first, again = [await person("cora").post(CHARGES, {"evseId": 2}, **KEY) for _ in range(2)]
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(platform.database.transactions) == before + 1
    other = await person("olga").post(CHARGES, {"evseId": 2}, **KEY)
    assert "idempotency-replayed" not in other.headers, "a key is its caller's own"


async def test_a_start_whose_answer_was_lost_is_found_again(person: People, platform: MemoryPlatform) -> None:
    """The connector is in use by then: by the very charge that was asked for."""
    first = await person("cora").post(CHARGES, {"evseId": 2}, **KEY)
    platform.claims.forget_answers()
    platform.now += timedelta(minutes=5)
    again = await person("cora").post(CHARGES, {"evseId": 2}, **KEY)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert len(platform.submitted) == 1


async def test_a_receipt_may_use_its_own_style_and_nothing_else(person: People, platform: MemoryPlatform) -> None:
    """Content Security Policy Level 3, section 8.4: a hash of the inline style."""
    ended = platform.charge("CP-1", platform.drivers.tokens["gus"], ended=True)
    page = await person("gus").get(f"/charges/{ended.id}/receipt", Accept="text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "style-src 'sha256-" in policy
