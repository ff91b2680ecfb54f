"""Clients of the event stream and the socket."""

from __future__ import annotations

import asyncio
import json
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import IncrementalNewlineDecoder
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection


@dataclass(frozen=True)
class Event:
    """An event as a browser's EventSource gives it out."""

    last_event_id: str
    type: str
    data: dict[str, Any]

    @property
    def number(self) -> int | str:
        """The event's number, or what else it says."""
        return number_of(self.data)


def number_of(message: dict[str, Any]) -> int | str:
    """Return the number that tells a test's event apart, or the reason or type of another message."""
    if "data" in message:
        return int(message["data"]["connEpoch"])
    return str(message.get("reason", message["type"]))


class EventSource:
    """Reads an event stream as WHATWG HTML, 9.2.6, says, written from there and not from the server."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._lines = _lines(response)

    async def next(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        data: list[str] = []
        kind, last_event_id = "message", self.last_event_id
        async for line in self._lines:
            if line == "":
                self.last_event_id = last_event_id
                if data:
                    return Event(last_event_id, kind, json.loads("\n".join(data)))
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments += 1
                case "id":
                    last_event_id = value
                case "event":
                    kind = value
                case "data":
                    data.append(value)
                case "retry":
                    self.retry_ms = int(value)
        return None

    async def numbers(self, count: int) -> list[int | str]:
        """Return the numbers of the next events."""
        async with asyncio.timeout(10):
            return [event.number for _ in range(count) if (event := await self.next()) is not None]


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Yield lines that end at CR, LF or both, and nowhere else (httpx's own end at U+2028 too)."""
    decode = IncrementalNewlineDecoder(getincrementaldecoder("utf-8")(), translate=True).decode
    rest = ""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + decode(chunk)).split("\n")
        for line in lines:
            yield line


@asynccontextmanager
async def listening(
    url: str,
    station: str | None = None,
    after: str | None = None,
    headers: dict[str, str] | None = None,
    silence_s: float = 10,
) -> AsyncIterator[EventSource]:
    """Open an event stream; one that is silent for `silence_s` fails."""
    headers = {"Accept": "text/event-stream", **(headers or {})} | ({} if after is None else {"Last-Event-ID": after})
    params = None if station is None else {"station": station}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(silence_s), trust_env=False) as client,
        client.stream("GET", url, params=params, headers=headers) as response,
    ):
        yield EventSource(response)


async def said(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message that is no heartbeat."""
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv(decode=True))
            if message["type"] != "Heartbeat":
                return message


async def numbers(socket: ClientConnection, count: int) -> list[int | str]:
    """Return the numbers of the next messages."""
    return [number_of(await said(socket)) for _ in range(count)]
