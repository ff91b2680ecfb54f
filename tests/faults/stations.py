"""Stations in trouble: one with two sockets, one whose line is dead, one that answers no order.

Each checks what the platform owes that station; that the others do not notice is for the witnesses to say.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.processes import Platform
from tests.e2e.running import Running
from tests.faults.bare_station import BareStation

PING_S = 5
CALL_TIMEOUT_S = 4
KEYS = {
    "gateway__ping_interval_s": PING_S,
    "gateway__pong_timeout_s": PING_S,
    "ocpp__call_timeout_s": CALL_TIMEOUT_S,
}
"""Settings of a platform on which these faults show within seconds."""
_NOTICED_WITHIN_S = 4 * PING_S
_ANSWERED_WITHIN_S = 20.0
_ORDER: dict[str, object] = {"requestedMessage": "Heartbeat"}


async def connect_twice(platform: Platform, identity: str) -> None:
    """Open a second socket while the first one is charging, which speaks on and ignores that it is closed."""
    api = await asyncio.to_thread(Running, platform)
    old = await BareStation.connect(platform.stations, identity)
    for number in range(3):
        assert await _answered(old, number)
    under_way = asyncio.create_task(old.event(3))
    new = await BareStation.connect(platform.stations, identity)
    old.send([2, "late", "TransactionEvent", new.payload(99)])
    for number in range(3, 6):
        assert await _answered(new, number), "the newest socket is served, and told of what it repeats"
    order = asyncio.create_task(asyncio.to_thread(api.command, identity, "TriggerMessage", _ORDER))
    call = await asyncio.wait_for(new.asked.get(), _ANSWERED_WITHIN_S)
    new.send([3, call[1], {"status": "Accepted"}])
    assert (await order)["status"] == "accepted", "orders go to the newest socket"

    await asyncio.wait_for(old.gone.wait(), _NOTICED_WITHIN_S)
    assert old.close_code == 1000, f"the older socket is closed in peace, not with {old.close_code}"
    assert "late" not in old.answers, "an older socket gets no answer"
    assert old.asked.empty(), "an older socket gets no orders"
    await under_way
    assert await _answered(new, 6)
    assert await asyncio.to_thread(_connected, api, identity), "the late end of the older socket changes nothing"
    await new.leave()
    await _check_transaction(api, identity, events=7)


async def lose_the_line(platform: Platform, identity: str) -> None:
    """Hear nothing and say nothing, with the socket open, until the platform gives it up; then come back."""
    api = await asyncio.to_thread(Running, platform)
    station = await BareStation.connect(platform.stations, identity)
    assert await _answered(station, 0)
    station.stop_reading()
    async with asyncio.timeout(_NOTICED_WITHIN_S):
        while await asyncio.to_thread(_connected, api, identity):  # noqa: ASYNC110 - the fact is in another process
            await asyncio.sleep(0.2)
    station.read_again()
    await asyncio.wait_for(station.gone.wait(), _NOTICED_WITHIN_S)
    back = await BareStation.connect(platform.stations, identity)
    assert await _answered(back, 0), "it repeats what it may not have heard the answer of"
    assert await _answered(back, 1)
    await back.leave()
    await _check_transaction(api, identity, events=2)


async def answer_no_order(platform: Platform, identity: str) -> None:
    """Report as ever but leave the platform's first CALL without an answer; the second one is answered."""
    api = await asyncio.to_thread(Running, platform)
    station = await BareStation.connect(platform.stations, identity)
    assert await _answered(station, 0)
    first = asyncio.create_task(asyncio.to_thread(api.command, identity, "TriggerMessage", _ORDER))
    ignored = await asyncio.wait_for(station.asked.get(), _ANSWERED_WITHIN_S)
    second = asyncio.create_task(asyncio.to_thread(api.command, identity, "TriggerMessage", _ORDER))
    number = 1
    while not first.done():
        assert await _answered(station, number), "its own events are answered meanwhile"
        number += 1
        await asyncio.sleep(0.2)
    closed = await first
    assert (closed["status"], closed["response"]) == ("timed out", None)
    assert closed["error"], "it says why"
    call = await asyncio.wait_for(station.asked.get(), _ANSWERED_WITHIN_S)
    station.send([3, ignored[1], {"status": "Accepted"}])
    station.send([3, call[1], {"status": "Accepted"}])
    assert (await second)["status"] == "accepted", "the next order is sent and answered"
    known = await asyncio.to_thread(api.get, f"/stations/{identity}/commands/{closed['id']}")
    assert known["status"] == "timed out", "an answer that comes too late changes nothing"
    assert station.asked.empty(), "each order is sent once"
    await station.leave()
    await _check_transaction(api, identity, events=number)


async def _answered(station: BareStation, number: int) -> bool:
    return await asyncio.wait_for(station.event(number), _ANSWERED_WITHIN_S)


def _connected(api: Running, identity: str) -> bool:
    return bool(api.get(f"/stations/{identity}")["connected"])


async def _check_transaction(api: Running, identity: str, *, events: int) -> None:
    """Check that the station's only transaction holds so many events, each once, and is open."""
    listed: list[dict[str, Any]] = (await asyncio.to_thread(api.get, "/transactions", station=identity))["_embedded"][
        "cb:transaction"
    ]
    assert len(listed) == 1, listed
    found = await asyncio.to_thread(api.get, f"/transactions/{listed[0]['id']}")
    assert found["endedAt"] is None
    assert (found["events"], found["gaps"]["missing"], found["gaps"]["conflicts"]) == (events, [], 0), found
    assert found["energyWh"] == 100 * (events - 1)
