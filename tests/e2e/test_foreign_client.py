"""A foreign station's whole day, seen through the API (issue: "Done when")."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from tests.e2e.foreign import station16, station201
from tests.e2e.running import Running, eventually


def curve(running: Running, transaction: dict[str, Any]) -> list[float]:
    points = running.get(f"/transactions/{transaction['id']}/meter-values")["curve"]
    return [point["energyWh"] for point in points]


async def stopped(running: Running, station_id: str, transaction_id: str) -> str:
    """Order a remote stop and return what became of the command."""
    payload: dict[str, object] = {"transactionId": transaction_id}
    command = await asyncio.to_thread(running.command, station_id, "RequestStopTransaction", payload)
    return str(command["status"])


async def test_a_2_0_1_station_is_started_and_stopped_through_the_api(running: Running) -> None:
    """B01, C01, E01-E06, F01-F03: boot, authorize, remote start, a whole transaction, remote stop."""
    async with station201(running.stations, "FOREIGN-201") as station:
        assert (await station.boot()).status == "Accepted"
        assert (await station.authorize("0A1B2C3D")).id_token_info["status"] == "Accepted"
        start = {"idToken": {"idToken": "0A1B2C3D", "type": "ISO14443"}, "evseId": 1}
        command = await asyncio.to_thread(running.command, station.id, "RequestStartTransaction", start)
        assert command["status"] == "accepted"
        asked = await station.remote_starts.get()
        await station.event("Started", 0, 10_000, info={"remote_start_id": asked["remote_start_id"]})
        for number in range(1, 11):
            await station.event("Updated", number, 10_000 + 120 * number)
        transaction = await asyncio.to_thread(running.transaction, station.id, ended=False)
        stop = {"transactionId": transaction["transactionId"]}
        assert (await asyncio.to_thread(running.command, station.id, "RequestStopTransaction", stop))[
            "status"
        ] == "accepted"
        assert await station.remote_stops.get() == transaction["transactionId"]
        await station.event("Ended", 11, 11_320, info={"stopped_reason": "Remote"})

    transaction = running.transaction("FOREIGN-201", ended=True)
    assert transaction["energyWh"] == 1320
    assert transaction["complete"] is True
    assert curve(running, transaction) == [120.0 * number for number in range(12)]
    known = running.get(f"/stations/FOREIGN-201/commands/{command['id']}")
    assert known["transaction"] == transaction["id"], "the remote start knows the transaction it led to"


async def test_a_1_6_station_is_started_and_stopped_through_the_api(running: Running) -> None:
    """1.6 sections 4.1-4.10 and 5.11, 5.12, in 2.x words on the API's side."""
    async with station16(running.stations, "FOREIGN-16") as station:
        assert (await station.boot()).status == "Accepted"
        assert (await station.authorize("CARD16")).id_tag_info["status"] == "Accepted"
        start: dict[str, object] = {"idToken": {"idToken": "CARD16", "type": "Central"}, "evseId": 1}
        command = await asyncio.to_thread(running.command, station.id, "RequestStartTransaction", start)
        assert command["status"] == "accepted"
        assert await station.remote_starts.get() == "CARD16"
        first = await station.start_transaction("CARD16", 500)
        again = await station.start_transaction("CARD16", 500)
        assert first.transaction_id == again.transaction_id > 0, "a repeated start is the same transaction"
        for number in range(1, 6):
            await station.meter(first.transaction_id, number, 500 + 100 * number)
        assert await stopped(running, station.id, str(first.transaction_id)) == "accepted"
        assert await station.remote_stops.get() == first.transaction_id
        await station.stop_transaction(first.transaction_id, 6, 1100)

    transaction = running.transaction("FOREIGN-16", ended=True)
    assert transaction["energyWh"] == 600
    assert curve(running, transaction) == [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0]


async def test_a_killed_host_loses_and_doubles_nothing(running: Running) -> None:
    """All hosts die by SIGKILL between events; the station's socket stays and every event is stored exactly once."""
    async with station201(running.stations, "FOREIGN-KILL") as station:
        await station.boot()
        await station.event("Started", 0, 0)
        for number in range(1, 6):
            await station.event("Updated", number, 100 * number)
        killed = await asyncio.to_thread(running.pids, "hosts")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for number in range(6, 11):
            await station.event("Updated", number, 100 * number)
        await station.event("Ended", 11, 1100)
        assert await asyncio.to_thread(eventually, lambda: _others(running, killed))

    transaction = running.transaction("FOREIGN-KILL", ended=True)
    detail = running.get(f"/transactions/{transaction['id']}")
    assert transaction["energyWh"] == 1100
    assert detail["events"] == 12
    assert detail["gaps"] == {
        "complete": True,
        "startMissing": False,
        "endMissing": False,
        "missing": [],
        "conflicts": 0,
    }
    assert curve(running, transaction) == [100.0 * number for number in range(12)]


def _others(running: Running, killed: set[int], kind: str = "hosts") -> bool | None:
    pids = running.pids(kind)
    return True if len(pids) == len(killed) and not pids & killed else None


async def test_a_killed_gateway_is_replaced_and_its_station_goes_on(running: Running) -> None:
    """The socket dies with its gateway; the transaction does not."""
    async with station201(running.stations, "FOREIGN-GATEWAY") as station:
        await station.boot()
        await station.event("Started", 0, 0)
        killed = await asyncio.to_thread(running.pids, "gateways")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    assert await asyncio.to_thread(eventually, lambda: _others(running, killed, "gateways"))
    assert running.get("/stations/FOREIGN-GATEWAY")["connected"] is False
    async with station201(running.stations, "FOREIGN-GATEWAY") as again:
        again.seq_no = 1
        await again.event("Ended", 1, 50)
    transaction = running.transaction("FOREIGN-GATEWAY", ended=True)
    assert (transaction["energyWh"], transaction["complete"]) == (50, True)


async def test_both_directions_of_the_conversation_are_in_the_log(running: Running) -> None:
    async with station201(running.stations, "FOREIGN-LOG") as station:
        await station.boot()

    def both() -> bool | None:
        items = running.get("/stations/FOREIGN-LOG/log")["_embedded"]["cb:frame"]
        return True if {item["direction"] for item in items} == {"in", "out"} else None

    assert await asyncio.to_thread(eventually, both)
