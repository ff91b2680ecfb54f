"""The AsyncAPI 3.0 document of the live events, made from the classes that are sent.

`python -m serve.asyncapi` writes it to docs/api/asyncapi.yaml. Must not know: the services behind the API.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from actors.domain import events
from actors.domain.events import DATASCHEMAS, EVENTS, Envelope, Event, Fact
from cluster.bus.stream import SOURCE
from serve.live.handshake import SUBPROTOCOL
from serve.live.messages import ChangeFilter, Closed, FilterChanged, FilterRefused, GapNote, Heartbeat
from serve.live.socket import BAD_MESSAGE, CLOSE_CODES

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "api" / "asyncapi.yaml"
_SCHEMAS: Final = "#/components/schemas/{name}"
_Json = dict[str, Any]

_DESCRIPTION: Final = (
    "Server-sent events (WHATWG HTML, 9.2), and the same as a WebSocket. After a cut a client goes on with the id of"
    " the last message it got: header `Last-Event-ID` or, where it cannot set one, query `lastEventId`. Nothing is then"
    " lost or doubled while it is kept (some thousand events); what is not is told as a `Gap`. A client that does not"
    " read is dropped. Staff see what their roles and scopes let them read; app users what is theirs: all of their"
    " stations, as guests the state of these, and of charges their own. A filter that names what is not the caller's is"
    " answered with 404, and ends with `not allowed any more` when it has ceased to be; `sign in again` asks for a new"
    " token, `going away` to come back at once. A browser reads the stream with `fetch`, and opens the socket as"
    f" `new WebSocket(url, ['{SUBPROTOCOL}', 'bearer.' + token])`."
)
_FILTERS: Final[_Json] = {
    field: {"type": "array", "items": {"type": "string"}, "description": words}
    for field, words in (
        ("station", "Only events of these stations."),
        ("site", "Only events of stations on these sites."),
        ("kind", "Only events of these types."),
        ("transaction", "Only events of these transactions, by the platform's ids."),
    )
}
_QUERY: Final[_Json] = {
    **_FILTERS,
    "lastEventId": {"type": "string", "description": "The id of the last message that was received."},
}
_STREAM_NOTES: Final = (GapNote, Closed)
_SOCKET_NOTES: Final = (GapNote, Heartbeat)
_ANSWERS: Final = (FilterChanged, FilterRefused)
_NOTES: Final = (GapNote, Heartbeat, Closed, *_ANSWERS, ChangeFilter)

_NOON: Final = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_CHARGE: Final = "0f8c1e6e-1d0c-5d0f-9a57-0a4a1c8d2b11"
EXAMPLES: Final[tuple[Event, ...]] = (
    events.StationRegistered(),
    events.StationConfigured(),
    events.StationConnected(7, "ocpp2.0.1"),
    events.StationDisconnected(7),
    events.StationBooted("Accepted", "PowerUp", "1.4.2"),
    events.ConnectorStatusChanged(1, 1, "Occupied", _NOON),
    events.TransactionStarted(_CHARGE, "T-17", False, 1, 1, _NOON),
    events.TransactionUpdated(_CHARGE, "T-17", 1, "Charging", 1240.5, 11_000.0, 54.0),
    events.TransactionEnded(_CHARGE, "T-17", False, _NOON, 21_300.0, True, "EVDisconnected"),
    events.TransactionRevised(_CHARGE, "T-17", True, _NOON, 21_420.0, True, "EVDisconnected"),
    events.MeterValues(1, _NOON, 1_204_500.0, None, None),
    events.CommandFinished("8b0d9a0e-6c0c-4b7e-9a0e-3d1f6f1f6c1a", "RequestStartTransaction", "accepted"),
    events.SecurityEvent("TamperDetectionActivated", _NOON),
    events.ReportCompleted(42, 3),
)


def document() -> _Json:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CloudBay live events",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "stream": {"host": "localhost:8000", "protocol": "http", "security": [_ref("securitySchemes", "bearer")]},
            "socket": {"host": "localhost:8000", "protocol": "ws", "security": [_ref("securitySchemes", "bearer")]},
        },
        "channels": {"stream": _stream(), "socket": _socket()},
        "operations": _operations(),
        "components": {
            "messages": {**_event_messages(), **_note_messages()},
            "schemas": _schemas(),
            "parameters": {
                "application": {"description": "Whose events: staff's or an app user's.", "enum": ["admin", "app"]}
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _names(notes: tuple[type[msgspec.Struct], ...]) -> list[str]:
    return [str(note.__struct_config__.tag or note.__name__) for note in notes]


def _ref(kind: str, name: str) -> _Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _channel(server: str, messages: list[str]) -> _Json:
    return {
        "address": "/{application}/v1/events",
        "parameters": {"application": _ref("parameters", "application")},
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {message: _ref("messages", message) for message in messages},
    }


def _stream() -> _Json:
    words = "Heartbeats are comments; with them the last event id goes on."
    return {**_channel("stream", [*EVENTS, *_names(_STREAM_NOTES)]), "description": words}


def _socket() -> _Json:
    query = {"type": "object", "properties": _QUERY}
    codes = ", ".join(f"{code}: {reason}" for reason, code in CLOSE_CODES.items())
    return {
        **_channel("socket", [*EVENTS, *_names((*_SOCKET_NOTES, *_ANSWERS, ChangeFilter))]),
        "description": f"Close codes (RFC 6455, 7.4): {codes}, {BAD_MESSAGE}: a message that makes no sense.",
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _operations() -> _Json:
    def messages(channel: str, names: list[str]) -> list[_Json]:
        return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]

    query = {"type": "object", "properties": _QUERY}
    return {
        "watchStream": {
            "action": "send",
            "summary": "Events as they happen, as server-sent events.",
            "channel": {"$ref": "#/channels/stream"},
            "messages": messages("stream", [*EVENTS, *_names(_STREAM_NOTES)]),
            "bindings": {"http": {"method": "GET", "query": query, "bindingVersion": "0.3.0"}},
        },
        "watchSocket": {
            "action": "send",
            "summary": "Events as they happen, each a text message.",
            "channel": {"$ref": "#/channels/socket"},
            "messages": messages("socket", [*EVENTS, *_names(_SOCKET_NOTES)]),
        },
        "changeFilter": {
            "action": "receive",
            "summary": "Want other events from now on.",
            "channel": {"$ref": "#/channels/socket"},
            "messages": messages("socket", _names((ChangeFilter,))),
            "reply": {"channel": {"$ref": "#/channels/socket"}, "messages": messages("socket", _names(_ANSWERS))},
        },
    }


def _event_messages() -> _Json:
    return {name: _event_message(name, example) for name, example in zip(EVENTS, EXAMPLES, strict=True)}


def _event_message(name: str, example: Event) -> _Json:
    kind = EVENTS[name]
    sent = {
        "specversion": "1.0",
        "id": "1777896000000-0-1",
        "source": SOURCE,
        "type": name,
        "subject": "CP-1",
        "time": "2026-05-04T12:00:00Z",
        "dataschema": DATASCHEMAS[name],
        "data": msgspec.to_builtins(example),
    }
    own = {"type": {"const": name}, "dataschema": {"const": DATASCHEMAS[name]}, "data": _ref("schemas", name)}
    tags = [{"name": "fact" if issubclass(kind, Fact) else "tick"}]
    return {
        "name": name,
        "title": name,
        "summary": kind.__doc__,
        "tags": tags,
        "payload": {"allOf": [_ref("schemas", "Envelope"), {"type": "object", "properties": own}]},
        "examples": [{"name": name, "payload": sent}],
    }


def _note_messages() -> _Json:
    return {
        name: {"name": name, "title": name, "summary": note.__doc__, "payload": _ref("schemas", note.__name__)}
        for name, note in zip(_names(_NOTES), _NOTES, strict=True)
    }


def _schemas() -> _Json:
    _, components = msgspec.json.schema_components([Envelope, *_NOTES], ref_template=_SCHEMAS)
    return {**components, **events.schemas(_SCHEMAS)}


def text() -> str:
    """Return the document as it is committed."""
    head = "# Made by `python -m serve.asyncapi` from the classes that are sent; a test compares the two.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(parents=True, exist_ok=True)
    DOCUMENT.write_text(text(), encoding="utf-8")
