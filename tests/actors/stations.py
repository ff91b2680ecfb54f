"""Stations that speak to a `World`: helpers that say in one line what a station of each version sends.

Whatever the platform says to them must be valid by the official schemas.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson

from actors.charger import Refusal
from actors.domain.moment import wire_time
from actors.ocpp import schemas
from actors.ocpp.frames import Json, OcppVersion
from tests.actors.world import World

Payload = dict[str, Any]


class Refused(Exception):
    """The platform has answered with a CALLERROR."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code


class Asked(msgspec.Struct, frozen=True):
    """A CALL of the platform."""

    message_id: str
    action: str
    payload: Payload


class WireStation:
    """One station's end of its socket; `conn_epoch` 0 before it is connected."""

    version = OcppVersion.V201

    def __init__(self, world: World, station_id: str = "CP-1", *, connected: bool = True) -> None:
        self.world = world
        self.id = station_id
        self.conn_epoch = 0
        self._number = 0
        if connected:
            self.connect()

    def connect(self, gateway_id: str = "g-1", password_digest: str | None = None) -> Refusal | None:
        """Open a new socket."""
        outcome = self.world.connect(self.id, self.version, gateway_id, password_digest)
        if isinstance(outcome, Refusal):
            return outcome
        self.conn_epoch = outcome
        return None

    def disconnect(self) -> None:
        """Lose the socket."""
        self.world.disconnect(self.id, self.conn_epoch)

    def send(self, frame: bytes | list[Any]) -> list[list[Any]]:
        """Send any frame; return the frames that come back at once."""
        inbox = self.world.sockets.setdefault((self.id, self.conn_epoch), [])
        before = len(inbox)
        self.world.deliver(self.id, self.conn_epoch, frame if isinstance(frame, bytes) else orjson.dumps(frame))
        back, inbox[before:] = inbox[before:], []
        frames = [orjson.loads(data) for data in back]
        inbox += [orjson.dumps(f) for f in frames if f[0] == 2]
        return [f for f in frames if f[0] != 2]

    def call(self, action: str, payload: Payload, message_id: str | None = None) -> Payload:
        """Send a CALL and return the payload of its answer. Raises Refused, Lost."""
        self._number += 1
        message_id = message_id or f"{self.id}-{self.conn_epoch}-{self._number}"
        (answer,) = self.send([2, message_id, action, payload])
        assert answer[1] == message_id
        if answer[0] == 4:
            raise Refused(answer[2], answer[3])
        result: Payload = answer[2]
        schemas.check(self.version, action, result, answer=True, strict=True)
        return result

    def asked(self) -> list[Asked]:
        """Take the CALLs that the platform has sent to the newest socket."""
        inbox = self.world.sockets.setdefault((self.id, self.conn_epoch), [])
        frames, inbox[:] = [orjson.loads(data) for data in inbox], []
        asked = [Asked(*frame[1:]) for frame in frames]
        for each in asked:
            schemas.check(self.version, each.action, each.payload, strict=True)
        return asked

    def reply(self, asked: Asked, **payload: Any) -> list[list[Any]]:
        """Answer a CALL of the platform."""
        return self.send([3, asked.message_id, payload])

    def time(self, at: datetime | None) -> str:
        """Write a moment, by default the present one."""
        return wire_time(at or self.world.now)


