"""A 2.0.1 station that does nothing by itself: it answers no ping, no CALL and no close unless it is told to."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from actors.domain.moment import wire_time
from simulator.leanwire import CLOSE, TEXT, frame, handshake, refusal, split

_SUBPROTOCOL = "ocpp2.0.1"
_HANDSHAKE_WITHIN_S = 20.0
_BEGAN_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


class BareStation:
    """One socket of a station. `asked` are the platform's CALLs; `gone` is set when the socket has ended."""

    def __init__(self, identity: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.identity = identity
        self.asked: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.answers: dict[str, list[Any]] = {}
        """CALLRESULTs and CALLERRORs by message id."""
        self.close_code: int | None = None
        self.gone = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, to: str, identity: str) -> BareStation:
        """Open a socket. Raises ConnectionError when it is refused."""
        url = urlsplit(to)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        request, accept = handshake(url.netloc, f"{url.path}/{identity}", _SUBPROTOCOL, identity, None)
        writer.write(request)
        async with asyncio.timeout(_HANDSHAKE_WITHIN_S):
            head = await reader.readuntil(b"\r\n\r\n")
        problem = refusal(head.removesuffix(b"\r\n\r\n"), accept, _SUBPROTOCOL)
        if problem is not None:
            raise ConnectionError(problem)
        return cls(identity, reader, writer)

    def send(self, message: list[Any]) -> None:
        """Send any message."""
        self._writer.write(frame(json.dumps(message).encode(), TEXT))

    async def event(self, number: int) -> bool:
        """Send the event `number` of this station's only transaction; tell whether it was answered before the end."""
        message_id = f"{id(self)} {number}"
        self.send([2, message_id, "TransactionEvent", self.payload(number)])
        while message_id not in self.answers and not self.gone.is_set():
            self._news.clear()
            await self._news.wait()
        return message_id in self.answers and self.answers[message_id][0] == 3

    def payload(self, number: int) -> dict[str, Any]:
        """Write an event: the register shows 100 Wh more with each."""
        at = wire_time(_BEGAN_AT + timedelta(seconds=number))
        return {
            "eventType": "Updated" if number else "Started",
            "timestamp": at,
            "triggerReason": "MeterValuePeriodic",
            "seqNo": number,
            "transactionInfo": {"transactionId": f"{self.identity}-tx"},
            "meterValue": [{"timestamp": at, "sampledValue": [{"value": 100 * number}]}],
        }

    def stop_reading(self) -> None:
        """Hear nothing any more, as behind a dead line; the socket stays open."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can

    def read_again(self) -> None:
        """Hear what has come meanwhile."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def leave(self) -> None:
        """Close the socket without a word."""
        self._writer.close()
        await self.gone.wait()

    async def _listen(self) -> None:
        rest = b""
        try:
            while data := await self._reader.read(65536):
                frames, rest = split(rest + data)
                for opcode, payload in frames:
                    self._heard(opcode, payload)
                self._news.set()
        except ConnectionError:
            pass  # cut: as gone as closed
        finally:
            self.gone.set()
            self._news.set()

    def _heard(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
        elif opcode == TEXT:
            message = json.loads(payload)
            if message[0] == 2:
                self.asked.put_nowait(message)
            else:
                self.answers[message[1]] = message
