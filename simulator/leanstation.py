"""One lean station: a socket and a few hundred bytes of state, about 15 us of CPU per event.

It speaks just enough OCPP 2.0.1: BootNotification, Heartbeat, and one endless transaction whose
TransactionEvent(Updated) carries an energy and a power sample. It refuses every CALL of the CSMS.

Must not know: how many stations there are, or what is done with the counts.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, quote

import msgspec

from actors.ocpp.frames import OcppVersion, pack_call, pack_error
from simulator.histogram import Histogram
from simulator.leanwire import CLOSE, PING, PONG, TEXT, frame, handshake, refusal, split

_VERSION: Final = OcppVersion.V201
_UPDATED: Final = (
    b'[2,"%b","TransactionEvent",{"eventType":"Updated","timestamp":"%b","triggerReason":"MeterValuePeriodic","seqNo":%d,'
    b'"transactionInfo":{"transactionId":"%b","chargingState":"Charging"},"evse":{"id":1,"connectorId":1},'
    b'"meterValue":[{"timestamp":"%b","sampledValue":[{"value":%d,"measurand":"Energy.Active.Import.Register",'
    b'"unitOfMeasure":{"unit":"Wh"}},{"value":11000,"measurand":"Power.Active.Import","unitOfMeasure":{"unit":"W"}}]}]}]'
)


class Timestamps:
    """Wall time as OCPP text with milliseconds; formats the date once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """Return the present instant."""
        millis = time.time_ns() // 1_000_000
        second = millis // 1000
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b"%b.%03dZ" % (self._text, millis % 1000)


class Plan:
    """What all stations of a run share: where to, how often, and the counts."""

    def __init__(
        self,
        url: SplitResult,
        *,
        password: str | None,
        sample_s: float,
        heartbeat_s: float,
        reconnect: Callable[[LeanStation], None],
        on_ready: Callable[[], None],
    ) -> None:
        self.url = url
        self.password = password
        self.sample_s = sample_s
        self.heartbeat_s = heartbeat_s
        self.reconnect = reconnect
        self.on_ready = on_ready
        self.timestamps = Timestamps()
        self.run_id = secrets.token_hex(4).encode()
        self.latencies = Histogram()
        self.answered = self.errors = self.disconnects = self.ready = 0
        self.running = True
        self.last_problem = ""


