"""Live events of a running platform, through HAProxy and Ray Serve, as a browser and as a program listen."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from cluster.bearer import mint
from cluster.keys import load_keys
from tests.e2e.running import Running
from tests.faults.bare_station import BareStation
from tests.serve.live.clients import EventSource, listening, said

PATH: Final = "/admin/v1/events"


def token(running: Running) -> str:
    return mint(load_keys(running.platform.data_dir).token, ["auditor"], 600)


def browser(running: Running, query: str) -> connect:
    """Open a socket as a browser does, which can set no header."""
    address = running.platform.api.replace("http://", "ws://")
    offered = [Subprotocol("cloudbay.events.v1"), Subprotocol(f"bearer.{token(running)}")]
    return connect(f"{address}{PATH}?{query}", subprotocols=offered, proxy=None)


async def first(heard: EventSource | ClientConnection, kind: str) -> dict[str, Any]:
    """Return the first event of a type."""
    async with asyncio.timeout(60):
        while True:
            if isinstance(heard, EventSource):
                event = await heard.next()
                assert event is not None, "the stream has ended"
                message = event.data
            else:
                message = await said(heard)
            if message["type"] == kind:
                return message


async def test_a_meter_value_is_seen_at_once_by_who_listens(running: Running) -> None:
    query = "station=LIVE-1"
    headers = {"Authorization": f"Bearer {token(running)}"}
    async with (
        browser(running, query) as socket,
        listening(f"{running.platform.api}{PATH}?{query}", headers=headers) as stream,
    ):
        station = await BareStation.connect(running.stations, "LIVE-1")
        assert await station.event(0)
        assert await station.event(7)
        for heard in (socket, stream):
            assert (await first(heard, "TransactionUpdated"))["data"]["energyWh"] == 0
            assert (await first(heard, "TransactionUpdated"))["data"]["energyWh"] == 700
        await station.leave()


async def test_a_rolling_restart_sends_listeners_on_and_they_miss_nothing(running: Running) -> None:
    headers = {"Authorization": f"Bearer {token(running)}"}
    url = f"{running.platform.api}{PATH}?station=LIVE-2"
    async with browser(running, "station=LIVE-2") as socket, listening(url, headers=headers, silence_s=60) as stream:
        station = await BareStation.connect(running.stations, "LIVE-2")
        await first(stream, "StationConnected")
        await first(socket, "StationConnected")
        restarting = asyncio.create_task(asyncio.to_thread(running.platform.restart))
        closed = await first(stream, "Closed")
        assert closed["reason"] == "going away"
        with pytest.raises(ConnectionClosed) as ended:
            await first(socket, "nothing")
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "going away")
        last = stream.last_event_id
    await restarting
    await station.leave()
    async with asyncio.timeout(60):
        while True:
            try:
                station = await BareStation.connect(running.stations, "LIVE-2")
                break
            except ConnectionError:
                await asyncio.sleep(0.2)
    assert await station.event(0)
    await station.leave()
    async with listening(url, after=last, headers=headers, silence_s=60) as stream:
        await first(stream, "StationConnected")
        assert (await first(stream, "TransactionUpdated"))["data"]["energyWh"] == 0
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url, headers={**headers, "Last-Event-ID": "nonsense"})
    assert json.loads(answer.text)["status"] == 422
