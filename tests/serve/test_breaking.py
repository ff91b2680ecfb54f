"""No change breaks clients of the last release without another version of the path."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from serve.openapi import APPLICATIONS, RELEASED, file_name, text
from tests.serve.breaking import breaks

Json = dict[str, Any]
Change = Callable[[Json], object]

COMMANDS = "/stations/{station_id}/commands"


@cache
def spoken() -> str:
    return text("admin")


def now() -> Json:
    made: Json = json.loads(spoken())
    return made


def schema(description: Json, name: str) -> Json:
    found: Json = description["components"]["schemas"][name]
    return found


def field(description: Json, name: str, of: str) -> Json:
    found: Json = schema(description, of)["properties"][name]
    return found


def operation(description: Json, method: str, path: str) -> Json:
    found: Json = description["paths"][path][method]
    return found


def parameter(description: Json, name: str) -> Json:
    """Return a parameter of the list of stations."""
    found: list[Json] = operation(description, "get", "/stations")["parameters"]
    return next(one for one in found if one["name"] == name)


def without(holder: Json, name: str) -> None:
    del holder[name]


@pytest.mark.parametrize("application", APPLICATIONS)
def test_clients_of_the_last_release_find_what_they_rely_on(application: str) -> None:
    """What has to break gets a new version of the path beside the old one, which is marked as deprecated."""
    released: Json = json.loads((RELEASED / file_name(application)).read_text())
    assert breaks(released, json.loads(text(application))) == []


@pytest.mark.parametrize("application", APPLICATIONS)
def test_what_was_released_is_a_whole_description(application: str) -> None:
    """An empty one would let every break pass."""
    released: Json = json.loads((RELEASED / file_name(application)).read_text())
    assert released["servers"] == json.loads(text(application))["servers"]
    assert len(released["paths"]) > 20


def test_nothing_changed_breaks_nothing() -> None:
    assert breaks(now(), now()) == []


BREAKS: list[tuple[str, Change]] = [
    ("GET /status: the operation is gone", lambda d: without(d["paths"], "/status")),
    ("DELETE /tokens/{id_token}: the operation is gone", lambda d: without(d["paths"]["/tokens/{id_token}"], "delete")),
    (
        "GET /stations: query parameter q is gone",
        lambda d: operation(d, "get", "/stations")["parameters"].remove(parameter(d, "q")),
    ),
    (
        "GET /status: query parameter depth is required now",
        lambda d: operation(d, "get", "/status").setdefault("parameters", []).append(
            {"name": "depth", "in": "query", "required": True, "schema": {"type": "integer"}}
        ),
    ),
    (
        "GET /stations: query parameter limit has the maximum 500 now",
        lambda d: parameter(d, "limit")["schema"].update(maximum=500),
    ),
    (
        "POST /restart: a body is required now",
        lambda d: operation(d, "post", "/restart").update(
            requestBody={"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
        ),
    ),
    (
        "PUT /hosts: a body of application/json is taken no more",
        lambda d: without(operation(d, "put", "/hosts")["requestBody"]["content"], "application/json"),
    ),
    (
        "POST /stations: body.password is required now",
        lambda d: schema(d, "StationAsked")["required"].append("password"),
    ),
    (
        "POST /stations: body.siteId is taken no more",
        lambda d: without(schema(d, "StationAsked")["properties"], "siteId"),
    ),
    ("PUT /hosts: body.count may be integer no more", lambda d: field(d, "count", "HostsAsked").update(type="string")),
    (
        "POST /stations: body.stationId has another pattern",
        lambda d: field(d, "stationId", "StationAsked").update(pattern="^[A-Z]+$"),
    ),
    (
        f"POST {COMMANDS}: body.ifOffline may be 'fail' no more",
        lambda d: field(d, "ifOffline", "CommandAsked").update(enum=["wait"]),
    ),
    (
        f"POST {COMMANDS}: body.action may be any other value no more",
        lambda d: field(d, "action", "CommandAsked").update(enum=["Reset"]),
    ),
    (f"POST {COMMANDS}: answers 202 no more", lambda d: without(operation(d, "post", COMMANDS)["responses"], "202")),
    (
        "GET /status: answers 206, which it never did",
        lambda d: operation(d, "get", "/status")["responses"].update({"206": {"description": ""}}),
    ),
    (
        "GET /status: 200 is no application/hal+json any more",
        lambda d: operation(d, "get", "/status")["responses"]["200"].update(content={"application/json": {}}),
    ),
    (
        f"POST {COMMANDS}: 202 has no header Location any more",
        lambda d: without(operation(d, "post", COMMANDS)["responses"]["202"]["headers"], "Location"),
    ),
    ("GET /status: 200.connected is gone", lambda d: without(schema(d, "StatusOut")["properties"], "connected")),
    ("GET /status: 200.connected may be missing now", lambda d: schema(d, "StatusOut")["required"].remove("connected")),
    (
        "GET /status: 200.connected may be string, which it never was",
        lambda d: field(d, "connected", "StatusOut").update(type="string"),
    ),
    (
        "GET /stations/{station_id}: 200.model may be null, which it never was",
        lambda d: schema(d, "StationOut")["properties"].update(model={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ),
    (
        "GET /stations: 200._embedded.*[].connectors.*.status is gone",
        lambda d: without(schema(d, "ConnectorOut")["properties"], "status"),
    ),
    (
        "GET /hosts: 200.hosts[].state may be 'asleep', which it never was",
        lambda d: field(d, "state", "HostOut")["enum"].append("asleep"),
    ),
    ("GET /tokens: auditor may do it no more", lambda d: operation(d, "get", "/tokens")["x-roles"].remove("auditor")),
    (
        "GET /tokens: needs scope cards:read instead of tokens:read",
        lambda d: operation(d, "get", "/tokens").update({"x-scope": "cards:read"}),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "change"), BREAKS, ids=[said for said, _ in BREAKS])
def test_each_kind_of_break_is_found(said: str, change: Change) -> None:
    changed = now()
    change(changed)
    assert said in breaks(now(), changed)


ADDITIONS: dict[str, Change] = {
    "an operation": lambda d: d["paths"].update({"/new": d["paths"]["/status"]}),
    "a parameter": lambda d: operation(d, "get", "/hosts")["parameters"].append(
        {"name": "depth", "in": "query", "required": False, "schema": {"type": "integer"}}
    ),
    "a field that may be sent": lambda d: schema(d, "StationAsked")["properties"].update(note={"type": "string"}),
    "a field of an answer": lambda d: schema(d, "StatusOut")["properties"].update(note={"type": "string"}),
    "a wider bound": lambda d: field(d, "count", "HostsAsked").update(maximum=5000),
    "no bound": lambda d: without(field(d, "count", "HostsAsked"), "maximum"),
    "a value that may be sent": lambda d: field(d, "ifOffline", "CommandAsked")["enum"].append("store"),
    "a role": lambda d: operation(d, "post", "/restart")["x-roles"].append("support"),
    "no scope": lambda d: without(operation(d, "get", "/tokens"), "x-scope"),
    "a problem": lambda d: operation(d, "get", "/status")["responses"].update({"418": {"description": ""}}),
    "words": lambda d: operation(d, "get", "/status").update(description="other words", deprecated=True),
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_additions_break_nothing(addition: str) -> None:
    changed = now()
    ADDITIONS[addition](changed)
    assert breaks(now(), changed) == []
