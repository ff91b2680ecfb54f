"""Whose sockets are gone with a gateway."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.ports import Unit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from tests.twins.vault import fixed_vault

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


async def test_the_stations_of_a_gateway_that_is_gone_are_disconnected(engine: AsyncEngine) -> None:
    store, gateways = (
        PostgresChargerStore(engine, fixed_vault(), "a", await PostgresFleet(engine).join("a", 60)),
        PostgresGateways(engine),
    )
    await gateways.started("g-1", "node", "10.0.0.1:9000")
    holders = {"CP-2": "g-1", "CP-1": "g-1", "CP-3": "g-2", "CP-4": None}
    await store.commit([Unit(name, [Station(name, gateway_id=gateway)]) for name, gateway in holders.items()])

    assert sorted(await gateways.gone("g-1", NOON)) == ["CP-1", "CP-2"]
    found = await store.load(list(holders))
    assert {name: s.station.gateway_id for name, s in found.items() if s.station} == {
        "CP-1": None,
        "CP-2": None,
        "CP-3": "g-2",
        "CP-4": None,
    }
    assert found["CP-1"].station is not None
    assert found["CP-1"].station.disconnected_at == NOON
    assert await gateways.ids() == []
    assert await gateways.forget_all(NOON) == 1
