"""A small honest CSMS for one station, sans-I/O: answers, orders, remembers, and checks every frame by the schemas."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files

import jsonschema_rs
import orjson

from actors.ocpp.connection import Answered, CallReceived, Connection, Event, Failed
from actors.ocpp.frames import Call, Json, OcppVersion


@cache
def _validator(version: OcppVersion, name: str) -> jsonschema_rs.Draft7Validator:
    folder = {OcppVersion.V16: "v16", OcppVersion.V201: "v201"}[version]
    text = files("ocpp").joinpath(folder, "schemas", f"{name}.json").read_text("utf-8-sig")
    return jsonschema_rs.Draft7Validator(orjson.loads(text), validate_formats=True)


def check(version: OcppVersion, action: str, payload: Json, *, response: bool) -> None:
    """Fail the test when a payload breaks the official schema."""
    suffix = "Response" if response else "" if version is OcppVersion.V16 else "Request"
    problems = [f"{action}{suffix}: {e.message}" for e in _validator(version, action + suffix).iter_errors(payload)]
    assert not problems, (problems, payload)


class FakeCsms:
    """The CSMS's side of one conversation."""

    def __init__(self, version: OcppVersion) -> None:
        self.version = version
        self.heard: list[Call] = []
        self.answers: list[Json] = []
        self.events: list[Event] = []
        self.boot_status = "Accepted"
        self.boot_interval_s = 300
        self.token_status = "Accepted"
        self.silent_about: set[str] = set()
        self.refuse: set[str] = set()
        self.next_transaction_id = itertools.count(1)
        self._connection = Connection(version)
        self._ids = itertools.count(1)

    def reconnect(self) -> None:
        self._connection.reset(self.version)

    def order(self, action: str, payload: Json, now: datetime) -> bytes:
        check(self.version, action, payload, response=False)
        return self._connection.call(f"csms-{next(self._ids)}", action, payload, now + timedelta(seconds=30))

    def receive(self, data: bytes, now: datetime) -> list[bytes]:
        waiting = self._connection.outstanding
        event = self._connection.receive(data, now)
        self.events.append(event)
        match event:
            case CallReceived(call=call):
                check(self.version, call.action, call.payload, response=False)
                self.heard.append(call)
                if call.action in self.silent_about:
                    return []
                if call.action in self.refuse:
                    return [self._connection.refuse(call, "InternalError", "told to refuse")]
                answer = self._answer(call, now)
                check(self.version, call.action, answer, response=True)
                return [self._connection.answer(call, answer, now)]
            case Answered(payload=payload):
                assert waiting is not None
                check(self.version, waiting.action, payload, response=True)
                self.answers.append(payload)
            case Failed(code=code, description=description):
                self.answers.append({"code": code, "description": description})
        return []

    def _answer(self, call: Call, now: datetime) -> Json:
        info: Json = {"status": self.token_status}
        match call.action:
            case "BootNotification":
                return {
                    "status": self.boot_status,
                    "currentTime": now.isoformat(),
                    "interval": self.boot_interval_s,
                }
            case "Heartbeat":
                return {"currentTime": now.isoformat()}
            case "Authorize":
                return {"idTokenInfo": info} if self.version is OcppVersion.V201 else {"idTagInfo": info}
            case "TransactionEvent":
                return {"idTokenInfo": info} if "idToken" in call.payload else {}
            case "StartTransaction":
                return {"transactionId": next(self.next_transaction_id), "idTagInfo": info}
        return {}

    def calls(self, action: str) -> list[Json]:
        """Return the payloads of one action, in order of arrival."""
        return [call.payload for call in self.heard if call.action == action]
