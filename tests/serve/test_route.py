"""How operations are served: nobody passes unasked, and a plain GET answers as any other."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.types import Message

from actors.domain.station import Station
from serve.admin import application as admin_application
from serve.admin.application import DESCRIPTION as ADMIN
from serve.app.application import DESCRIPTION as APP
from serve.context import Context
from serve.route import Guarded, plain
from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform

ROUTES = [route for each in (ADMIN, APP) for router in each.routers for route in router.routes]
PLAIN = sorted({route.path for route in ROUTES if isinstance(route, APIRoute) and plain(route) is not None})


def test_every_operation_is_behind_the_guard() -> None:
    """Whatever a router is made with, its operations are of the one kind that asks first."""
    assert len(ROUTES) > 90
    assert [route for route in ROUTES if not isinstance(route, Guarded)] == []


def test_what_is_asked_most_is_served_the_short_way() -> None:
    assert {"/", "/stations/{station_id}", "/transactions/{transaction_id}", "/charges/{charge_id}"} <= set(PLAIN)


def test_what_needs_more_than_its_path_is_not() -> None:
    """A query, a header, a response to write headers of, an address part that is no text."""
    others = {"/stations", "/stations/{station_id}/configuration", "/audit-entries/{seq}", "/events"}
    assert not others & set(PLAIN)


async def test_who_shows_no_token_is_told_so_before_the_body_is_looked_at(anonymous: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await anonymous.post("/admin/v1/stations/CP-1/commands", content=b"{", headers=headers)
    assert answer.status_code == 401


async def test_a_plain_get_answers_as_its_description_says(admin: httpx.AsyncClient) -> None:
    (route,) = (
        each for router in ADMIN.routers for each in router.routes if getattr(each, "name", "") == "get_station"
    )
    assert isinstance(route, APIRoute)
    answer = await admin.get("/admin/v1/stations/CP-1?page=2")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/hal+json")
    read = TypeAdapter(route.response_model).validate_python(answer.json())
    assert TypeAdapter(route.response_model).dump_python(read, mode="json", by_alias=True) == answer.json()
    assert answer.json()["_links"]["self"]["href"] == "/admin/v1/stations/CP-1?page=2"


async def test_links_to_oneself_are_addresses_whatever_the_name(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    """RFC 3986 section 2.1."""
    platform.known["CP 2"] = Station("CP 2")
    for address in ("/admin/v1/stations/CP%202", "/admin/v1/stations?q=%C3%A9&limit=1"):
        assert (await admin.get(address)).json()["_links"]["self"]["href"] == address


@pytest.fixture
def collecting_nothing() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collecting_nothing")
@pytest.mark.parametrize("path", ["/stations/CP-1", "/stations?limit=1", "/stations/CP-9", "/nothing"])
async def test_a_request_leaves_nothing_to_collect(admin: httpx.AsyncClient, path: str) -> None:
    """API processes look for cycles seldom (cluster/garbage.py)."""
    others = _contexts()
    await admin.get(f"/admin/v1{path}")
    assert _contexts() <= others


def _contexts() -> set[int]:
    return {id(one) for one in gc.get_objects() if isinstance(one, Context)}


async def test_a_query_that_is_no_text_is_no_fault_of_ours(platform: MemoryPlatform) -> None:
    """Servers pass on whatever bytes came (ASGI: `query_string`)."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/stations/CP-1", "root_path": "", "query_string": b"q=\xff",
        "headers": [(b"authorization", bearer("admin")["Authorization"].encode())],
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await admin_application.build(platform.services_of_tests())(scope, receive, send)
    assert statuses == [200]
