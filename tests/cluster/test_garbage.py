"""What leaves a host or a gateway is gone at once: nobody looks for cycles (cluster/garbage.py)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from actors.charger import Charger
from actors.ocpp.connection import Connection
from cluster.batch import Disconnect
from cluster.gateway.handshake import OcppServerProtocol
from cluster.gateway.station import StationSocket
from tests.cluster.gateway.fakes import site, until
from tests.cluster.one_host import Fixture


@pytest.fixture(autouse=True)
def collecting_nothing() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living(*kinds: type) -> list[object]:
    return [one for one in gc.get_objects() if type(one) in kinds]


async def test_a_charger_that_leaves_memory_leaves_nothing() -> None:
    it = Fixture(passivate_after_s=0.0)
    for number in range(3):
        await it.connect(f"CP-{number}")
        for seq_no in range(3):
            await it.ingest(it.event(f"CP-{number}", seq_no))
        await it.ingest(Disconnect(f"CP-{number}", 1, 1000, ""))
    assert len(living(Charger)) == 3
    await it.host.tick()
    assert not living(Charger, Connection)


async def test_a_socket_that_closes_or_is_cut_leaves_nothing() -> None:
    async with site() as running:
        for number in range(6):
            station = await running.station(f"/ocpp/CP-{number}")
            await station.send("event")
            assert await station.recv() == "event"
            assert living(StationSocket, OcppServerProtocol)
            if number % 2:
                await station.close()
            else:
                station.transport.abort()
                await asyncio.wait_for(station.wait_closed(), 5)
        await until(lambda: len(running.host.disconnects()) == 6)
        await until(lambda: not living(StationSocket, OcppServerProtocol))
