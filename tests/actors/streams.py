"""Streams of events as stations write them, and the orders in which they may come."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import strategies as st

from actors.domain.moment import wire_time
from tests.actors.stations import Payload, Station
from tests.actors.world import NOON, World

EVENING = NOON + timedelta(hours=8)
SESSION_WH = 900


@st.composite
def sessions(draw: st.DrawFn, transaction_id: str) -> list[Payload]:
    """Draw the 2.0.1 events of one transaction in their true order."""
    writer = Station(World(), connected=False)
    first, length = draw(st.integers(0, 3)), draw(st.integers(1, 6))
    register, minute, events = draw(st.integers(0, 10_000)), 0, []
    for number in range(length):
        kind = "Started" if number == 0 else "Ended" if number == length - 1 and draw(st.booleans()) else "Updated"
        register = draw(st.sampled_from([register + 500, register + 1200, register, 0]))
        minute += draw(st.integers(0, 2))
        events.append(
            writer.event_payload(
                kind,
                transaction_id,
                first + number,
                at=NOON + timedelta(minutes=minute),
                wh=draw(st.sampled_from([None, register])),
                token=draw(st.sampled_from([None, None, "anna", "bob"])),
                state=draw(st.sampled_from([None, "Charging", "SuspendedEV"])),
                offline=draw(st.booleans()),
            )
        )
    return events


@st.composite
def orders(draw: st.DrawFn, count: int) -> list[int]:
    """Draw an order of delivery with repeats in which each of `count` messages occurs."""
    extra = draw(st.lists(st.integers(0, count - 1), max_size=6))
    return draw(st.permutations([*range(count), *extra]))


def began_at(number: int) -> datetime:
    """Return when the 1.6 transaction `number` begins."""
    return NOON + timedelta(hours=number)


def ended_at(number: int) -> datetime:
    """Return when the 1.6 transaction `number` ends."""
    return began_at(number) + timedelta(minutes=30)


def start(number: int) -> Payload:
    """Write the StartTransaction of the 1.6 transaction `number`."""
    began = wire_time(began_at(number))
    return {"connectorId": 1, "idTag": "anna", "meterStart": 1000 * number, "timestamp": began}


def rest_of_session(number: int, transaction_id: int) -> list[tuple[str, Payload]]:
    """Write what a 1.6 station says after the start of its transaction `number`: 900 Wh in half an hour."""
    register = 1000 * number

    def values(minute: int, wh: int) -> tuple[str, Payload]:
        at = wire_time(began_at(number) + timedelta(minutes=minute))
        sampled = {"timestamp": at, "sampledValue": [{"value": str(wh)}]}
        return "MeterValues", {"connectorId": 1, "transactionId": transaction_id, "meterValue": [sampled]}

    meter_stop = register + SESSION_WH
    stop = {"transactionId": transaction_id, "meterStop": meter_stop, "timestamp": wire_time(ended_at(number))}
    return [values(10, register + 300), values(20, register + 600), ("StopTransaction", stop)]
