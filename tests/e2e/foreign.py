"""Stations made of somebody else's code: the `ocpp` package's ChargePoint on the asyncio client of `websockets`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.client import connect

BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
"""When the car was plugged in; the events say times after this."""


def minute(number: int) -> str:
    return (BEGAN + timedelta(minutes=number)).isoformat()


class Station201(ChargePoint201):
    """A 2.0.1 station that counts its own events and meter."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, response_timeout=60)
        self.seq_no = 0
        self.remote_starts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.remote_stops: asyncio.Queue[str] = asyncio.Queue()

    @on("RequestStartTransaction")
    def start_asked(self, **asked: Any) -> result201.RequestStartTransaction:
        self.remote_starts.put_nowait(asked)
        return result201.RequestStartTransaction(status="Accepted")

    @on("RequestStopTransaction")
    def stop_asked(self, transaction_id: str, **_: Any) -> result201.RequestStopTransaction:
        self.remote_stops.put_nowait(transaction_id)
        return result201.RequestStopTransaction(status="Accepted")

    async def boot(self) -> Any:
        station = {"model": "Foreign", "vendor_name": "Elsewhere"}
        return await self.call(call201.BootNotification(charging_station=station, reason="PowerUp"))

    async def authorize(self, card: str) -> Any:
        return await self.call(call201.Authorize(id_token={"id_token": card, "type": "ISO14443"}))

    async def event(self, kind: str, at_minute: int, register_wh: float, **more: Any) -> Any:
        transaction_id = more.pop("transaction_id", f"{self.id}-1")
        info = {"transaction_id": transaction_id, "charging_state": "Charging", **more.pop("info", {})}
        sampled = {"value": register_wh, "measurand": "Energy.Active.Import.Register"}
        request = call201.TransactionEvent(
            event_type=kind,
            timestamp=minute(at_minute),
            trigger_reason="MeterValuePeriodic",
            seq_no=self.seq_no,
            transaction_info=info,
            evse={"id": 1, "connector_id": 1},
            meter_value=[{"timestamp": minute(at_minute), "sampled_value": [sampled]}],
            **more,
        )
        self.seq_no += 1
        return await self.call(request)


class Station16(ChargePoint16):
    """A 1.6-J station."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, response_timeout=60)
        self.remote_starts: asyncio.Queue[str] = asyncio.Queue()
        self.remote_stops: asyncio.Queue[int] = asyncio.Queue()

    @on("RemoteStartTransaction")
    def start_asked(self, id_tag: str, **_: Any) -> result16.RemoteStartTransaction:
        self.remote_starts.put_nowait(id_tag)
        return result16.RemoteStartTransaction(status="Accepted")

    @on("RemoteStopTransaction")
    def stop_asked(self, transaction_id: int) -> result16.RemoteStopTransaction:
        self.remote_stops.put_nowait(transaction_id)
        return result16.RemoteStopTransaction(status="Accepted")

    async def boot(self) -> Any:
        return await self.call(call16.BootNotification("Foreign", "Elsewhere"))

    async def authorize(self, card: str) -> Any:
        return await self.call(call16.Authorize(card))

    async def start_transaction(self, card: str, register_wh: int) -> Any:
        return await self.call(call16.StartTransaction(1, card, register_wh, minute(0)))

    async def meter(self, transaction_id: int, at_minute: int, register_wh: int) -> Any:
        sampled = {"value": str(register_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
        values = [{"timestamp": minute(at_minute), "sampled_value": [sampled]}]
        return await self.call(call16.MeterValues(1, values, transaction_id))

    async def stop_transaction(self, transaction_id: int, at_minute: int, register_wh: int) -> Any:
        return await self.call(call16.StopTransaction(register_wh, minute(at_minute), transaction_id))


@asynccontextmanager
async def station201(to: str, station_id: str) -> AsyncIterator[Station201]:
    async with connect(f"{to}/{station_id}", subprotocols=["ocpp2.0.1"]) as socket:  # type: ignore[list-item]
        station = Station201(station_id, socket)
        listening = asyncio.create_task(station.start())
        try:
            yield station
        finally:
            listening.cancel()


@asynccontextmanager
async def station16(to: str, station_id: str) -> AsyncIterator[Station16]:
    async with connect(f"{to}/{station_id}", subprotocols=["ocpp1.6"]) as socket:  # type: ignore[list-item]
        station = Station16(station_id, socket)
        listening = asyncio.create_task(station.start())
        try:
            yield station
        finally:
            listening.cancel()