class LeanStation(asyncio.Protocol):
    """Boot, start, then update for ever; the unanswered event is repeated after a reconnect, with its seqNo."""

    __slots__ = (
        "_accept",
        "_at",
        "_charging",
        "_pending",
        "_plan",
        "_ready",
        "_rest",
        "_sent_at",
        "_seq_no",
        "_timer",
        "_transport",
        "identity",
        "number",
    )

    def __init__(self, plan: Plan, number: int, identity: str, *, charging: bool) -> None:
        self._plan = plan
        self._charging = charging
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._accept = self._rest = self._pending = self._at = b""
        self._sent_at = 0.0
        self._seq_no = -1
        self._ready = False
        self.number = number
        self.identity = identity

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = transport  # type: ignore[assignment]  # a stream protocol is given a stream transport
        self._rest = b""
        url = self._plan.url
        path = f"{url.path}/{quote(self.identity, safe='')}"
        request, self._accept = handshake(url.netloc, path, _VERSION, self.identity, self._plan.password)
        self._write(request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it and come back, unless the run is over."""
        plan, self._transport = self._plan, None
        self._cancel_timer()
        if plan.running:
            plan.disconnects += 1
            plan.last_problem = (
                plan.last_problem or f"{self.identity}: connection lost: {exc or 'closed by the server'}"
            )
            plan.reconnect(self)

    @property
    def transaction_id(self) -> str:
        """The transaction of this run."""
        return f"{self._plan.run_id.decode()}-{self.number}"

    @property
    def acknowledged(self) -> int:
        """The highest sequence number that was answered, -1 before the first; all lower ones were answered too."""
        return self._seq_no - 1 if self._pending else self._seq_no

    @property
    def admitted(self) -> bool:
        """Whether the platform has answered this socket's handshake."""
        return self._transport is not None and not self._accept

    def drop(self) -> None:
        """Lose the connection as a cut cable does."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def close(self) -> None:
        """Leave without a word about the transaction."""
        self._cancel_timer()
        if self._transport is not None:
            self._write(frame(b"\x03\xe8", CLOSE))
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the CSMS."""
        if self._accept:
            self._shake_hands(data)
            return
        # The usual case: the whole of one short answer to the pending event, and nothing else.
        size = data[1] if len(data) > 1 else 0
        if not self._rest and size < 126 and len(data) == size + 2 and data[:4] == b"\x81%c[3" % size and self._ready:
            self._on_result(data)
            return
        frames, self._rest = split(self._rest + data)
        for opcode, payload in frames:
            if opcode == TEXT:
                self._on_text(payload)
            elif opcode == PING:
                self._write(frame(payload, PONG))
            elif opcode == CLOSE and self._transport is not None:
                self._transport.close()

    def _shake_hands(self, data: bytes) -> None:
        head, end, rest = (self._rest + data).partition(b"\r\n\r\n")
        if not end:
            self._rest = head
            return
        problem = refusal(head, self._accept, _VERSION)
        self._accept = self._rest = b""
        if problem is not None:
            self._plan.last_problem = f"{self.identity}: {problem}"
            if self._transport is not None:
                self._transport.close()
            return
        self._next()
        if rest:
            self.data_received(rest)

    def _on_text(self, payload: bytes) -> None:
        plan = self._plan
        try:
            message = msgspec.json.decode(payload, type=list[object])
        except msgspec.DecodeError as error:
            plan.last_problem = f"{self.identity}: unreadable frame: {error}"
            return
        match message:
            case [2, str(message_id), *_]:
                self._write(frame(pack_error(message_id, "NotSupported", "a lean station takes no orders", _VERSION)))
            case [3, _, dict(answer)] if not self._ready:
                self._on_boot(answer)
            case [3, *_]:
                self._on_result(payload)
            case [4, str(message_id), *problem]:
                plan.errors += 1
                plan.last_problem = f"{self.identity}: CALLERROR {' '.join(str(part) for part in problem[:2])}"
                if message_id.encode() == self._pending:
                    self._later(1.0)  # the same message again (E13.FR.02)

    def _on_boot(self, answer: dict[str, object]) -> None:
        plan = self._plan
        self._pending = b""
        if answer.get("status") != "Accepted":
            interval = answer.get("interval")
            self._later(float(interval) if isinstance(interval, int) and interval > 0 else 10.0)
            return
        self._ready = True
        plan.ready += 1
        plan.on_ready()
        interval_s = self._interval_s()
        if interval_s:
            # Spread evenly, so that a fleet that booted together does not report together.
            self._later(random.uniform(0, interval_s))
        elif self._charging:
            self._next()

    def _on_result(self, answer: bytes) -> None:
        plan, pending = self._plan, self._pending
        if not pending or pending not in answer[:64]:
            return
        plan.latencies.add(time.perf_counter() - self._sent_at)
        plan.answered += 1
        self._pending = b""
        interval_s = self._interval_s()
        if interval_s:
            self._later(interval_s)
        elif self._charging:
            self._next()

    def _interval_s(self) -> float:
        return self._plan.sample_s if self._charging else self._plan.heartbeat_s

    def _later(self, delay_s: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._next)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        """Send the next message; an unanswered event is sent again to the letter (E13.FR.02)."""
        plan = self._plan
        if not self._ready:
            station = {"vendorName": "CloudBay", "model": "Lean", "serialNumber": self.identity[:25]}
            self._call(b"b", "BootNotification", {"reason": "PowerUp", "chargingStation": station})
            return
        if not self._pending:
            self._seq_no += 1
            self._at = plan.timestamps.now()
        if not self._charging:
            self._call(b"h", "Heartbeat", {})
            return
        at, transaction_id = self._at, self.transaction_id.encode()
        if self._seq_no == 0:
            self._call(b"t", "TransactionEvent", self._started(at.decode(), transaction_id.decode()))
            return
        self._pending = b"%b-%d" % (transaction_id, self._seq_no)
        self._sent_at = time.perf_counter()
        self._write(frame(_UPDATED % (self._pending, at, self._seq_no, transaction_id, at, self._seq_no * 3)))

    def _started(self, now: str, transaction_id: str) -> dict[str, object]:
        return {
            "eventType": "Started",
            "timestamp": now,
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": transaction_id, "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 1},
            "idToken": {"idToken": self.identity[:36], "type": "Central"},
        }

    def _call(self, kind: bytes, action: str, payload: dict[str, object]) -> None:
        self._pending = b"%b-%d-%b%d" % (self._plan.run_id, self.number, kind, max(self._seq_no, 0))
        self._sent_at = time.perf_counter()
        self._write(frame(pack_call(self._pending.decode(), action, payload)))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
