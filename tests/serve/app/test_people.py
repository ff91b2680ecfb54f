"""Sharing over HTTP: invite, accept, hand over, limit, leave; and how staff give a station its first owner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from actors.domain.station import Station
from cluster.identity.relation import Holding
from tests.serve.app.conftest import HOME, Person
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform

PEOPLE = "/holdings/station/CP-1/people"

People = Callable[[str], Person]


async def relations(who: Person) -> dict[str, str]:
    """Return what somebody is to holdings, in force or not."""
    items = (await who.get("/relations")).json()["_embedded"]["cb:relation"]
    return {item["holding"]["name"]: item["relation"] for item in items}


async def sees(who: Person, station_id: str = "CP-1") -> bool:
    return (await who.get(f"/stations/{station_id}")).status_code == 200


async def test_who_is_invited_by_name_accepts_and_is_in(person: People) -> None:
    sam = person("sam")
    made = (await person("cora").post(PEOPLE, {"relation": "guest", "subject": "sam", "charges": 2})).json()
    assert made["code"] is None
    assert not await sees(sam)
    (invitation,) = (await sam.get("/invitations")).json()["_embedded"]["cb:invitation"]
    assert (invitation["holding"], invitation["offeredBy"]) == ({"kind": "station", "name": "CP-1"}, "cora")
    accepted = await sam.post(invitation["_templates"]["accept"]["target"])
    assert (accepted.status_code, accepted.json()["charges"]) == (201, 2)
    assert await relations(sam) == {"CP-1": "guest"}
    assert await sees(sam)
    assert (await sam.get("/invitations")).json()["_embedded"]["cb:invitation"] == []


async def test_a_code_joins_one_person_once(person: People, platform: MemoryPlatform) -> None:
    made = await person("olga").post(PEOPLE, {"relation": "co-owner"})
    code = made.json()["code"]
    assert code not in (await person("olga").get(PEOPLE)).text, "it is shown once"
    assert code not in str(platform.circles.circles), "and not kept"
    typed = code.lower().replace("-", " ")
    joined = await person("sam").post("/invitations", {"code": typed})
    assert (joined.status_code, joined.json()["relation"]) == (201, "co-owner")
    again = await person("eve").post("/invitations", {"code": code})
    assert (again.status_code, again.json()["detail"]) == (404, "this code is not good, or not any longer")


async def test_a_wrong_code_and_one_that_is_over_are_alike(person: People, platform: MemoryPlatform) -> None:
    code = (await person("olga").post(PEOPLE, {})).json()["code"]
    wrong = (await person("sam").post("/invitations", {"code": "0000-0000-0000-0000-0000"})).json()
    platform.now = NOW + timedelta(days=8)
    over = (await person("sam").post("/invitations", {"code": code})).json()
    assert (wrong["status"], over["status"]) == (404, 404)


async def test_an_invitation_is_withdrawn_or_declined(person: People) -> None:
    listed = (await person("olga").get(PEOPLE)).json()["_embedded"]["cb:invitation"]
    (withdraw,) = [one["_templates"]["withdraw"] for one in listed if one["id"] == "offer-1"]
    assert (await person("olga").send("DELETE", withdraw["target"])).status_code == 204
    assert (await person("new").post("/invitations/offer-1/acceptance")).status_code == 404
    await person("olga").post(PEOPLE, {"subject": "sam"})
    (invitation,) = (await person("sam").get("/invitations")).json()["_embedded"]["cb:invitation"]
    decline = invitation["_templates"]["decline"]["target"]
    assert (await person("gus").send("DELETE", decline)).status_code == 404, "it is not his"
    assert (await person("sam").send("DELETE", decline)).status_code == 204
    assert (await person("sam").send("DELETE", decline)).status_code == 404


async def test_only_what_may_be_done_is_offered(person: People) -> None:
    async def offered(who: str) -> dict[str, set[str]]:
        page = (await person(who).get(PEOPLE)).json()
        return {one["subject"]: set(one["_templates"]) for one in page["_embedded"]["cb:person"]}

    both = {"terms", "remove"}
    assert await offered("olga") == {"olga": set(), "cora": both, "gus": both, "gil": both, "eve": both}
    assert await offered("cora") == {"olga": set(), "cora": set(), "gus": both, "gil": both, "eve": both}
    assert "cb:people" not in (await person("gus").get("/stations/CP-1")).json()["_links"]
    leave = {r["relation"]: set(r["_templates"]) for r in await own(person("olga")) + await own(person("cora"))}
    assert leave == {"owner": set(), "co-owner": {"leave"}}


async def own(who: Person) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await who.get("/relations")).json()["_embedded"]["cb:relation"]
    return items


async def test_nobody_gives_more_than_he_may(person: People) -> None:
    for relation in ("co-owner", "owner"):
        answer = await person("cora").post(PEOPLE, {"relation": relation, "subject": "sam"})
        assert answer.status_code == 409
    assert (await person("olga").post(PEOPLE, {"subject": "olga"})).status_code == 422


async def test_terms_are_changed_and_hold_at_once(person: People) -> None:
    terms = {"hoursFrom": "13:00", "hoursUntil": "14:00", "days": [0], "zone": "UTC", "charges": 5}
    changed = await person("cora").send("PUT", f"{PEOPLE}/gil/terms", terms)
    assert (changed.status_code, changed.json()["hoursFrom"], changed.json()["charges"]) == (200, "13:00:00", 5)
    station = (await person("gil").get("/stations/CP-1")).json()
    assert {c["hindrance"] for c in station["_embedded"]["cb:connector"]} == {"outside the hours"}
    ended = await person("cora").send("PUT", f"{PEOPLE}/gil/terms", {"validUntil": "2026-05-04T12:00:00Z"})
    assert ended.status_code == 422
    same = {"hoursFrom": "13:00", "hoursUntil": "13:00"}
    for wrong in (
        {"hoursFrom": "13:00"},
        same,
        {"days": [7]},
        {"zone": "X" * 65},
    ):
        assert (await person("cora").send("PUT", f"{PEOPLE}/gil/terms", wrong)).status_code == 422


async def test_who_is_removed_or_leaves_sees_nothing_any_more(person: People) -> None:
    assert (await person("cora").send("DELETE", f"{PEOPLE}/gil")).status_code == 204
    assert not await sees(person("gil"))
    assert (await person("gus").send("DELETE", "/relations/station/CP-1")).status_code == 204
    assert not await sees(person("gus"))
    assert (await person("olga").send("DELETE", "/relations/station/CP-1")).status_code == 409
    assert (await person("cora").send("DELETE", f"{PEOPLE}/olga")).status_code == 409


async def test_ownership_is_handed_over_when_it_is_accepted(person: People) -> None:
    await person("olga").post(PEOPLE, {"relation": "owner", "subject": "sam"})
    assert await relations(person("olga")) == {"CP-1": "owner"}
    (invitation,) = (await person("sam").get("/invitations")).json()["_embedded"]["cb:invitation"]
    assert (await person("sam").post(invitation["_templates"]["accept"]["target"])).json()["relation"] == "owner"
    for who in ("olga", "cora", "gus"):
        assert not await sees(person(who)), "who the last owner has let in goes with her"


async def test_an_invitation_holds_as_long_as_its_maker_may_make_it(person: People) -> None:
    await person("cora").post(PEOPLE, {"subject": "sam"})
    (invitation,) = (await person("sam").get("/invitations")).json()["_embedded"]["cb:invitation"]
    await person("olga").send("DELETE", f"{PEOPLE}/cora")
    assert (await person("sam").post(invitation["_templates"]["accept"]["target"])).status_code == 404


async def test_a_relation_to_a_site_holds_for_its_stations(
    person: People, anonymous: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    platform.known["CP-2"] = Station("CP-2", site_id="HOME")
    given = await anonymous.put("/admin/v1/sites/HOME/owner", json={"subject": "una"}, headers=bearer("support"))
    assert (given.status_code, given.json()["subject"]) == (200, "una")
    items = (await person("una").get("/stations")).json()["_embedded"]["cb:station"]
    assert [(s["stationId"], s["relation"]) for s in items] == [("CP-1", "co-owner"), ("CP-2", "owner")]
    await person("una").post("/holdings/site/HOME/people", {"subject": "sam"})
    (invitation,) = (await person("sam").get("/invitations")).json()["_embedded"]["cb:invitation"]
    await person("sam").post(invitation["_templates"]["accept"]["target"])
    assert await sees(person("sam"), "CP-2")
    platform.known["CP-2"].site_id = None
    assert not await sees(person("sam"), "CP-2")
    nowhere = await anonymous.put("/admin/v1/sites/X/owner", json={"subject": "una"}, headers=bearer("support"))
    assert nowhere.status_code == 404


async def test_staff_give_and_take_a_station(
    person: People, anonymous: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    owner = "/admin/v1/stations/CP-1/owner"
    shown = (await anonymous.get(owner, headers=bearer("support"))).json()
    assert (shown["subject"], set(shown["_templates"])) == ("olga", {"give", "take"})
    links = shown["_links"]
    assert links["up"]["href"] == "/admin/v1/stations/CP-1"
    assert links["cb:user"]["href"] == "/admin/v1/people/olga"
    assert "cb:user" not in (await anonymous.get(owner, headers=bearer("operator"))).json()["_links"], (
        "may see no people"
    )
    assert (await anonymous.get(owner, headers=bearer("auditor"))).json()["_templates"] == {}
    given = await anonymous.put(owner, json={"subject": "noa"}, headers=bearer("operator"))
    assert given.json()["subject"] == "noa"
    assert platform.circles.circles[HOME].ties["noa"].granted_by == "ann"
    assert not await sees(person("olga"))
    assert (await anonymous.delete(owner, headers=bearer("operator"))).status_code == 204
    assert not await sees(person("noa"))
    missing = await anonymous.put("/admin/v1/stations/CP-0/owner", json={"subject": "noa"}, headers=bearer("operator"))
    assert missing.status_code == 404


async def test_a_claim_code_makes_the_first_owner_once(
    person: People, anonymous: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    platform.known["CP-2"] = Station("CP-2")
    claim = "/admin/v1/stations/CP-2/claim-code"
    old = (await anonymous.post(claim, headers=bearer("production"))).json()["code"]
    made = await anonymous.post(claim, headers=bearer("production"))
    assert made.status_code == 201
    assert made.json()["expiresAt"] == "2027-05-04T12:00:00Z"
    assert (await person("sam").post("/invitations", {"code": old})).status_code == 404, "a newer one makes it void"
    claimed = await person("sam").post("/invitations", {"code": made.json()["code"]})
    assert (claimed.status_code, claimed.json()["relation"]) == (201, "owner")
    assert platform.circles.circles[Holding("station", "CP-2")].ties.keys() == {"sam"}
    assert (await person("gus").post("/invitations", {"code": made.json()["code"]})).status_code == 404
    assert (await anonymous.post(claim, headers=bearer("production"))).status_code == 409


@pytest.mark.parametrize("code", ["", "short", "x" * 41, "0000-0000-0000-0000-000\u0000"])
async def test_what_can_be_no_code(person: People, code: str) -> None:
    assert (await person("sam").post("/invitations", {"code": code})).status_code == 422


async def test_an_invitation_that_is_repeated_under_its_key_is_one_with_one_code(
    person: People, platform: MemoryPlatform
) -> None:
    key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first, again = [await person("olga").post(PEOPLE, {}, **key) for _ in range(2)]
    assert first.json()["code"] == again.json()["code"]
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-store"
    platform.claims.forget_answers()
    platform.now += timedelta(minutes=5)
    made_anew = await person("olga").post(PEOPLE, {}, **key)
    assert made_anew.json()["id"] == first.json()["id"]
    used = await person("sam").post("/invitations", {"code": first.json()["code"]})
    assert used.status_code == 404, "nobody has got it"
    assert (await person("sam").post("/invitations", {"code": made_anew.json()["code"]})).status_code == 201
