"""The reference: a plain CSMS on `websockets` and the `ocpp` package's ChargePoint, which stores nothing."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from ocpp.routing import on
from ocpp.v201 import ChargePoint, call_result
from websockets.asyncio.server import ServerConnection, serve


class Reference(ChargePoint):
    @on("BootNotification")
    def boot(self, **_: object) -> call_result.BootNotification:
        return call_result.BootNotification(datetime.now(UTC).isoformat(), 300, "Accepted")

    @on("StatusNotification")
    def status(self, **_: object) -> call_result.StatusNotification:
        return call_result.StatusNotification()

    @on("TransactionEvent")
    def transaction_event(self, **_: object) -> call_result.TransactionEvent:
        return call_result.TransactionEvent()


async def main(port: int) -> None:
    async def station(socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else "/"
        await Reference(path.rsplit("/", 1)[-1], socket).start()

    async with serve(station, "127.0.0.1", port, subprotocols=["ocpp2.0.1"]):  # type: ignore[list-item]
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