class Station(WireStation):
    """A 2.0.1 station."""

    def boot(self, reason: str = "PowerUp", **extra: Any) -> Payload:
        """Send BootNotification."""
        return self.call(
            "BootNotification", {"reason": reason, "chargingStation": {"vendorName": "ACME", "model": "Fast"}} | extra
        )

    def heartbeat(self) -> Payload:
        """Send Heartbeat."""
        return self.call("Heartbeat", {})

    def status(self, status: str, at: datetime | None = None, evse: int = 1, connector: int = 1) -> Payload:
        """Send StatusNotification."""
        return self.call(
            "StatusNotification",
            {"timestamp": self.time(at), "connectorStatus": status, "evseId": evse, "connectorId": connector},
        )

    def availability(self, state: str, at: datetime | None = None, evse: int = 1, connector: int = 1) -> Payload:
        """Send NotifyEvent with a connector's AvailabilityState."""
        data = {
            "eventId": 1,
            "timestamp": self.time(at),
            "trigger": "Delta",
            "actualValue": state,
            "component": {"name": "Connector", "evse": {"id": evse, "connectorId": connector}},
            "variable": {"name": "AvailabilityState"},
            "eventNotificationType": "HardWiredNotification",
        }
        return self.call("NotifyEvent", {"generatedAt": self.time(None), "seqNo": 0, "eventData": [data]})

    def authorize(self, token: str, **extra: Any) -> str:
        """Send Authorize; return the token's status."""
        answer = self.call("Authorize", {"idToken": {"idToken": token, "type": "ISO14443"}} | extra)
        return str(answer["idTokenInfo"]["status"])

    def started(self, tx: str = "tx-1", seq: int = 0, **event: Any) -> Payload:
        """Send a Started event; what may be said is in `event`."""
        return self.event("Started", tx, seq, **event)

    def updated(self, tx: str = "tx-1", seq: int = 1, **event: Any) -> Payload:
        """Send an Updated event."""
        return self.event("Updated", tx, seq, **event)

    def ended(self, tx: str = "tx-1", seq: int = 2, **event: Any) -> Payload:
        """Send an Ended event."""
        return self.event("Ended", tx, seq, **event)

    def event(self, kind: str, tx: str, seq: int, **event: Any) -> Payload:
        """Send a TransactionEvent."""
        return self.call("TransactionEvent", self.event_payload(kind, tx, seq, **event))

    def event_payload(
        self,
        kind: str,
        tx: str,
        seq: int,
        *,
        wh: float | None = None,
        at: datetime | None = None,
        token: str | None = None,
        evse: int | None = None,
        offline: bool = False,
        state: str | None = None,
        remote_start_id: int | None = None,
        reason: str | None = None,
        values: Sequence[Json] = (),
    ) -> Payload:
        """Write a TransactionEvent: `wh` is the register, `values` are sampled values instead."""
        info = {"transactionId": tx, "chargingState": state, "remoteStartId": remote_start_id, "stoppedReason": reason}
        payload: Payload = {
            "eventType": kind,
            "timestamp": self.time(at),
            "triggerReason": "MeterValuePeriodic",
            "seqNo": seq,
            "transactionInfo": {name: value for name, value in info.items() if value is not None},
        }
        samples = [*values, *([] if wh is None else [{"value": wh}])]
        if samples:
            payload["meterValue"] = [{"timestamp": self.time(at), "sampledValue": samples}]
        if token is not None:
            payload["idToken"] = {"idToken": token, "type": "ISO14443"}
        if evse is not None:
            payload["evse"] = {"id": evse, "connectorId": 1}
        if offline:
            payload["offline"] = True
        return payload


class Station21(Station):
    """A 2.1 station, which shares these messages with 2.0.1."""

    version = OcppVersion.V21


class Station16(WireStation):
    """A 1.6 station."""

    version = OcppVersion.V16

    def boot(self) -> Payload:
        """Send BootNotification."""
        return self.call("BootNotification", {"chargePointVendor": "ACME", "chargePointModel": "Old"})

    def heartbeat(self) -> Payload:
        """Send Heartbeat."""
        return self.call("Heartbeat", {})

    def status(self, status: str, at: datetime | None = None, connector: int = 1) -> Payload:
        """Send StatusNotification."""
        return self.call(
            "StatusNotification",
            {"connectorId": connector, "errorCode": "NoError", "status": status, "timestamp": self.time(at)},
        )

    def authorize(self, tag: str) -> str:
        """Send Authorize; return the tag's status."""
        return str(self.call("Authorize", {"idTag": tag})["idTagInfo"]["status"])

    def start(
        self, tag: str = "anna", connector: int = 1, wh: int = 0, at: datetime | None = None, **extra: Any
    ) -> Payload:
        """Send StartTransaction."""
        return self.call(
            "StartTransaction",
            {"connectorId": connector, "idTag": tag, "meterStart": wh, "timestamp": self.time(at)} | extra,
        )

    def stop(self, transaction_id: int, wh: int = 0, at: datetime | None = None, **extra: Any) -> Payload:
        """Send StopTransaction."""
        return self.call(
            "StopTransaction", {"transactionId": transaction_id, "meterStop": wh, "timestamp": self.time(at)} | extra
        )

    def meter(
        self,
        wh: float,
        transaction_id: int | None = None,
        at: datetime | None = None,
        connector: int = 1,
        **sample: Any,
    ) -> Payload:
        """Send MeterValues with one register."""
        values = [{"timestamp": self.time(at), "sampledValue": [{"value": str(wh)} | sample]}]
        payload: Payload = {"connectorId": connector, "meterValue": values}
        if transaction_id is not None:
            payload["transactionId"] = transaction_id
        return self.call("MeterValues", payload)
