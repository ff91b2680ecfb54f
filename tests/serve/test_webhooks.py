"""Webhooks over HTTP, in both applications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from actors.domain.events import FACTS
from cluster.bus.outbox import WaitingEvent
from cluster.identity.relation import Relation
from cluster.webhooks.model import Delivery
from cluster.webhooks.sight import TOLD_OF
from serve.access import app_user_sees
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform

URL = "https://hooks.example.org/cloudbay"
PREFIXES = ["/admin/v1", "/app/v1"]

Send = Callable[..., Any]


class Client:
    """Somebody's client of one application."""

    def __init__(self, http: httpx.AsyncClient, prefix: str, *roles: Any, subject: str = "ann") -> None:
        self._http = http
        self._prefix = prefix
        self._headers = bearer(*roles, subject=subject)

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        where = path if path.startswith(self._prefix) else f"{self._prefix}{path}"
        return await self._http.request(method, where, json=body, headers={**self._headers, **headers})


@pytest.fixture(params=PREFIXES)
def ann(request: pytest.FixtureRequest, anonymous: httpx.AsyncClient) -> Client:
    """Return a client of who may make webhooks there."""
    return Client(anonymous, request.param, *(["operator"] if "admin" in request.param else []))


async def made(client: Client, **asked: object) -> dict[str, Any]:
    answer = await client("POST", "/webhooks", {"url": URL, **asked})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def dead_letter(platform: MemoryPlatform, webhook_id: str, number: int = 1) -> Delivery:
    event = WaitingEvent(f"e-{number}", "TransactionEnded", "CP-1", NOW, '{"energyWh":7.5}')
    delivery = Delivery(str(number), webhook_id, event, NOW, state="dead", attempts=9, error="no answer")
    platform.hooks.deliveries[delivery.id] = delivery
    return delivery


async def test_a_secret_is_shown_once_and_no_cache_keeps_it(ann: Client) -> None:
    answer = await ann("POST", "/webhooks", {"url": URL, "kinds": ["TransactionEnded"]})
    assert answer.headers["cache-control"] == "no-store"
    secret = answer.json()["secret"]
    assert secret.startswith("whsec_")
    shown = await ann("GET", answer.headers["location"])
    assert shown.json()["kinds"] == ["TransactionEnded"]
    assert secret not in shown.text
    assert secret not in (await ann("GET", "/webhooks")).text


async def test_a_webhook_is_changed_by_who_has_seen_it(ann: Client) -> None:
    path = f"/webhooks/{(await made(ann))['id']}"
    tag = (await ann("GET", path)).headers["etag"]
    changed = await ann("PATCH", path, {"kinds": ["A"]}, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["kinds"], changed.json()["url"]) == (200, ["A"], URL)
    stale = await ann("PATCH", path, {"kinds": ["B"]}, **{"If-Match": tag})
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:cloudbay:problem:changed")
    assert (await ann("PATCH", path, {}, **{"If-Match": changed.headers["etag"]})).status_code == 200


async def test_it_is_paused_and_resumed_by_its_forms(ann: Client) -> None:
    webhook = await made(ann)
    for name, state in (("pause", "paused"), ("resume", "active")):
        form = webhook["_templates"][name]
        body = {one["name"]: one["value"] for one in form["properties"]}
        webhook = (await ann(form["method"], form["target"], body)).json()
        assert webhook["state"] == state
        assert name not in webhook["_templates"]


async def test_a_new_secret_goes_beside_the_last_one_for_some_time(ann: Client) -> None:
    webhook = await made(ann)
    rotated = (await ann("POST", f"/webhooks/{webhook['id']}/secret")).json()
    assert rotated["secret"] != webhook["secret"]
    assert rotated["rotatingUntil"] == "2026-05-05T12:00:00Z"


async def test_dead_letters_are_listed_and_sent_again(ann: Client, platform: MemoryPlatform) -> None:
    webhook = await made(ann)
    dead_letter(platform, webhook["id"])
    listed = await ann("GET", webhook["_links"]["cb:deliveries"]["href"].partition("{")[0] + "?state=dead")
    (letter,) = listed.json()["_embedded"]["cb:delivery"]
    assert (letter["event"]["kind"], letter["event"]["data"], letter["error"]) == (
        "TransactionEnded",
        {"energyWh": 7.5},
        "no answer",
    )
    again = await ann("POST", letter["_templates"]["replay"]["target"])
    assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (202, "waiting", 0)


async def test_a_time_is_sent_again(ann: Client, platform: MemoryPlatform) -> None:
    webhook = await made(ann)
    for number in (1, 2):
        dead_letter(platform, webhook["id"], number)
    target = webhook["_templates"]["replay"]["target"]
    body = {"since": "2026-05-04T12:00:00Z", "until": "2026-05-04T13:00:00Z"}
    assert (await ann("POST", target, body)).json()["replayed"] == 2
    assert (await ann("POST", target, {**body, "until": body["since"]})).status_code == 422


async def test_what_is_removed_is_gone(ann: Client) -> None:
    path = f"/webhooks/{(await made(ann))['id']}"
    assert (await ann("DELETE", path)).status_code == 204
    assert (await ann("GET", path)).status_code == 404


async def test_a_repeat_under_a_key_makes_one_and_shows_the_same_secret(ann: Client) -> None:
    answers = [await ann("POST", "/webhooks", {"url": URL}, **{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert answers[0].json()["secret"] == answers[1].json()["secret"]
    assert len((await ann("GET", "/webhooks")).json()["_embedded"]["cb:webhook"]) == 1


@pytest.mark.parametrize("url", ["http://hooks.example.org/", "https://127.0.0.1/", "https://u:p@a.example/", "x"])
async def test_an_address_that_may_not_be_called_is_refused(ann: Client, url: str) -> None:
    assert (await ann("POST", "/webhooks", {"url": url})).status_code == 422


async def test_others_webhooks_do_not_exist(anonymous: httpx.AsyncClient) -> None:
    ann, bob = (Client(anonymous, "/app/v1", subject=subject) for subject in ("ann", "bob"))
    path = f"/webhooks/{(await made(ann))['id']}"
    for method, where in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("GET", "/deliveries")):
        assert (await bob(method, path + where, {} if method == "PATCH" else None)).status_code == 404
    assert (await bob("GET", "/webhooks")).json()["_embedded"]["cb:webhook"] == []


async def test_admins_change_everybodys_and_auditors_look(anonymous: httpx.AsyncClient) -> None:
    webhook = await made(Client(anonymous, "/app/v1"))
    path = f"/webhooks/{webhook['id']}"
    admin = Client(anonymous, "/admin/v1", "admin", subject="root")
    auditor = Client(anonymous, "/admin/v1", "auditor", subject="eye")
    assert (await admin("GET", path)).json()["_templates"]
    assert (await auditor("GET", path)).json()["_templates"] == {}
    assert (await admin("PATCH", path, {"state": "paused"})).json()["state"] == "paused"


async def test_in_the_app_staff_are_nobody_special(anonymous: httpx.AsyncClient) -> None:
    """One login serves both applications: a role must not reach through the app."""
    others = await made(Client(anonymous, "/app/v1", subject="olga"))
    staff = Client(anonymous, "/app/v1", "admin", subject="sid")
    assert (await made(staff))["wholeFleet"] is False
    assert (await staff("GET", f"/webhooks/{others['id']}")).status_code == 404
    assert (await made(Client(anonymous, "/admin/v1", "operator", subject="sid")))["wholeFleet"] is True


async def test_whether_a_foreign_station_exists_is_not_told(anonymous: httpx.AsyncClient) -> None:
    """What may be named and what comes of it does not depend on what there is."""
    sam = Client(anonymous, "/app/v1", subject="sam")
    first, second = [await made(sam, stationIds=[name]) for name in ("CP-1", "CP-404")]
    for webhook in (first, second):
        for own in ("id", "secret", "_links", "_templates", "stationIds"):
            webhook.pop(own)
    assert first == second


def test_owners_are_told_by_webhook_what_live_events_show_them() -> None:
    owning: list[Relation] = ["owner", "co-owner"]
    for relation in owning:
        assert {kind for kind in FACTS if app_user_sees(kind, relation)} == TOLD_OF
